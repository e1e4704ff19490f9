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

/// The sums of a tile (Rows, 4 * Quads), into blocks and back: blocks[i][j] holds rows 2 i, 2 i + 1
/// and columns 2 j, 2 j + 1. Where Rows is odd, the lower half of the last ones is nothing.
template <std::size_t Rows, std::size_t Quads>
[[gnu::always_inline]] inline void load_blocks(const std::int32_t* c,
                                               int32x4_t (&blocks)[ceil_div(Rows, 2)][2 * Quads]) {
  QTK_UNROLL
  for (std::size_t i = 0; i < Rows; i += 2) {
    QTK_UNROLL
    for (std::size_t j = 0; j < Quads; ++j) {
      const std::int32_t* const from = c + (i * Quads + j) * 4;
      const int32x4_t upper = vld1q_s32(from);
      const int32x4_t lower = i + 1 < Rows ? vld1q_s32(from + 4 * Quads) : upper;
      blocks[i / 2][2 * j] = vcombine_s32(vget_low_s32(upper), vget_low_s32(lower));
      blocks[i / 2][2 * j + 1] = vcombine_s32(vget_high_s32(upper), vget_high_s32(lower));
    }
  }
}
template <std::size_t Rows, std::size_t Quads>
[[gnu::always_inline]] inline void store_blocks(
    const int32x4_t (&blocks)[ceil_div(Rows, 2)][2 * Quads], std::int32_t* c) {
  QTK_UNROLL
  for (std::size_t i = 0; i < Rows; i += 2) {
    QTK_UNROLL
    for (std::size_t j = 0; j < Quads; ++j) {
      std::int32_t* const to = c + (i * Quads + j) * 4;
      const int32x4_t left = blocks[i / 2][2 * j], right = blocks[i / 2][2 * j + 1];
      vst1q_s32(to, vcombine_s32(vget_low_s32(left), vget_low_s32(right)));
      if (i + 1 < Rows)
        vst1q_s32(to + 4 * Quads, vcombine_s32(vget_high_s32(left), vget_high_s32(right)));
    }
  }
}

}  // namespace qtk::inline QTK_ABI::neon_i8mm
QTK_TARGET_END
#endif
