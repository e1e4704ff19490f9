#pragma once

#include "qtk/kernels/generic/gemm_tile.hpp"
#include "qtk/kernels/scalar/gemm_f32.hpp"

#if QTK_HAS_XSIMD

namespace qtk::inline QTK_ABI::generic {

/// Weights of one k, widened one by one by the scalar kernel's loader where they are not fp32.
template <gemm_op Op, std::size_t Nr>
struct f32_weights : scalar::f32_weights<Op, Nr> {
  using scalar_weights = scalar::f32_weights<Op, Nr>;
  using plain = f32_weights<gemm_op::f32_f32, Nr>;
  static constexpr std::size_t nr = Nr;

  static void load(const std::byte* codes, const std::byte* header, simd::f32* w) {
    float widened[nr];
    const float* from = widened;
    if constexpr (Op == gemm_op::f32_f32)
      from = reinterpret_cast<const float*>(codes);
    else
      for (std::size_t j = 0; j < nr; ++j) widened[j] = scalar_weights::load(codes, header, j);
    QTK_UNROLL
    for (std::size_t v = 0; v < nr / simd::width; ++v) w[v] = simd::load(from + v * simd::width);
  }
};

#  include "../gemm_f32_body.inl"

/// Four rows by two vectors: 8 accumulators suit the 16 registers of every architecture.
struct f32_4x2v {
  static constexpr isa target = isa::generic;
  static constexpr std::size_t mr = 4, nr = 2 * simd::width, mc = 96, kc = 256, direct_rows = 1;
  static constexpr const char* names[] = {"gemm_f32f32f32_4x2v",  "gemm_f32f16f32_4x2v",
                                          "gemm_f32bf16f32_4x2v", "gemm_f32s8f32_4x2v",
                                          "gemm_f32s4f32_4x2v",   "gemm_bf16bf16f32_4x2v"};
  static constexpr std::size_t panels(std::size_t rows) { return rows <= 2 ? 2 : 1; }
  static constexpr std::size_t grouped_panels(std::size_t) { return 1; }
};
template <gemm_op Op>
using gemm_f32_4x2v = gemm_f32<Op, f32_4x2v, f32_weights<Op, f32_4x2v::nr>>;

}  // namespace qtk::inline QTK_ABI::generic
#endif
