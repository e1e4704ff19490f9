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

  template <std::size_t Rows, std::size_t Columns>
  [[gnu::always_inline]] static void add(const std::int8_t* a, const std::byte* codes,
                                         std::size_t panel_bytes, std::size_t k,
                                         int32x4_t (&sums)[Rows][Columns]) {
    constexpr std::size_t at_once = std::min(whole_steps(Rows, kr), std::size_t{4});
    constexpr std::size_t step_bytes = nr * kr / 2, steps_in_int16 = 16;
    for (std::size_t steps = k / kr; steps != 0;) {
      std::size_t left = steps < steps_in_int16 ? steps : steps_in_int16;
      steps -= left;
      int16x8_t acc[Rows][Columns];
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        QTK_UNROLL
        for (std::size_t j = 0; j < Columns; ++j) acc[i][j] = vdupq_n_s16(0);
      }
      for (; left >= at_once; left -= at_once) {
        add_steps(acc, a, codes, panel_bytes, std::make_index_sequence<at_once>{});
        a += at_once * kr * Rows;
        codes += at_once * step_bytes;
      }
      for (; left != 0; --left, a += kr * Rows, codes += step_bytes)
        add_steps(acc, a, codes, panel_bytes, std::index_sequence<0>{});
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        QTK_UNROLL
        for (std::size_t j = 0; j < Columns; ++j) sums[i][j] = vpadalq_s16(sums[i][j], acc[i][j]);
      }
    }
  }

 private:
  template <std::size_t Rows, std::size_t Columns, std::size_t... Step>
  [[gnu::always_inline]] static void add_steps(int16x8_t (&acc)[Rows][Columns],
                                               const std::int8_t* a, const std::byte* codes,
                                               std::size_t panel_bytes,
                                               std::index_sequence<Step...>) {
    int8x16_t x[ceil_div(sizeof...(Step) * Rows, 8)];  // pairs of k
    load_step<kr * sizeof...(Step) * Rows>(a, x);
    (add_step<Step * Rows>(acc, codes + Step * (nr * kr / 2), panel_bytes, x,
                           std::make_index_sequence<Rows>{}),
     ...);
  }
  /// A step whose rows' pairs begin with the one numbered `First` in `x`.
  template <std::size_t First, std::size_t Columns, std::size_t... Row>
  [[gnu::always_inline]] static void add_step(int16x8_t (&acc)[sizeof...(Row)][Columns],
                                              const std::byte* codes, std::size_t panel_bytes,
                                              const int8x16_t* x, std::index_sequence<Row...>) {
    QTK_UNROLL
    for (std::size_t j = 0; j < Columns; j += 4) {
      const uint8x16_t both =
          vld1q_u8(reinterpret_cast<const std::uint8_t*>(codes + j / 4 * panel_bytes));
      const int8x16_t lo = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
      const int8x16_t hi = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
      (add_products(acc[Row] + j, lo, hi, broadcast<(First + Row) % 8>(x[(First + Row) / 8])), ...);
    }
  }
  // Volatile: g++ 12 would load each pair by itself, two instructions, and spill sums.
  [[gnu::always_inline]] static void add_products(int16x8_t* sums, int8x16_t lo, int8x16_t hi,
                                                  int8x16_t x) {
    __asm__ volatile("smlal %0.8h, %1.8b, %2.8b" : "+w"(sums[0]) : "w"(lo), "w"(x));
    __asm__ volatile("smlal2 %0.8h, %1.16b, %2.16b" : "+w"(sums[1]) : "w"(lo), "w"(x));
    __asm__ volatile("smlal %0.8h, %1.8b, %2.8b" : "+w"(sums[2]) : "w"(hi), "w"(x));
    __asm__ volatile("smlal2 %0.8h, %1.16b, %2.16b" : "+w"(sums[3]) : "w"(hi), "w"(x));
  }
  template <std::size_t Pair>
  static int8x16_t broadcast(int8x16_t pairs) {
    int8x16_t x;
    __asm__ volatile("dup %0.8h, %1.h[%2]" : "=w"(x) : "w"(pairs), "i"(Pair));
    return x;
  }
};

#  include "gemm_int4.inl"

}  // namespace qtk::inline QTK_ABI::neon
#endif
