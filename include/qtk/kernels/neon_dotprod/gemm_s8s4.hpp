#pragma once

#include "qtk/kernels/neon_dotprod/dot.hpp"

#if QTK_AARCH64
QTK_TARGET_BEGIN(QTK_FEATURES_NEON_DOTPROD)
namespace qtk::inline QTK_ABI::neon_dotprod {

#  include "../gemm_s8s4_body.inl"

/// s8 times int4 by sdot: the codes, 0..15, are signed as well.
/// A step of codes is 64 bytes, 8 k of 16 columns: the low nibbles are k 0..3, the high ones 4..7.
struct int4_steps {
  static constexpr isa target = isa::neon_dotprod;
  static constexpr const char* grouped_name = "gemm_s8s4f32_6x16c8";
  static constexpr const char* channel_name = "gemm_s8s4s32_6x16c8";
  static constexpr std::size_t mr = 6, nr = 16, kr = 8, mc = 144;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t order(std::size_t j, std::size_t k) {
    return (j * 4 + k % 4) * 2 + k / 4;
  }

  template <std::size_t Rows, std::size_t Columns>
  [[gnu::always_inline]] static void add(const std::int8_t* a, const std::byte* codes,
                                         std::size_t panel_bytes, std::size_t k,
                                         int32x4_t (&sums)[Rows][Columns]) {
    constexpr std::size_t step_bytes = nr * kr / 2;
    for (; k >= 2 * kr; k -= 2 * kr, a += 2 * kr * Rows, codes += 2 * step_bytes) {
      add_step(a, codes, panel_bytes, sums);
      add_step(a + kr * Rows, codes + step_bytes, panel_bytes, sums);
    }
    if (k != 0) add_step(a, codes, panel_bytes, sums);
  }

 private:
  template <std::size_t Rows, std::size_t Columns>
  [[gnu::always_inline]] static void add_step(const std::int8_t* a, const std::byte* codes,
                                              std::size_t panel_bytes,
                                              int32x4_t (&sums)[Rows][Columns]) {
    int8x16_t x[ceil_div(Rows, 2)];
    load_step<kr * Rows>(a, x);
    QTK_UNROLL
    for (std::size_t j = 0; j < Columns; j += 2) {  // g++ loads pairs at once
      const auto* const from =
          reinterpret_cast<const std::uint8_t*>(codes + j / 4 * panel_bytes + j % 4 * 16);
      const uint8x16_t left = vld1q_u8(from), right = vld1q_u8(from + 16);
      add_products(sums, j, left, x, std::make_index_sequence<Rows>{});
      add_products(sums, j + 1, right, x, std::make_index_sequence<Rows>{});
    }
  }
  template <std::size_t Columns, std::size_t... Row>
  [[gnu::always_inline]] static void add_products(int32x4_t (&acc)[sizeof...(Row)][Columns],
                                                  std::size_t j, uint8x16_t both,
                                                  const int8x16_t* x, std::index_sequence<Row...>) {
    const int8x16_t lo = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
    const int8x16_t hi = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
    ((acc[Row][j] = dot_lane<Row % 2 * 2>(acc[Row][j], lo, x[Row / 2])), ...);
    ((acc[Row][j] = dot_lane<Row % 2 * 2 + 1>(acc[Row][j], hi, x[Row / 2])), ...);
  }
};

#  include "../neon/gemm_int4.inl"

}  // namespace qtk::inline QTK_ABI::neon_dotprod
QTK_TARGET_END
#endif
