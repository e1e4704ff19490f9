#pragma once

#include "qtk/kernels/generic/gemm_tile.hpp"
#include "qtk/kernels/scalar/gemm_f32.hpp"

#if QTK_HAS_XSIMD

namespace qtk::inline QTK_ABI::generic {

/// Weights of one k, widened one by one by the scalar kernel's loader where they are not fp32.
template <gemm_op Op, std::size_t Nr>
struct f32_weights : scalar::f32_weights<Op, Nr> {
  using scalar_weights = scalar::f32_weights<Op, Nr>;
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
template <gemm_op Op>
struct gemm_f32_4x2v {
  static constexpr gemm_op op = Op;
  static constexpr isa target = isa::generic;
  static constexpr std::size_t mr = 4, nr = 2 * simd::width, kr = 1, mc = 96, kc = 256;
  static constexpr const char* name = Op == gemm_op::f32_f32    ? "gemm_f32f32f32_4x2v"
                                      : Op == gemm_op::f32_f16  ? "gemm_f32f16f32_4x2v"
                                      : Op == gemm_op::f32_bf16 ? "gemm_f32bf16f32_4x2v"
                                      : Op == gemm_op::f32_s8   ? "gemm_f32s8f32_4x2v"
                                                                : "gemm_f32s4f32_4x2v";
  using a_packed = float;
  static constexpr std::size_t direct_rows = Op == gemm_op::f32_f32 ? mr : 1;
  using widened = gemm_f32_4x2v<gemm_op::f32_f32>;
  using weights = f32_weights<Op, nr>;
  static constexpr std::size_t panels(std::size_t rows) { return rows <= 2 ? 2 : 1; }
  static constexpr std::size_t order(std::size_t j, std::size_t) { return weights::order(j); }

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<float, float>& t) {
    gemm_f32_run<weights, Rows, Panels>(t);
  }
  static void widen(const gemm_tile<float, float>& t, std::size_t panels, float* out) {
    gemm_f32_widen<weights>(t, panels, out);
  }
  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }
};

}  // namespace qtk::inline QTK_ABI::generic
#endif
