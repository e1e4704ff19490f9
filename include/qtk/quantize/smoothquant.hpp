#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "qtk/quantize/channel_scales.hpp"

namespace qtk::inline QTK_ABI {

/// SmoothQuant's factors for inputs of largest magnitudes max_x (K) and weights of max_w (K), the
/// largest over all layers that read these inputs (Xiao et al. 2022, "SmoothQuant: Accurate and
/// Efficient Post-Training Quantization for Large Language Models", equation 4):
///   s_k = max_x_k^alpha / max_w_k^(1 - alpha),   1 where either is 0
/// alpha = 1 leaves all of the difficulty to the weights, 0 to the inputs; 0.5 suits most models.
/// pow() of the C library decides the last bit.
[[nodiscard]] inline std::vector<float> smoothquant_scales(std::span<const float> max_x,
                                                           std::span<const float> max_w,
                                                           double alpha = 0.5) {
  QTK_CHECK(max_x.size() == max_w.size(), "smoothquant", max_x.size(), " channels of inputs, ",
            max_w.size(), " of weights");
  QTK_CHECK(alpha >= 0.0 && alpha <= 1.0, "smoothquant", "alpha ", alpha);
  detail::check_magnitudes(max_x, "smoothquant");
  detail::check_magnitudes(max_w, "smoothquant");
  std::vector<float> scales(max_x.size(), 1.0f);
  for (std::size_t k = 0; k < scales.size(); ++k)
    if (max_x[k] > 0.0f && max_w[k] > 0.0f)
      scales[k] = static_cast<float>(std::pow(static_cast<double>(max_x[k]), alpha) /
                                     std::pow(static_cast<double>(max_w[k]), 1.0 - alpha));
  return scales;
}

/// The largest |w[n, k]| of each input channel k of w (N, K).
[[nodiscard]] inline std::vector<float> channel_max_abs(tensor_view<const fp32> w) {
  detail::check_matrix(w.shape(), "channel_max_abs");
  std::vector<float> largest(w.shape()[1]);
  for (std::size_t n = 0; n < w.rows(); ++n)
    for (std::size_t k = 0; k < w.cols(); ++k)
      largest[k] = std::max(largest[k], std::fabs(w.row(n)[k]));
  return largest;
}

struct smoothquant_result {
  std::vector<float> scales;  // (K): whatever makes x divides by them
  tensor<fp32> weights;       // w[n, k] * scales[k], to be quantized
  double alpha = 0.0;
};

/// SmoothQuant of one layer: moves what makes a few input channels hard to quantize into the
/// weights w (N, K). max_x (K): hessian::max_abs() or any observer's. The caller folds 1 / scales
/// into what makes x (the norm before it). qtk::error for NaN and infinities, and other numbers of
/// channels.
[[nodiscard]] inline smoothquant_result smoothquant(tensor_view<const fp32> w,
                                                    std::span<const float> max_x,
                                                    double alpha = 0.5,
                                                    executor_ref executor = {}) {
  detail::check_channels(max_x.size(), w.shape(), "smoothquant");
  check_finite(w, "smoothquant");
  std::vector<float> scales = smoothquant_scales(max_x, channel_max_abs(w), alpha);
  tensor<fp32> weights = scale_channels(w, scales, executor);
  return {std::move(scales), std::move(weights), alpha};
}

}  // namespace qtk::inline QTK_ABI
