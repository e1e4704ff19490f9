#pragma once

#include "qtk/cpu/target.hpp"
#include "qtk/kernels/elementwise_types.hpp"

#if QTK_X86_64
#  include <immintrin.h>

QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
namespace qtk::inline QTK_ABI::avx2 {

/// Twelve chains cover two multiply-adds a cycle at a latency of four, with registers to spare.
inline double probe_fp32(std::size_t rounds) {
  constexpr std::size_t chains = 12;
  __m256 sum[chains];
  QTK_UNROLL
  for (std::size_t k = 0; k < chains; ++k) sum[k] = _mm256_set1_ps(static_cast<float>(k));
  __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
  __asm__("" : "+x"(a), "+x"(b));  // clang sees that 1 * a + b is 1, and drops that chain
  for (std::size_t r = 0; r < rounds; ++r) {
    QTK_UNROLL
    for (std::size_t k = 0; k < chains; ++k) sum[k] = _mm256_fmadd_ps(sum[k], a, b);
  }
  __m256 total = sum[0];
  QTK_UNROLL
  for (std::size_t k = 1; k < chains; ++k) total = _mm256_add_ps(total, sum[k]);
  __asm__ volatile("" : "+x"(total));
  return 2.0 * chains * (256 / 32) * static_cast<double>(rounds);
}

/// 16 products of 16 bits and their pairwise sums, then 8 sums: 32 operations a step. In assembly
/// as a whole: of intrinsics g++ 12 makes a loop that spills, at half the speed.
inline double probe_int8(std::size_t rounds) {
  constexpr std::size_t chains = 12;
  if (rounds == 0) return 0.0;
  std::size_t left = rounds;
  __asm__ volatile(
      "vzeroall\n"
      "1:\n"
      ".irp chain, 0,1,2,3,4,5,6,7,8,9,10,11\n"
      "vpmaddwd %%ymm12, %%ymm13, %%ymm14\n"
      "vpaddd %%ymm14, %%ymm\\chain, %%ymm\\chain\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      : "+r"(left)
      :
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
        "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  return 32.0 * chains * static_cast<double>(rounds);
}

inline std::uint64_t probe_read(const std::byte* p, std::size_t size_bytes) {
  constexpr std::size_t chains = 4, step = chains * 32;
  __m256i sum[chains];
  QTK_UNROLL
  for (std::size_t k = 0; k < chains; ++k) sum[k] = _mm256_setzero_si256();
  for (std::size_t i = 0; i + step <= size_bytes; i += step) {
    QTK_UNROLL
    for (std::size_t k = 0; k < chains; ++k)
      sum[k] = _mm256_add_epi64(
          sum[k], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i + 32 * k)));
  }
  __m256i total = sum[0];
  QTK_UNROLL
  for (std::size_t k = 1; k < chains; ++k) total = _mm256_add_epi64(total, sum[k]);
  std::uint64_t lanes[4], result = 0;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), total);
  for (const std::uint64_t l : lanes) result += l;
  return result;
}

inline constexpr probe_kernels probe{isa::avx2, &probe_fp32, &probe_fp32, &probe_int8, &probe_read};

}  // namespace qtk::inline QTK_ABI::avx2
QTK_TARGET_END
#endif
