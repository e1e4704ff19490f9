#pragma once

#include <vector>

#include "qtk/quantize/deterministic.hpp"
#include "qtk/quantize/quantize.hpp"
#include "qtk/quantize/taps.hpp"

namespace qtk::inline QTK_ABI {

/// The mean of each channel over batches, E[x]: of (n, C, ...) activations, axis 1. Sums in double
/// in the order of arrival: cutting the data elsewhere changes the mean by less than n * 2^-53 of
/// the mean of |x|.
class channel_mean {
 public:
  explicit channel_mean(std::ptrdiff_t axis = 1) : axis_(axis) {}

  /// qtk::error where the number of channels changed, or naming row and column of a NaN or an
  /// infinity.
  void observe(tensor_view<const fp32> x) {
    const block_grid channels(x.shape(), per_channel(axis_).block(x.shape()));
    grow(channels.size());
    for (std::size_t r = 0; r < x.rows(); ++r) {
      check_row(x, r, "channel_mean");
      detail::for_runs(channels, r, x.cols(),
                       [&](std::size_t c, std::size_t n, std::size_t channel) {
                         for (std::size_t i = c; i < c + n; ++i)
                           sums_[channel] += static_cast<double>(x.row(r)[i]);
                       });
    }
    if (!sums_.empty()) count_ += x.shape().elements() / sums_.size();
  }

  /// As if this had seen the other's batches too. qtk::error for other channels.
  void merge(const channel_mean& other) {
    if (other.sums_.empty()) return;
    grow(other.sums_.size());
    for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] += other.sums_[i];
    count_ += other.count_;
  }

  /// (C); zeros where nothing was seen.
  [[nodiscard]] tensor<fp32> mean() const {
    tensor<fp32> m({sums_.size()});
    if (count_ != 0)
      for (std::size_t i = 0; i < sums_.size(); ++i)
        m.data()[i] = static_cast<float>(sums_[i] / static_cast<double>(count_));
    return m;
  }

 private:
  void grow(std::size_t channels) {
    if (sums_.empty()) sums_.resize(channels);
    QTK_CHECK(channels == sums_.size(), "channel_mean", channels, " channels after ", sums_.size());
  }

  std::ptrdiff_t axis_;
  std::vector<double> sums_;
  std::size_t count_ = 0;  // values a channel
};

/// How far quantized weights move the mean of each output, E[y'] - E[y], (N):
///   shift[o] = sum over i of  E[x_i] * sum over taps of (w'[o, i, tap] - w[o, i, tap])
/// Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
/// section 4.2: E[eps x] = eps E[x], as the error eps of the weights is fixed once they are. Exact
/// for linear layers; convolutions meet their padding's zeros at the border, where the mean is
/// another.
///   w, w'   (N, K) or filters (O, I / groups, kh, kw), and their dequantized codes
///   mean    (I), of the layer's inputs: channel_mean, or what batch normalization promises
/// qtk::error where shapes do not fit. Sums in double.
[[nodiscard]] inline tensor<fp32> expected_shift(tensor_view<const fp32> w,
                                                 tensor_view<const fp32> quantized,
                                                 std::span<const float> mean,
                                                 std::size_t groups = 1) {
  const detail::layer_shape layer(w.shape(), groups, "expected_shift");
  QTK_CHECK(w.shape() == quantized.shape(), "expected_shift", w.shape(), " and ",
            quantized.shape());
  QTK_CHECK(mean.size() == layer.inputs, "expected_shift", mean.size(), " means for ", layer.inputs,
            " inputs");
  std::vector<double> sums(layer.outputs);
  const auto add = [&](tensor_view<const fp32> weights, double sign) {
    detail::for_taps(weights, layer, [&](std::size_t o, std::size_t i, auto taps) {
      const double factor = sign * static_cast<double>(mean[i]);
      for (const float tap : taps) sums[o] += factor * static_cast<double>(tap);  // exact products
    });
  };
  add(quantized, 1.0);
  add(w, -1.0);
  tensor<fp32> shift({layer.outputs});
  for (std::size_t o = 0; o < layer.outputs; ++o) shift.data()[o] = static_cast<float>(sums[o]);
  return shift;
}

/// The bias that takes the shift back: bias - shift, (N); an empty bias is zeros. With the shift
/// measured, mean(y') - mean(y) over batches by channel_mean, this is the empirical correction
/// (Nagel et al. 2019, appendix D), which sees clipped activations and the layers before as well.
/// qtk::error where sizes differ.
[[nodiscard]] inline tensor<fp32> correct_bias(std::span<const float> bias,
                                               std::span<const float> shift) {
  QTK_CHECK(bias.empty() || bias.size() == shift.size(), "correct_bias", bias.size(),
            " biases for ", shift.size(), " outputs");
  tensor<fp32> corrected({shift.size()});
  for (std::size_t o = 0; o < shift.size(); ++o)
    corrected.data()[o] = (bias.empty() ? 0.0f : bias[o]) - shift[o];
  return corrected;
}

}  // namespace qtk::inline QTK_ABI
