#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "qtk/quantize/taps.hpp"

namespace qtk::inline QTK_ABI {

/// Evens out two layers in sequence, y = W2 f(W1 x + b1) + b2, so that one scale a tensor serves
/// all their channels: for the channel i between them
///   s[i] = sqrt(r1[i] / r2[i]),   W1[i, :] /= s[i],   b1[i] /= s[i],   W2[:, i] *= s[i]
/// r1[i] and r2[i] the largest magnitudes of output i of W1 and of input i of W2, both
/// sqrt(r1[i] * r2[i]) afterwards. Nagel et al. 2019, "Data-Free Quantization Through Weight
/// Equalization and Bias Correction", section 4.1 (s = sqrt(r1 r2) / r2, r twice ours).
///
/// y stays what it was, up to a rounding of each weight, where f(s z) = s f(z) for s > 0: none,
/// ReLU, leaky and parametric ReLU. Not ReLU6, sigmoid, GELU. A longer chain: pair by pair, again
/// until the scales are near 1.
///
/// A dead channel (r1 or r2 zero) keeps s = 1, and so does one whose weights or bias would leave
/// the range of float.
///   w1   (N1, K1) or filters (N1, I1 / groups1, kh, kw), any grouping
///   b1   (N1), or empty
///   w2   (N2, N1) or filters (N2, N1 / groups, kh, kw): `groups` is w2's, N1 for depthwise
/// Returns s, (N1); activations between the layers are now x / s: observe them afterwards.
/// qtk::error where shapes do not fit.
inline tensor<fp32> equalize(tensor_view<fp32> w1, std::span<float> b1, tensor_view<fp32> w2,
                             std::size_t groups = 1) {
  const detail::layer_shape first(w1.shape(), 1, "equalize");
  const detail::layer_shape second(w2.shape(), groups, "equalize");
  const std::size_t channels = first.outputs;
  QTK_CHECK(second.inputs == channels, "equalize", w2.shape(), " in ", groups, " groups after ",
            w1.shape());
  QTK_CHECK(b1.empty() || b1.size() == channels, "equalize", b1.size(), " biases for ", channels,
            " outputs");

  std::vector<float> r1(channels), r2(channels);
  const auto widen = [](float& range, auto taps) {
    for (const float x : taps) range = std::fabs(x) > range ? std::fabs(x) : range;
  };
  detail::for_taps(w1, first, [&](std::size_t o, std::size_t, auto taps) { widen(r1[o], taps); });
  detail::for_taps(w2, second, [&](std::size_t, std::size_t i, auto taps) { widen(r2[i], taps); });

  tensor<fp32> scales({channels});
  for (std::size_t i = 0; i < channels; ++i) {
    float& s = scales.data()[i];
    s = static_cast<float>(std::sqrt(static_cast<double>(r1[i]) / static_cast<double>(r2[i])));
    const bool fits = std::isnormal(s) && std::isfinite(r1[i] / s) && std::isfinite(r2[i] * s) &&
                      (b1.empty() || std::isfinite(b1[i] / s));
    if (!fits) s = 1.0f;
    if (!b1.empty()) b1[i] /= s;
  }
  detail::for_taps(w1, first, [&](std::size_t o, std::size_t, auto taps) {
    for (float& x : taps) x /= scales.data()[o];
  });
  detail::for_taps(w2, second, [&](std::size_t, std::size_t i, auto taps) {
    for (float& x : taps) x *= scales.data()[i];
  });
  return scales;
}

}  // namespace qtk::inline QTK_ABI
