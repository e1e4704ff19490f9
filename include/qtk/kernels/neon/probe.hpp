#pragma once

#include "qtk/core/config.hpp"
#include "qtk/kernels/elementwise_types.hpp"

#if QTK_AARCH64
#  include <arm_neon.h>

namespace qtk::inline QTK_ABI::neon {

/// Sixteen chains cover four multiply-adds a cycle at a latency of four.
inline double probe_fp32(std::size_t rounds) {
  constexpr std::size_t chains = 16;
  float32x4_t sum[chains];
  QTK_UNROLL
  for (std::size_t k = 0; k < chains; ++k) sum[k] = vdupq_n_f32(static_cast<float>(k));
  const float32x4_t a = vdupq_n_f32(0.999f), b = vdupq_n_f32(1e-3f);
  for (std::size_t r = 0; r < rounds; ++r) {
    QTK_UNROLL
    for (std::size_t k = 0; k < chains; ++k)
      __asm__ volatile("fmla %0.4s, %1.4s, %2.s[1]" : "+w"(sum[k]) : "w"(a), "w"(b));
  }
  return 2.0 * 4 * chains * static_cast<double>(rounds);
}

/// Four products of 16 bits and their sums: 8 operations a step.
inline double probe_int8(std::size_t rounds) {
  constexpr std::size_t chains = 16;
  int32x4_t sum[chains];
  QTK_UNROLL
  for (std::size_t k = 0; k < chains; ++k) sum[k] = vdupq_n_s32(static_cast<std::int32_t>(k));
  const int16x8_t a = vdupq_n_s16(3), b = vdupq_n_s16(-5);
  for (std::size_t r = 0; r < rounds; ++r) {
    QTK_UNROLL
    for (std::size_t k = 0; k < chains; ++k)
      __asm__ volatile("smlal %0.4s, %1.4h, %2.h[1]" : "+w"(sum[k]) : "w"(a), "x"(b));
  }
  return 2.0 * 4 * chains * static_cast<double>(rounds);
}

inline std::uint64_t probe_read(const std::byte* p, std::size_t size_bytes) {
  constexpr std::size_t chains = 8, step = chains * 16;
  uint64x2_t sum[chains];
  QTK_UNROLL
  for (std::size_t k = 0; k < chains; ++k) sum[k] = vdupq_n_u64(0);
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(p);
  for (std::size_t i = 0; i + step <= size_bytes; i += step) {
    QTK_UNROLL
    for (std::size_t k = 0; k < chains; ++k)
      sum[k] = vaddq_u64(sum[k], vreinterpretq_u64_u8(vld1q_u8(bytes + i + 16 * k)));
  }
  QTK_UNROLL
  for (std::size_t k = 1; k < chains; ++k) sum[0] = vaddq_u64(sum[0], sum[k]);
  return vgetq_lane_u64(sum[0], 0) + vgetq_lane_u64(sum[0], 1);
}

inline constexpr probe_kernels probe{isa::neon, &probe_fp32, &probe_fp32, &probe_int8, &probe_read};

}  // namespace qtk::inline QTK_ABI::neon
#endif
