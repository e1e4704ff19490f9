#pragma once

#include <limits>
#include <span>
#include <string_view>

#include "qtk/quantize/scale_search.hpp"

namespace qtk::inline QTK_ABI {

/// w[n, k] * scales[k]: the weights of inputs x_k / scales_k, which give the same outputs.
/// qtk::error for another number of channels, and for what is not finite.
[[nodiscard]] inline tensor<fp32> scale_channels(tensor_view<const fp32> w,
                                                 std::span<const float> scales,
                                                 executor_ref executor = {}) {
  detail::check_channels(scales.size(), w.shape(), "scale_channels");
  tensor<fp32> scaled(w.shape());
  const tensor_view<fp32> to = scaled;
  detail::for_ranges(w.rows(), executor, [&](std::size_t begin, std::size_t end) {
    for (std::size_t n = begin; n < end; ++n) {
      for (std::size_t k = 0; k < w.cols(); ++k) to.row(n)[k] = w.row(n)[k] * scales[k];
      check_row(to, n, "scale_channels");
    }
  });
  return scaled;
}

namespace detail {
/// Statistics of channels: finite and not negative.
inline void check_magnitudes(std::span<const float> magnitudes, std::string_view where) {
  for (std::size_t k = 0; k < magnitudes.size(); ++k)
    QTK_CHECK(magnitudes[k] >= 0.0f && magnitudes[k] <= std::numeric_limits<float>::max(), where,
              magnitudes[k], " as the magnitude of channel ", k);
}
}  // namespace detail

}  // namespace qtk::inline QTK_ABI
