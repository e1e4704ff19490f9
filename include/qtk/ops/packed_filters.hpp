#pragma once

#include "qtk/kernels/conv.hpp"
#include "qtk/ops/packed_weights.hpp"
#include "qtk/quantize/quantize.hpp"

namespace qtk::inline QTK_ABI {

/// The filters of a convolution, the matrix (O, C * kh * kw), laid out for the kernel that this CPU
/// runs best; made once, read by any number of threads.
///
/// Every weight serves all pixels, so that widening it each time would cost more than it saves:
/// here compute::real holds fp32, the values that the stored format stands for, and
/// compute::integer 8-bit codes (int16 where the kernel multiplies those), each group of int4 with
/// its scale.
class packed_filters {
 public:
  packed_filters() = default;

  /// `taps`: those of the window, for images that conv_kernel::spread spreads out.
  /// qtk::error for another rank than 2, for integer products of floats, for codes that are more
  /// than 8 bits away from their zero point, and for more of K under one scale than int32 sums.
  template <storage_format F>
  requires weight_format<std::remove_const_t<F>>
  explicit packed_filters(tensor_view<F> w,
                          compute how = packed_weights::default_compute<std::remove_const_t<F>>(),
                          isa target = active_isa(), std::size_t taps = 1)
      : kernel_(&find_conv(how == compute::integer ? conv_op::int8 : conv_op::f32, target)) {
    QTK_CHECK(w.shape().rank() == 2, "packed_filters", "weights ", w.shape(), " are not (O, K)");
    O_ = w.shape()[0];
    K_ = group_size_ = w.shape()[1];
    if (how == compute::real) {
      const float* values = nullptr;  // fp32 is packed from where it lies
      if constexpr (std::same_as<std::remove_const_t<F>, fp32>)
        if (w.row_stride() == K_) values = w.data();
      const tensor<fp32> copy = values != nullptr ? tensor<fp32>() : dequantize(w);
      pack({.O = O_, .K = K_, .data = values != nullptr ? values : copy.data(), .group_size = K_});
    } else if constexpr (std::remove_const_t<F>::quantized) {
      QTK_CHECK(w.quantization() != nullptr, "packed_filters", "codes without scales");
      const row_scales q(*w.quantization(), w.shape());
      group_size_ = q.group_size;
      check_exact(group_size_, "packed_filters");
      if (kernel_->spread != nullptr && taps > 1 && group_size_ == K_ &&
          K_ % (taps * kernel_->kr) == 0) {
        taps_ = taps;
        step_channels_ = kernel_->kr;
      }
      const std::vector<std::int8_t> codes = centered_codes(w, q);
      pack({.O = O_,
            .K = K_,
            .data = codes.data(),
            .group_size = group_size_,
            .scales = q.scales.data()});
    } else {
      fail(cat("integer products of ", name(F::id)), "packed_filters");
    }
  }
  template <weight_format F>
  explicit packed_filters(const tensor<F>& w, compute how = packed_weights::default_compute<F>(),
                          isa target = active_isa(), std::size_t taps = 1)
      : packed_filters(w.view(), how, target, taps) {}

  std::size_t O() const noexcept { return O_; }
  std::size_t K() const noexcept { return K_; }
  /// Elements of K that share a scale: K itself per channel.
  std::size_t group_size() const noexcept { return group_size_; }
  /// K is packed as (channels / step_channels, taps, step_channels): more than 1 are the kernel's
  /// kr, for images that are spread out.
  std::size_t step_channels() const noexcept { return step_channels_; }
  std::size_t taps() const noexcept { return taps_; }
  const conv_kernel& kernel() const noexcept { return *kernel_; }
  const void* data() const noexcept { return storage_.data(); }
  std::size_t size_bytes() const noexcept { return storage_.size_bytes(); }
  std::size_t workspace_bytes(std::size_t pixels) const noexcept {
    return kernel_->workspace_bytes(O_, K_, group_size_, pixels);
  }

 private:
  void pack(const conv_filters& filters) {
    storage_ = buffer(kernel_->packed_bytes(O_, K_, group_size_));
    kernel_->pack(filters, storage_.data());
  }

  /// code - zero_point, along K as it is packed.
  template <class F>
  std::vector<std::int8_t> centered_codes(tensor_view<F> w, const row_scales& q) const {
    const std::size_t O = w.shape()[0], K = w.shape()[1], groups = ceil_div(K, q.group_size);
    std::vector<std::int8_t> codes(O * K);
    std::vector<std::size_t> order(K);
    for (std::size_t c = 0, k = 0; k < K; ++c)
      for (std::size_t tap = 0; tap < taps_; ++tap, ++k)
        order[k] = (c / step_channels_ * taps_ + tap) * step_channels_ + c % step_channels_;
    for (std::size_t o = 0; o < O; ++o)
      for (std::size_t k = 0; k < K; ++k) {
        const std::size_t group = o * groups + k / q.group_size;
        const int code = w.at(o, k) - (q.zero_points.empty() ? 0 : q.zero_points[group]);
        QTK_CHECK(code >= -128 && code <= 127, "packed_filters", "code (", o, ", ", k, ") is ",
                  code, " away from its zero point");
        codes[o * K + order[k]] = static_cast<std::int8_t>(code);
      }
    return codes;
  }

  std::size_t O_ = 0, K_ = 0, group_size_ = 0, taps_ = 1, step_channels_ = 1;
  const conv_kernel* kernel_ = nullptr;
  buffer storage_;
};

}  // namespace qtk::inline QTK_ABI
