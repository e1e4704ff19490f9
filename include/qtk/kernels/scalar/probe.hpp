#pragma once

#include "qtk/kernels/elementwise_types.hpp"

/// The portable probe: what this compiler makes of plain loops at the user's own optimization
/// level.
namespace qtk::inline QTK_ABI::scalar {

inline double probe_fp32(std::size_t rounds) {
  constexpr std::size_t chains = 16;
  float sum[chains];
  for (std::size_t i = 0; i < chains; ++i) sum[i] = static_cast<float>(i);
  float a = 0.999f, b = 1e-3f;
  for (std::size_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+r"(a), "+r"(b));  // unknown each round: nothing folds
    QTK_UNROLL
    for (std::size_t i = 0; i < chains; ++i) sum[i] = sum[i] * a + b;
  }
  for (const float& s : sum) __asm__ volatile("" ::"r"(s));
  return 2.0 * chains * static_cast<double>(rounds);
}

inline double probe_int8(std::size_t rounds) {
  constexpr std::size_t chains = 16;
  std::int32_t sum[chains] = {};
  std::int32_t a = 3, b = -5;
  for (std::size_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+r"(a), "+r"(b));
    QTK_UNROLL
    for (std::size_t i = 0; i < chains; ++i) {
      std::int32_t product = a * b;
      __asm__ volatile("" : "+r"(product));
      sum[i] += product;
    }
  }
  for (const std::int32_t& s : sum) __asm__ volatile("" ::"r"(s));
  return 2.0 * chains * static_cast<double>(rounds);
}

inline std::uint64_t probe_read(const std::byte* p, std::size_t size_bytes) {
  std::uint64_t sum[8] = {};
  for (std::size_t i = 0; i + 64 <= size_bytes; i += 64)
    for (std::size_t l = 0; l < 8; ++l) {
      std::uint64_t word;
      __builtin_memcpy(&word, p + i + 8 * l, 8);
      sum[l] += word;
    }
  return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

inline constexpr probe_kernels probe{isa::scalar, &probe_fp32, &probe_fp32, &probe_int8,
                                     &probe_read};

}  // namespace qtk::inline QTK_ABI::scalar
