#pragma once

#include "qtk/kernels/avx2/gemm_tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX_VNNI)
namespace qtk::inline QTK_ABI::avx_vnni {

using avx2::broadcast4, avx2::gemm_finish_run, avx2::panels_for, avx2::simd;

inline constexpr isa vnni256_target = isa::avx_vnni;

QTK_ALWAYS_INLINE __m256i dot(__m256i sum, __m256i u, __m256i s) {
  return _mm256_dpbusd_avx_epi32(sum, u, s);
}

#  include "../gemm_s8s4_body.inl"
#  include "../gemm_vnni256_body.inl"

}  // namespace qtk::inline QTK_ABI::avx_vnni
QTK_TARGET_END
#endif
