#pragma once

#include "qtk/kernels/neon_i8mm/mmla.hpp"

#if QTK_AARCH64
QTK_TARGET_BEGIN(QTK_FEATURES_NEON_I8MM)
namespace qtk::inline QTK_ABI::neon_i8mm {

#  include "../gemm_s8s4_body.inl"

/// s8 times int4 by smmla: two rows by two columns, 8 k each.
/// A step of codes is 64 bytes, 8 k of 16 columns: of each four columns, the low nibbles are the
/// first two, the high ones the others.
struct int4_steps {
  static constexpr isa target = isa::neon_i8mm;
  static constexpr const char* grouped_name = "gemm_s8s4f32_6x16c8";
  static constexpr const char* channel_name = "gemm_s8s4s32_6x16c8";
  static constexpr std::size_t mr = 6, nr = 16, kr = 8, mc = 144;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t order(std::size_t j, std::size_t k) {
    return (j / 4 * 16 + j % 2 * 8 + k) * 2 + j / 2 % 2;
  }

  template <std::size_t Rows, std::size_t Columns>
  [[gnu::always_inline]] static void add(const std::int8_t* a, const std::byte* codes,
                                         std::size_t panel_bytes, std::size_t k,
                                         int32x4_t (&sums)[Rows][Columns]) {
    constexpr std::size_t height = ceil_div(Rows, 2), step_bytes = nr * kr / 2;
    int32x4_t acc[height][2 * Columns];
    to_blocks(sums, acc);
    for (; k >= 2 * kr; k -= 2 * kr, a += 2 * kr * Rows, codes += 2 * step_bytes) {
      add_step<Rows>(a, codes, panel_bytes, acc);
      add_step<Rows>(a + kr * Rows, codes + step_bytes, panel_bytes, acc);
    }
    if (k != 0) add_step<Rows>(a, codes, panel_bytes, acc);
    from_blocks(acc, sums);
  }

 private:
  template <std::size_t Rows, std::size_t Height, std::size_t Blocks>
  [[gnu::always_inline]] static void add_step(const std::int8_t* a, const std::byte* codes,
                                              std::size_t panel_bytes,
                                              int32x4_t (&acc)[Height][Blocks]) {
    int8x16_t x[Height];
    load_step<kr * Rows>(a, x);
    QTK_UNROLL
    for (std::size_t j = 0; j < Blocks; j += 4) {  // g++ loads pairs at once
      const auto* const from =
          reinterpret_cast<const std::uint8_t*>(codes + j / 8 * panel_bytes + j % 8 * 8);
      const uint8x16_t left = vld1q_u8(from), right = vld1q_u8(from + 16);
      add_products(acc, j, left, x);
      add_products(acc, j + 2, right, x);
    }
  }
  /// Four columns, two blocks.
  template <std::size_t Height, std::size_t Blocks>
  [[gnu::always_inline]] static void add_products(int32x4_t (&acc)[Height][Blocks], std::size_t j,
                                                  uint8x16_t both, const int8x16_t* x) {
    const int8x16_t lo = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
    const int8x16_t hi = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
    QTK_UNROLL
    for (std::size_t i = 0; i < Height; ++i) {
      acc[i][j] = mul_add<std::int8_t>(acc[i][j], x[i], lo);
      acc[i][j + 1] = mul_add<std::int8_t>(acc[i][j + 1], x[i], hi);
    }
  }
};

#  include "../neon/gemm_int4.inl"

}  // namespace qtk::inline QTK_ABI::neon_i8mm
QTK_TARGET_END
#endif
