#pragma once

#include "qtk/kernels/neon/probe.hpp"
#include "qtk/kernels/neon_dotprod/dot.hpp"

#if QTK_AARCH64
QTK_TARGET_BEGIN(QTK_FEATURES_NEON_DOTPROD)
namespace qtk::inline QTK_ABI::neon_dotprod {

/// 16 products of 8 bits and their sums: 32 operations a step.
inline double probe_int8(std::size_t rounds) {
  constexpr std::size_t chains = 16;
  int32x4_t sum[chains];
  QTK_UNROLL
  for (std::size_t k = 0; k < chains; ++k) sum[k] = vdupq_n_s32(static_cast<std::int32_t>(k));
  const int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(-5);
  for (std::size_t r = 0; r < rounds; ++r) {
    QTK_UNROLL
    for (std::size_t k = 0; k < chains; ++k) sum[k] = dot_lane<1>(sum[k], a, b);
  }
  return 2.0 * 16 * chains * static_cast<double>(rounds);
}

inline constexpr probe_kernels probe{isa::neon_dotprod, &neon::probe_fp32, &neon::probe_fp32,
                                     &probe_int8, &neon::probe_read};

}  // namespace qtk::inline QTK_ABI::neon_dotprod
QTK_TARGET_END
#endif
