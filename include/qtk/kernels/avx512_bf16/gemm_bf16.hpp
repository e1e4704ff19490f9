#pragma once

#include "qtk/kernels/avx512/elementwise.hpp"
#include "qtk/kernels/avx512/gemm_tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512_BF16)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512_bf16 {

using avx512::broadcast4, avx512::f32_to_bf16, avx512::gemm_finish_run, avx512::panels_for,
    avx512::simd;

inline constexpr isa bf16_target = isa::avx512_bf16;

/// vdpbf16ps: rounds to nearest after each product, subnormals count as zero.
QTK_ALWAYS_INLINE __m512 dot(__m512 sum, __m512i a, __m512i w) {
  return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)w);
}

#  include "../gemm_bf16_body.inl"

}  // namespace qtk::inline QTK_ABI::avx512_bf16
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
