#pragma once

#include "qtk/kernels/avx512/probe.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512_VNNI)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512_vnni {

/// 64 products of 8 bits and their sums: 128 operations a step.
inline double probe_int8(std::size_t rounds) {
  constexpr std::size_t chains = 10;
  __m512i sum[chains];
  QTK_UNROLL
  for (std::size_t k = 0; k < chains; ++k) sum[k] = _mm512_set1_epi32(static_cast<int>(k));
  const __m512i a = _mm512_set1_epi32(0x00030002), b = _mm512_set1_epi32(0x00050001);
  for (std::size_t r = 0; r < rounds; ++r) {
    QTK_UNROLL
    for (std::size_t k = 0; k < chains; ++k) {
      sum[k] = _mm512_dpbusd_epi32(sum[k], a, b);
    }
  }
  __m512i total = sum[0];
  QTK_UNROLL
  for (std::size_t k = 1; k < chains; ++k) total = _mm512_add_epi32(total, sum[k]);
  __asm__ volatile("" : "+v"(total));
  return 128.0 * chains * static_cast<double>(rounds);
}

inline constexpr probe_kernels probe{isa::avx512_vnni, &avx512::probe_fp32, &avx512::probe_fp32,
                                     &probe_int8, &avx512::probe_read};

}  // namespace qtk::inline QTK_ABI::avx512_vnni
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
