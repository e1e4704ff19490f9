#pragma once

#include "qtk/cpu/target.hpp"
#include "qtk/kernels/neon/gemm_tile.hpp"

#if QTK_AARCH64
QTK_TARGET_BEGIN(QTK_FEATURES_NEON_I8MM)
/// What the kernels with matrix products share: sums in blocks of 2 x 2, row by row in a register.
namespace qtk::inline QTK_ABI::neon_i8mm {

using neon::gemm_finish_run, neon::load_step, neon::simd;

/// Panels of 16 columns, eight blocks wide, that `rows` rows take at once: 24 blocks at most leave
/// 8 of the 32 registers for both sides. A single row has a block's height too.
constexpr std::size_t panels_for(std::size_t rows) { return rows <= 2 ? 2 : 1; }

/// sums += A (2, 8) * W (2, 8)^T, the A signed as the type of its elements is.
/// By assembly, because clang 14 declares the intrinsics only where the whole unit is compiled for
/// such CPUs. Volatile keeps the order of the source, as in neon_dotprod/dot.hpp.
template <class A>
inline int32x4_t mul_add(int32x4_t sums, int8x16_t a, int8x16_t w) {
  if constexpr (std::is_signed_v<A>)
    __asm__ volatile("smmla %0.4s, %1.16b, %2.16b" : "+w"(sums) : "w"(a), "w"(w));
  else
    __asm__ volatile("usmmla %0.4s, %1.16b, %2.16b" : "+w"(sums) : "w"(a), "w"(w));
  return sums;
}

/// The sums of a tile, into blocks and back: blocks[i][j] holds rows 2 i, 2 i + 1 and columns 2 j,
/// 2 j + 1. Where the number of rows is odd, the lower half of the last ones is nothing.
template <std::size_t Rows, std::size_t Columns>
[[gnu::always_inline]] inline void to_blocks(const int32x4_t (&sums)[Rows][Columns],
                                             int32x4_t (&blocks)[ceil_div(Rows, 2)][2 * Columns]) {
  QTK_UNROLL
  for (std::size_t i = 0; i < Rows; i += 2) {
    QTK_UNROLL
    for (std::size_t j = 0; j < Columns; ++j) {
      const int64x2_t upper = vreinterpretq_s64_s32(sums[i][j]);
      const int64x2_t lower = vreinterpretq_s64_s32(sums[i + 1 < Rows ? i + 1 : i][j]);
      blocks[i / 2][2 * j] = vreinterpretq_s32_s64(vtrn1q_s64(upper, lower));
      blocks[i / 2][2 * j + 1] = vreinterpretq_s32_s64(vtrn2q_s64(upper, lower));
    }
  }
}
template <std::size_t Rows, std::size_t Columns>
[[gnu::always_inline]] inline void from_blocks(
    const int32x4_t (&blocks)[ceil_div(Rows, 2)][2 * Columns], int32x4_t (&sums)[Rows][Columns]) {
  QTK_UNROLL
  for (std::size_t i = 0; i < Rows; i += 2) {
    QTK_UNROLL
    for (std::size_t j = 0; j < Columns; ++j) {
      const int64x2_t left = vreinterpretq_s64_s32(blocks[i / 2][2 * j]);
      const int64x2_t right = vreinterpretq_s64_s32(blocks[i / 2][2 * j + 1]);
      sums[i][j] = vreinterpretq_s32_s64(vtrn1q_s64(left, right));
      if (i + 1 < Rows) sums[i + 1][j] = vreinterpretq_s32_s64(vtrn2q_s64(left, right));
    }
  }
}

}  // namespace qtk::inline QTK_ABI::neon_i8mm
QTK_TARGET_END
#endif
