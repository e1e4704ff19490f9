#pragma once

#include "qtk/cpu/target.hpp"
#include "qtk/kernels/elementwise_types.hpp"

#if QTK_X86_64
#  include <immintrin.h>

QTK_TARGET_BEGIN(QTK_FEATURES_AVX512)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512 {

/// Twelve chains cover two multiply-adds a cycle at a latency of four, with registers to spare.
inline double probe_fp32(std::size_t rounds) {
  constexpr std::size_t chains = 12;
  __m512 sum[chains];
  QTK_UNROLL
  for (std::size_t k = 0; k < chains; ++k) sum[k] = _mm512_set1_ps(static_cast<float>(k));
  __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
  __asm__("" : "+v"(a), "+v"(b));  // clang sees that 1 * a + b is 1, and drops that chain
  for (std::size_t r = 0; r < rounds; ++r) {
    QTK_UNROLL
    for (std::size_t k = 0; k < chains; ++k) sum[k] = _mm512_fmadd_ps(sum[k], a, b);
  }
  __m512 total = sum[0];
  QTK_UNROLL
  for (std::size_t k = 1; k < chains; ++k) total = _mm512_add_ps(total, sum[k]);
  __asm__ volatile("" : "+v"(total));
  return 2.0 * chains * (512 / 32) * static_cast<double>(rounds);
}

/// 32 products of 16 bits and their pairwise sums, then 16 sums: 64 operations a step.
inline double probe_int8(std::size_t rounds) {
  constexpr std::size_t chains = 12;
  __m512i sum[chains];
  QTK_UNROLL
  for (std::size_t k = 0; k < chains; ++k) sum[k] = _mm512_set1_epi32(static_cast<int>(k));
  __m512i a = _mm512_set1_epi32(0x00030002), b = _mm512_set1_epi32(0x00050001);
  for (std::size_t r = 0; r < rounds; ++r) {
    QTK_UNROLL
    for (std::size_t k = 0; k < chains; ++k) {
      __asm__("" : "+v"(a));  // or the product is formed once
      sum[k] = _mm512_add_epi32(sum[k], _mm512_madd_epi16(a, b));
    }
  }
  __m512i total = sum[0];
  QTK_UNROLL
  for (std::size_t k = 1; k < chains; ++k) total = _mm512_add_epi32(total, sum[k]);
  __asm__ volatile("" : "+v"(total));
  return 64.0 * chains * static_cast<double>(rounds);
}

inline std::uint64_t probe_read(const std::byte* p, std::size_t size_bytes) {
  constexpr std::size_t chains = 4, step = chains * 64;
  __m512i sum[chains];
  QTK_UNROLL
  for (std::size_t k = 0; k < chains; ++k) sum[k] = _mm512_setzero_si512();
  for (std::size_t i = 0; i + step <= size_bytes; i += step) {
    QTK_UNROLL
    for (std::size_t k = 0; k < chains; ++k)
      sum[k] = _mm512_add_epi64(sum[k], _mm512_loadu_si512(p + i + 64 * k));
  }
  __m512i total = sum[0];
  QTK_UNROLL
  for (std::size_t k = 1; k < chains; ++k) total = _mm512_add_epi64(total, sum[k]);
  std::uint64_t lanes[8], result = 0;
  _mm512_storeu_si512(lanes, total);
  for (const std::uint64_t l : lanes) result += l;
  return result;
}

inline constexpr probe_kernels probe{isa::avx512, &probe_fp32, &probe_fp32, &probe_int8,
                                     &probe_read};

}  // namespace qtk::inline QTK_ABI::avx512
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
