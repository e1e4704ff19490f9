#pragma once

#include <limits>

#include "qtk/quantize/scale_search.hpp"

namespace qtk::inline QTK_ABI {

template <quantized_format F>
struct clip_options {
  symmetry how = default_symmetry<F>;
  code_range codes = codes_of<F>;
  /// (K), >= 0: what an error at input k costs, such as mean x_k^2 (hessian::second_moments());
  /// empty: 1.
  std::span<const float> importance = {};
  /// Factors from 1 down to this one, `steps` of them besides 1. AWQ stops at 0.5; rows of 2 and 3
  /// bits want less.
  float smallest = 0.2f;
  std::size_t steps = 40;
};

/// Scales that clip: of each block's range, the share r on a grid from 1 down with
///   the least sum_k importance_k (w_k - Q(w_k; r min, r max))^2,
/// which is the error that is reported. No block gets worse: r = 1 is on the grid. w (N, K), blocks
/// within rows; then quantize<F>(w, r.scales, executor, codes) or gptq(). Without importance this
/// is the MSE search of OMSE (Choukroun et al. 2019, "Low-bit Quantization of Neural Networks for
/// Efficient Inference", section 3); with the inputs' second moments the clipping of AWQ (Lin et
/// al. 2023, section 5.1, and its code's auto_clip), inputs taken as uncorrelated.
///
/// The same bytes on every CPU and executor. qtk::error for NaN and infinities, with their place,
/// for blocks of several rows, and for other numbers of channels.
template <quantized_format F>
[[nodiscard]] scale_search clip_quantization(tensor_view<const fp32> w, const granularity& g,
                                             const clip_options<F>& o = {},
                                             executor_ref executor = {}) {
  constexpr std::string_view where = "clip_quantization";
  QTK_CHECK(o.smallest > 0.0f && o.smallest <= 1.0f, where, "a share of ", o.smallest);
  if (!o.importance.empty()) detail::check_channels(o.importance.size(), w.shape(), where);
  for (const float h : o.importance)
    QTK_CHECK(h >= 0.0f && h <= std::numeric_limits<float>::max(), where, "importance ", h);

  const auto error = [&](std::size_t c, std::span<const float> values, block_scale b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto e = static_cast<float>(values[i] - detail::nearest(values[i], b, o.codes));
      const double squared = static_cast<double>(e) * e;
      sum += o.importance.empty()
                 ? squared
                 : static_cast<double>(static_cast<float>(squared)) * o.importance[c + i];
    }
    return sum;
  };
  return detail::search_scales<F>(
      w, g, o.codes, o.how, where, executor,
      [&](std::size_t c, std::span<const float> values, block_scale whole) {
        min_max seen;
        seen.observe(values);
        const value_range range = seen.range();
        const double before = error(c, values, whole);
        detail::block_choice best{whole, before, before};
        for (std::size_t step = 1; step <= o.steps && best.after > 0.0; ++step) {
          const float part = static_cast<float>(step) / static_cast<float>(o.steps);
          const float removed = part * (1.0f - o.smallest);
          const float share = static_cast<float>(1.0 - static_cast<double>(removed));
          const block_scale b = choose_params({range.lo * share, range.hi * share}, o.codes, o.how);
          const double e = error(c, values, b);
          if (e < best.after) best = {b, before, e};
        }
        return best;
      });
}

}  // namespace qtk::inline QTK_ABI
