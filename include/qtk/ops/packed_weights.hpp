#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "qtk/core/tensor.hpp"
#include "qtk/kernels/gemm.hpp"

namespace qtk::inline QTK_ABI {

/// In what the products of a layer are formed.
///   real     fp32 activations as they are; for codes: "weight-only", smaller files and less memory
///            traffic. Weights are widened to fp32, or activations split (gemm_kernel::splits)
///   bf16     weights and activations are bf16, sums fp32: twice the speed of fp32 where the CPU
///            multiplies bf16
///   integer  activations are quantized at run time and multiplied as integers ("dynamic")
enum class compute : std::uint8_t { real, bf16, integer };

/// A weight format that a kernel takes.
template <class F>
concept weight_format =
    float_format<F> || std::same_as<F, int8> || std::same_as<F, int4> || std::same_as<F, uint4>;

/// Integer sums run over the elements of K that share a scale, in int32: products of uint8 and int8
/// codes reach 255 * 128 each. qtk::error where a sum of so many need not fit.
inline void check_exact(std::size_t group_size, std::string_view where) {
  constexpr std::size_t most = 2147483647 / (255 * 128);  // 65793
  QTK_CHECK(group_size <= most, where, "integer sums over ", group_size,
            " products may not fit 32 bits, supported are ", most, ": store the weights in groups");
}

/// The scales of weights (N, K) as kernels read them: one (and a zero point) for each row and group
/// along K, whatever the block is, per tensor, channel or group.
struct row_scales {
  std::size_t group_size = 0;
  std::vector<float> scales;              // (N, groups)
  std::vector<std::int32_t> zero_points;  // likewise; empty: all 0

  row_scales() = default;
  row_scales(const quantization& q, const shape& s) : group_size(q.block[1]) {
    const block_grid blocks(s, q.block);
    const bool zero = std::all_of(q.zero_points.begin(), q.zero_points.end(),
                                  [](std::int32_t z) { return z == 0; });
    for (std::size_t n = 0; n < s[0]; ++n)
      for (std::size_t g = 0; g < blocks.runs_per_row(); ++g) {
        const std::size_t from = blocks.first_block(n) + g;
        scales.push_back(q.scales[from]);
        if (!zero) zero_points.push_back(q.zero_points[from]);
      }
  }
};

/// Weights (N, K) laid out for the kernel that this CPU runs best; made once, read by any number of
/// threads.
class packed_weights {
 public:
  packed_weights() = default;

  /// qtk::error for what no kernel takes: another rank than 2, and with integer products, floats,
  /// int8 with zero points or with groups along K, or more of K under one scale than int32 sums.
  template <storage_format F>
  requires weight_format<std::remove_const_t<F>>
  explicit packed_weights(tensor_view<F> w, compute how = default_compute<std::remove_const_t<F>>(),
                          isa target = active_isa()) {
    using format = std::remove_const_t<F>;
    QTK_CHECK(w.shape().rank() == 2, "packed_weights", "weights ", w.shape(), " are not (N, K)");
    N_ = w.shape()[0];
    K_ = group_size_ = w.shape()[1];
    gemm_weights source{.N = N_, .K = K_, .data = w.data(), .row_stride = w.row_stride()};
    row_scales q;
    if constexpr (format::quantized) {
      QTK_CHECK(w.quantization() != nullptr, "packed_weights", "codes without scales");
      q = row_scales(*w.quantization(), w.shape());
      group_size_ = q.group_size;
      QTK_CHECK(
          how == compute::real || format::packed || (group_size_ >= K_ && q.zero_points.empty()),
          "packed_weights", "int8 x int8 takes symmetric scales per tensor or per channel");
      source.scales = q.scales.data();
      source.zero_points = q.zero_points.empty() ? nullptr : q.zero_points.data();
      source.unsigned_codes = std::same_as<format, uint4>;
    }
    source.group_size = group_size_;
    kernel_ = &find_gemm(op_for<format>(how, group_size_ < K_), target);
    if (how == compute::integer) check_exact(group_size_, "packed_weights");
    storage_ = buffer(kernel_->packed_bytes(N_, K_, group_size_));
    kernel_->pack(source, storage_.data());
  }
  template <weight_format F>
  explicit packed_weights(const tensor<F>& w, compute how = default_compute<F>(),
                          isa target = active_isa())
      : packed_weights(w.view(), how, target) {}

  template <storage_format F>
  [[nodiscard]] static constexpr compute default_compute() noexcept {
    return F::quantized ? compute::integer : compute::real;
  }

  std::size_t N() const noexcept { return N_; }
  std::size_t K() const noexcept { return K_; }
  /// Elements of K that share a scale: K itself per channel.
  std::size_t group_size() const noexcept { return group_size_; }
  const gemm_kernel& kernel() const noexcept { return *kernel_; }
  const void* data() const noexcept { return storage_.data(); }
  std::size_t size_bytes() const noexcept { return storage_.size_bytes(); }

  /// "gemm_u8s8s32_6x16c4 (avx2), W (256, 1024) packed in 266240 bytes"
  [[nodiscard]] std::string explain() const {
    return cat(kernel_->name, " (", name(kernel_->target), "), W (", N_, ", ", K_, ") packed in ",
               size_bytes(), " bytes", group_size_ == K_ ? "" : cat(", groups of ", group_size_));
  }

 private:
  template <weight_format F>
  static gemm_op op_for(compute how, [[maybe_unused]] bool grouped) {
    if constexpr (F::quantized) {
      if (how == compute::integer)
        return !F::packed ? gemm_op::u8_s8 : grouped ? gemm_op::s8_s4 : gemm_op::s8_s4_channel;
      return F::packed ? gemm_op::f32_s4 : gemm_op::f32_s8;
    } else {
      if (how == compute::bf16 && F::id == dtype::bf16) return gemm_op::bf16_bf16;
      QTK_CHECK(how == compute::real, "packed_weights",
                how == compute::integer ? "integer" : "bf16", " products of ", name(F::id));
      return F::id == dtype::fp32   ? gemm_op::f32_f32
             : F::id == dtype::fp16 ? gemm_op::f32_f16
                                    : gemm_op::f32_bf16;
    }
  }

  std::size_t N_ = 0, K_ = 0, group_size_ = 0;
  const gemm_kernel* kernel_ = nullptr;
  buffer storage_;
};

}  // namespace qtk::inline QTK_ABI
