#pragma once

#include "qtk/kernels/avx512/elementwise.hpp"
#include "qtk/kernels/avx512/gemm_tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512 {

inline constexpr isa bf16_target = isa::avx512;

/// vdpbf16ps in two multiply-adds, in its order: no faster than fp32, but with half of its weights,
/// and with the results and the code of avx512_bf16.
QTK_ALWAYS_INLINE __m512 dot(__m512 sum, __m512i a, __m512i w) {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  const __m512 odd = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(a, high)),
                                     _mm512_castsi512_ps(_mm512_and_si512(w, high)), sum);
  return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(a, 16)),
                         _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)), odd);
}

#  include "../gemm_bf16_body.inl"

}  // namespace qtk::inline QTK_ABI::avx512
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
