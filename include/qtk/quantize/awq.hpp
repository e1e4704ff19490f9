#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "qtk/quantize/channel_scales.hpp"
#include "qtk/quantize/output_error.hpp"

namespace qtk::inline QTK_ABI {

/// AWQ's factors for inputs of mean magnitudes mean_abs_x (K):
///   s_k = mean_abs_x_k^alpha,   divided by sqrt(max s * min s)
/// Channels below 1e-4 of the largest count as that. Without inputs: 1. pow() of the C library
/// decides the last bit.
[[nodiscard]] inline std::vector<float> awq_scales(std::span<const float> mean_abs_x,
                                                   double alpha) {
  QTK_CHECK(alpha >= 0.0 && alpha <= 1.0, "awq", "alpha ", alpha);
  detail::check_magnitudes(mean_abs_x, "awq");
  float largest = 0.0f, smallest = std::numeric_limits<float>::max();
  for (const float x : mean_abs_x) largest = std::max(largest, x), smallest = std::min(smallest, x);
  std::vector<float> scales(mean_abs_x.size(), 1.0f);
  if (largest == 0.0f) return scales;
  const double least = std::max<double>(smallest, 1e-4 * static_cast<double>(largest));
  // sqrt(max s * min s) is the factor of the magnitude in the middle.
  const double middle = std::sqrt(least) * std::sqrt(static_cast<double>(largest));
  for (std::size_t k = 0; k < scales.size(); ++k)
    scales[k] =
        static_cast<float>(std::pow(std::max<double>(mean_abs_x[k], least) / middle, alpha));
  return scales;
}

template <quantized_format F>
struct awq_options {
  symmetry how = default_symmetry<F>;
  code_range codes = codes_of<F>;
  std::size_t steps = 20;  // alpha = 0, 1 / steps, ..., 1
  std::size_t taps = 1;    // consecutive k that share a factor: kh * kw of a convolution's channel
};

template <quantized_format F>
struct awq_result {
  std::vector<float> scales;  // (K): whatever makes x divides by them
  tensor<F> weights;          // the codes of w[n, k] * scales[k]
  double alpha = 0.0;         // 0: plain rounding was best, scales are 1
  double error_before = 0.0;  // output_error of plain rounding
  double error_after = 0.0;   // and of these weights, on x / scales
};

/// AWQ: activation-aware weight quantization (Lin et al. 2023, "AWQ: Activation-aware Weight
/// Quantization for LLM Compression and Acceleration", section 3.2). Weights of channels with large
/// inputs are scaled up before rounding, inputs down:
///   argmin over alpha of ||W X^T - (Q(W * s) / s) X^T||^2,   s = mean|x|^alpha
/// on a grid from 0 to 1; ties go to the smaller alpha. Never worse than rounding, which is alpha =
/// 0. w (N, K); the caller folds 1 / scales into what makes x. For GPTQ or clipping on top: take
/// the scales, scale_channels(w, scales), and hessian::divide_channels(scales).
///
/// The same bytes for every executor; fp32 sums of the error and pow() decide between neighbours.
/// qtk::error for NaN and infinities, and for other shapes.
template <quantized_format F>
[[nodiscard]] awq_result<F> awq(tensor_view<const fp32> w, const hessian& h, const granularity& g,
                                const awq_options<F>& o = {}, executor_ref executor = {}) {
  detail::check_channels(h.channels(), w.shape(), "awq");
  const output_error error(w, h, executor);
  QTK_CHECK(o.taps > 0 && h.channels() % o.taps == 0, "awq", o.taps, " taps of ", h.channels());
  std::vector<float> magnitudes = h.mean_abs();
  for (std::size_t k = 0; k < magnitudes.size(); k += o.taps) {
    double sum = 0.0;
    for (std::size_t t = 0; t < o.taps; ++t) sum += static_cast<double>(magnitudes[k + t]);
    std::fill_n(magnitudes.begin() + static_cast<std::ptrdiff_t>(k), o.taps,
                static_cast<float>(sum / static_cast<double>(o.taps)));
  }
  awq_result<F> best;
  for (std::size_t step = 0; step <= o.steps; ++step) {
    const double alpha = step == 0 ? 0.0 : static_cast<double>(step) / static_cast<double>(o.steps);
    std::vector<float> scales = awq_scales(magnitudes, alpha);
    tensor<F> codes = quantize<F>(scale_channels(w, scales, executor), g, o.how, executor, o.codes);
    std::vector<float> inverse(scales.size());
    for (std::size_t k = 0; k < scales.size(); ++k) inverse[k] = 1.0f / scales[k];
    const double e = error(scale_channels(dequantize(codes, executor), inverse, executor));
    if (step == 0) best.error_before = e;
    if (step == 0 || e < best.error_after) {
      best.scales = std::move(scales);
      best.weights = std::move(codes);
      best.alpha = alpha;
      best.error_after = e;
    }
  }
  return best;
}

}  // namespace qtk::inline QTK_ABI
