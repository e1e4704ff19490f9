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
///
/// In quads: k are numbered four channels of a tap at a time, as a kernel that takes quads reads
/// them side by side (conv_args::quads); channels that are missing have zeros.
class packed_filters {
 public:
  packed_filters() = default;

  /// qtk::error for another rank than 2, for integer products of floats, for codes that are more
  /// than 8 bits away from their zero point, and for more of K under one scale than int32 sums.
  /// `taps`: kh * kw, where the filters may be packed in quads.
  template <storage_format F>
  requires weight_format<std::remove_const_t<F>>
  explicit packed_filters(tensor_view<F> w,
                          compute how = packed_weights::default_compute<std::remove_const_t<F>>(),
                          isa target = active_isa(), std::size_t taps = 0)
      : kernel_(&find_conv(how == compute::integer ? conv_op::int8 : conv_op::f32, target)) {
    QTK_CHECK(w.shape().rank() == 2, "packed_filters", "weights ", w.shape(), " are not (O, K)");
    O_ = w.shape()[0];
    K_ = packed_K_ = group_size_ = w.shape()[1];
    if (how == compute::real) {
      const tensor<fp32> values = dequantize(w);
      pack({.O = O_, .K = K_, .data = values.data(), .group_size = K_});
    } else if constexpr (std::remove_const_t<F>::quantized) {
      QTK_CHECK(w.quantization() != nullptr, "packed_filters", "codes without scales");
      const row_scales q(*w.quantization(), w.shape());
      group_size_ = q.group_size;
      check_exact(group_size_, "packed_filters");
      std::vector<std::int8_t> codes = centered_codes(w, q);
      if (kernel_->takes_quads && group_size_ == K_ && serves_quads(taps))
        codes = in_quads(codes, taps);
      pack({.O = O_,
            .K = packed_K_,
            .data = codes.data(),
            .group_size = packed_group_size(),
            .scales = q.scales.data()});
    } else {
      fail(cat("integer products of ", name(F::id)), "packed_filters");
    }
  }
  template <weight_format F>
  explicit packed_filters(const tensor<F>& w, compute how = packed_weights::default_compute<F>(),
                          isa target = active_isa(), std::size_t taps = 0)
      : packed_filters(w.view(), how, target, taps) {}

  std::size_t O() const noexcept { return O_; }
  std::size_t K() const noexcept { return K_; }
  /// Of the kernel: with the channels that quads are filled up with.
  std::size_t packed_K() const noexcept { return packed_K_; }
  std::size_t packed_group_size() const noexcept { return quads() ? packed_K_ : group_size_; }
  bool quads() const noexcept { return quad_taps_ != 0; }
  /// Of a window that these filters are in quads for.
  std::size_t quad_taps() const noexcept { return quad_taps_; }
  /// Elements of K that share a scale: K itself per channel.
  std::size_t group_size() const noexcept { return group_size_; }
  const conv_kernel& kernel() const noexcept { return *kernel_; }
  const void* data() const noexcept { return storage_.data(); }
  std::size_t size_bytes() const noexcept { return storage_.size_bytes(); }
  std::size_t workspace_bytes(std::size_t pixels) const noexcept {
    return kernel_->workspace_bytes(O_, packed_K_, packed_group_size(), pixels);
  }

 private:
  void pack(const conv_filters& filters) {
    storage_ = buffer(kernel_->packed_bytes(O_, filters.K, filters.group_size));
    kernel_->pack(filters, storage_.data());
  }

  /// Not for one tap, which packing reads once anyway, nor where most of a quad would be missing.
  bool serves_quads(std::size_t taps) const noexcept {
    return taps > 1 && K_ % taps == 0 && K_ / taps >= 3;
  }
  std::vector<std::int8_t> in_quads(const std::vector<std::int8_t>& codes, std::size_t taps) {
    const std::size_t channels = K_ / taps;
    quad_taps_ = taps;
    packed_K_ = round_up(channels, 4) * taps;
    std::vector<std::int8_t> quads(O_ * packed_K_);
    for (std::size_t o = 0; o < O_; ++o)
      for (std::size_t c = 0; c < channels; ++c)
        for (std::size_t t = 0; t < taps; ++t)
          quads[o * packed_K_ + (c / 4 * taps + t) * 4 + c % 4] = codes[o * K_ + c * taps + t];
    return quads;
  }

  /// code - zero_point.
  template <class F>
  static std::vector<std::int8_t> centered_codes(tensor_view<F> w, const row_scales& q) {
    const std::size_t O = w.shape()[0], K = w.shape()[1], groups = ceil_div(K, q.group_size);
    std::vector<std::int8_t> codes;
    codes.reserve(O * K);
    for (std::size_t o = 0; o < O; ++o)
      for (std::size_t k = 0; k < K; ++k) {
        const std::size_t group = o * groups + k / q.group_size;
        const int code = w.at(o, k) - (q.zero_points.empty() ? 0 : q.zero_points[group]);
        QTK_CHECK(code >= -128 && code <= 127, "packed_filters", "code (", o, ", ", k, ") is ",
                  code, " away from its zero point");
        codes.push_back(static_cast<std::int8_t>(code));
      }
    return codes;
  }

  std::size_t O_ = 0, K_ = 0, packed_K_ = 0, group_size_ = 0, quad_taps_ = 0;
  const conv_kernel* kernel_ = nullptr;
  buffer storage_;
};

}  // namespace qtk::inline QTK_ABI
