#pragma once

#include "qtk/kernels/neon/gemm_tile.hpp"

#if QTK_AARCH64
namespace qtk::inline QTK_ABI::neon {

#  include "../gemm_s8s4_body.inl"

/// s8 times int4 by smlal, int8 x int8 to int16: 16 products of 15 * -128 fit (30720).
/// A step of codes is 16 bytes, 2 k of 16 columns: the low nibbles are columns 0..7, the high ones
/// 8..15. The sums of even and odd k stay apart until they are widened to int32.
struct int4_steps {
  static constexpr isa target = isa::neon;
  static constexpr const char* grouped_name = "gemm_s8s4f32_6x16c2";
  static constexpr const char* channel_name = "gemm_s8s4s32_6x16c2";
  static constexpr std::size_t mr = 6, nr = 16, kr = 2, mc = 144;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t order(std::size_t j, std::size_t k) {
    return (j % 8 * kr + k) * 2 + j / 8;
  }

  template <std::size_t Rows, std::size_t Panels>
  static void add(const std::int8_t* a, const std::byte* codes, std::size_t panel_bytes,
                  std::size_t k, std::int32_t* c) {
    constexpr std::size_t columns = 4 * Panels, step_bytes = nr * kr / 2, steps_in_int16 = 16;
    for (std::size_t steps = k / kr; steps != 0;) {
      const std::size_t chunk = steps < steps_in_int16 ? steps : steps_in_int16;
      steps -= chunk;
      int16x8_t acc[Rows][columns];
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        QTK_UNROLL
        for (std::size_t j = 0; j < columns; ++j) acc[i][j] = vdupq_n_s16(0);
      }
      for (std::size_t s = 0; s < chunk; ++s, a += kr * Rows, codes += step_bytes) {
        QTK_UNROLL
        for (std::size_t p = 0; p < Panels; ++p) {
          const uint8x16_t both =
              vld1q_u8(reinterpret_cast<const std::uint8_t*>(codes + p * panel_bytes));
          const int8x16_t lo = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
          const int8x16_t hi = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
          QTK_UNROLL
          for (std::size_t i = 0; i < Rows; ++i) {
            const int8x16_t x = broadcast2(a + i * kr);
            int16x8_t* const sums = acc[i] + 4 * p;
            sums[0] = vmlal_s8(sums[0], vget_low_s8(lo), vget_low_s8(x));
            sums[1] = vmlal_high_s8(sums[1], lo, x);
            sums[2] = vmlal_s8(sums[2], vget_low_s8(hi), vget_low_s8(x));
            sums[3] = vmlal_high_s8(sums[3], hi, x);
          }
        }
      }
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        QTK_UNROLL
        for (std::size_t j = 0; j < columns; ++j) {
          std::int32_t* const dot = c + (i * columns + j) * 4;
          vst1q_s32(dot, vpadalq_s16(vld1q_s32(dot), acc[i][j]));
        }
      }
    }
  }

 private:
  static int8x16_t broadcast2(const std::int8_t* p) {
    std::int16_t two;
    std::memcpy(&two, p, sizeof two);
    return vreinterpretq_s8_s16(vdupq_n_s16(two));
  }
};

#  include "gemm_int4.inl"

}  // namespace qtk::inline QTK_ABI::neon
#endif
