#pragma once

#include "qtk/kernels/avx512_vnni/probe.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512_BF16)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512_bf16 {

/// 32 products of bf16 and their sums: 64 operations a step.
inline double probe_bf16(std::size_t rounds) {
  constexpr std::size_t chains = 12;
  __m512 sum[chains];
  QTK_UNROLL
  for (std::size_t k = 0; k < chains; ++k) sum[k] = _mm512_set1_ps(static_cast<float>(k));
  const __m512i a = _mm512_set1_epi32(0x3f803f80), b = _mm512_set1_epi32(0x3a803a80);
  for (std::size_t r = 0; r < rounds; ++r) {
    QTK_UNROLL
    for (std::size_t k = 0; k < chains; ++k)
      sum[k] = _mm512_dpbf16_ps(sum[k], (__m512bh)a, (__m512bh)b);
  }
  __m512 total = sum[0];
  QTK_UNROLL
  for (std::size_t k = 1; k < chains; ++k) total = _mm512_add_ps(total, sum[k]);
  __asm__ volatile("" : "+v"(total));
  return 64.0 * chains * static_cast<double>(rounds);
}

inline constexpr probe_kernels probe{isa::avx512_bf16, &avx512::probe_fp32, &probe_bf16,
                                     &avx512_vnni::probe_int8, &avx512::probe_read};

}  // namespace qtk::inline QTK_ABI::avx512_bf16
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
