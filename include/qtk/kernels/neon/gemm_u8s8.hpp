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
    constexpr std::size_t columns = 4 * Panels, at_once = whole_steps(Rows, sizeof(std::int16_t));
    int32x4_t acc[Rows][columns];
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j)
        acc[i][j] = t.accumulate ? vld1q_s32(t.c + (i * columns + j) * 4) : vdupq_n_s32(0);
    }
    const std::int16_t* a = t.a;
    const std::byte* b = t.b;
    std::size_t left = t.k;
    for (; left >= at_once; left -= at_once, a += at_once * Rows, b += at_once * nr)
      add_steps(acc, a, b, t.panel_bytes, std::make_index_sequence<at_once>{});
    for (; left != 0; --left, a += Rows, b += nr)
      add_steps(acc, a, b, t.panel_bytes, std::index_sequence<0>{});
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

 private:
  template <std::size_t Rows, std::size_t Columns, std::size_t... Step>
  [[gnu::always_inline]] static void add_steps(int32x4_t (&acc)[Rows][Columns],
                                               const std::int16_t* a, const std::byte* b,
                                               std::size_t panel_bytes,
                                               std::index_sequence<Step...>) {
    int8x16_t x[ceil_div(sizeof...(Step) * Rows, 8)];  // int16
    load_step<2 * sizeof...(Step) * Rows>(a, x);
    (add_step<Step * Rows>(acc, b + Step * nr, panel_bytes, x), ...);
  }
  /// One k, whose rows' values begin with the one numbered `First` in `x`.
  template <std::size_t First, std::size_t Rows, std::size_t Columns>
  [[gnu::always_inline]] static void add_step(int32x4_t (&acc)[Rows][Columns], const std::byte* b,
                                              std::size_t panel_bytes, const int8x16_t* x) {
    QTK_UNROLL
    for (std::size_t j = 0; j < Columns; j += 4) {
      const int8x16_t codes =
          vld1q_s8(reinterpret_cast<const std::int8_t*>(b + j / 4 * panel_bytes));
      const std::make_index_sequence<Rows> rows;
      add_products<First>(acc, j, vmovl_s8(vget_low_s8(codes)), x, rows);
      add_products<First>(acc, j + 2, vmovl_high_s8(codes), x, rows);
    }
  }
  /// Eight columns from the four of acc[.][j] on.
  template <std::size_t First, std::size_t Columns, std::size_t... Row>
  [[gnu::always_inline]] static void add_products(int32x4_t (&acc)[sizeof...(Row)][Columns],
                                                  std::size_t j, int16x8_t w, const int8x16_t* x,
                                                  std::index_sequence<Row...>) {
    ((acc[Row][j] = add_lower<(First + Row) % 8>(acc[Row][j], w, x[(First + Row) / 8])), ...);
    ((acc[Row][j + 1] = add_upper<(First + Row) % 8>(acc[Row][j + 1], w, x[(First + Row) / 8])),
     ...);
  }
  // Volatile, or g++ 12 for -mtune=neoverse-n1 spills sums of 3 and 5 rows. Elements of 16 bits are
  // taken from registers 0 to 15 only: "x".
  template <std::size_t Lane>
  static int32x4_t add_lower(int32x4_t sum, int16x8_t w, int8x16_t x) {
    __asm__ volatile("smlal %0.4s, %1.4h, %2.h[%3]" : "+w"(sum) : "w"(w), "x"(x), "i"(Lane));
    return sum;
  }
  template <std::size_t Lane>
  static int32x4_t add_upper(int32x4_t sum, int16x8_t w, int8x16_t x) {
    __asm__ volatile("smlal2 %0.4s, %1.8h, %2.h[%3]" : "+w"(sum) : "w"(w), "x"(x), "i"(Lane));
    return sum;
  }
};

}  // namespace qtk::inline QTK_ABI::neon
#endif
