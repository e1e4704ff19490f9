#pragma once

#include "qtk/kernels/neon/gemm_tile.hpp"

#if QTK_AARCH64
namespace qtk::inline QTK_ABI::neon {

/// int32 sums of (u8 - zero point) * s8 by smlal, int16 x int16 to int32: exact, and in the AArch64
/// baseline (no dot product instructions). A is widened and freed of its zero point by the packer.
struct gemm_u8s8s32_6x16 {
  static constexpr gemm_op op = gemm_op::u8_s8;
  static constexpr isa target = isa::neon;
  static constexpr const char* name = "gemm_u8s8s32_6x16";
  static constexpr std::size_t mr = 6, nr = 16, kr = 1, mc = 144, kc = 512;
  using a_packed = std::int16_t;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t order(std::size_t j, std::size_t) { return j; }

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int16_t, std::int32_t>& t) {
    constexpr std::size_t columns = 4 * Panels;
    int32x4_t acc[Rows][columns];
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j)
        acc[i][j] = t.accumulate ? vld1q_s32(t.c + (i * columns + j) * 4) : vdupq_n_s32(0);
    }
    const std::int16_t* a = t.a;
    const std::byte* b = t.b;
    for (std::size_t k = 0; k < t.k; ++k, a += Rows, b += nr) {
      int16x4_t w[columns];
      QTK_UNROLL
      for (std::size_t p = 0; p < Panels; ++p) {
        const int8x16_t codes =
            vld1q_s8(reinterpret_cast<const std::int8_t*>(b + p * t.panel_bytes));
        const int16x8_t lo = vmovl_s8(vget_low_s8(codes)), hi = vmovl_s8(vget_high_s8(codes));
        w[4 * p] = vget_low_s16(lo);
        w[4 * p + 1] = vget_high_s16(lo);
        w[4 * p + 2] = vget_low_s16(hi);
        w[4 * p + 3] = vget_high_s16(hi);
      }
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        const int16x4_t x = vdup_n_s16(a[i]);
        QTK_UNROLL
        for (std::size_t j = 0; j < columns; ++j) acc[i][j] = vmlal_s16(acc[i][j], w[j], x);
      }
    }
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j) vst1q_s32(t.c + (i * columns + j) * 4, acc[i][j]);
    }
  }

  template <class Sum>
  static void finish(const gemm_finish<Sum>& f) {
    gemm_finish_run<simd, nr>(f);
  }
};

}  // namespace qtk::inline QTK_ABI::neon
#endif
