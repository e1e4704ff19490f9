#pragma once

#include "qtk/kernels/neon_dotprod/dot.hpp"

#if QTK_AARCH64
QTK_TARGET_BEGIN(QTK_FEATURES_NEON_DOTPROD)
namespace qtk::inline QTK_ABI::neon_dotprod {

/// int32 sums of u8 * s8 by sdot, which wants both signed: u8 ^ 0x80 is u8 - 128 as s8, and 128
/// times the column sums come back on top. Sums wrap around on the way where they must; what fits
/// in the end is exact. Zero points are taken off in the epilogue.
/// 6 x 16: 24 accumulators; the rows are multiplied by lane. A step is 4 k.
/// `A` is what is in the rows: activations in a product of matrices; in a convolution weights, and
/// then the panels are signed pixels.
template <class A>
struct gemm_6x16c4 {
  static constexpr bool signed_rows = std::is_signed_v<A>;
  static constexpr gemm_op op = gemm_op::u8_s8;
  static constexpr isa target = isa::neon_dotprod;
  static constexpr const char* name = signed_rows ? "gemm_s8s8s32_6x16c4" : "gemm_u8s8s32_6x16c4";
  static constexpr std::size_t mr = 6, nr = 16, kr = 4, mc = 144, kc = 1024;
  using a_packed = A;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t order(std::size_t j, std::size_t k) { return j * kr + k; }

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<A, std::int32_t>& t) {
    constexpr std::size_t columns = 4 * Panels, at_once = whole_steps(Rows, kr);
    int32x4_t acc[Rows][columns];
    QTK_UNROLL
    for (std::size_t j = 0; j < columns; ++j) {
      const int32x4_t start = first_sums(t.b + j / 4 * t.panel_bytes, j % 4);
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i)
        acc[i][j] = t.accumulate ? vld1q_s32(t.c + (i * columns + j) * 4) : start;
    }
    const A* a = t.a;
    const std::byte* b = t.b;
    std::size_t left = t.k / kr;
    for (; left >= at_once; left -= at_once) {
      add_steps(acc, a, b, t.panel_bytes, std::make_index_sequence<at_once>{});
      a += at_once * kr * Rows;
      b += at_once * kr * nr;
    }
    for (; left != 0; --left, a += kr * Rows, b += kr * nr)
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
  /// What four columns of a panel start with. Its header, the column sums over all of K at the end,
  /// lies in front of the codes where a tile doesn't accumulate: there k is 0.
  static int32x4_t first_sums(const std::byte* codes, std::size_t quad) {
    if constexpr (signed_rows) return vdupq_n_s32(0);
    const auto* const column_sums = reinterpret_cast<const std::int32_t*>(codes) - nr;
    return vshlq_n_s32(vld1q_s32(column_sums + 4 * quad), 7);
  }
  template <std::size_t Rows, std::size_t Columns, std::size_t... Step>
  [[gnu::always_inline]] static void add_steps(int32x4_t (&acc)[Rows][Columns], const A* a,
                                               const std::byte* b, std::size_t panel_bytes,
                                               std::index_sequence<Step...>) {
    constexpr std::size_t quads = ceil_div(sizeof...(Step) * Rows, 4);
    int8x16_t x[quads];
    load_step<kr * sizeof...(Step) * Rows>(a, x);
    if constexpr (!signed_rows) {
      QTK_UNROLL
      for (std::size_t q = 0; q < quads; ++q) x[q] = veorq_s8(x[q], vdupq_n_s8(-128));
    }
    (add_step<Step * Rows>(acc, b + Step * kr * nr, panel_bytes, x), ...);
  }
  /// A step whose rows' codes begin with the four numbered `First` in `x`.
  template <std::size_t First, std::size_t Rows, std::size_t Columns>
  [[gnu::always_inline]] static void add_step(int32x4_t (&acc)[Rows][Columns], const std::byte* b,
                                              std::size_t panel_bytes, const int8x16_t* x) {
    QTK_UNROLL
    for (std::size_t j = 0; j < Columns; j += 2) {
      const auto* const w = reinterpret_cast<const std::int8_t*>(b + j / 4 * panel_bytes);
      const int8x16_t left = vld1q_s8(w + j % 4 * 16), right = vld1q_s8(w + j % 4 * 16 + 16);
      add_products<First>(acc, j, left, x, std::make_index_sequence<Rows>{});
      add_products<First>(acc, j + 1, right, x, std::make_index_sequence<Rows>{});
    }
  }
  template <std::size_t First, std::size_t Columns, std::size_t... Row>
  [[gnu::always_inline]] static void add_products(int32x4_t (&acc)[sizeof...(Row)][Columns],
                                                  std::size_t j, int8x16_t w, const int8x16_t* x,
                                                  std::index_sequence<Row...>) {
    ((acc[Row][j] = dot_lane<(First + Row) % 4>(acc[Row][j], w, x[(First + Row) / 4])), ...);
  }
};

using gemm_u8s8s32_6x16c4 = gemm_6x16c4<std::uint8_t>;
using gemm_s8s8s32_6x16c4 = gemm_6x16c4<std::int8_t>;

}  // namespace qtk::inline QTK_ABI::neon_dotprod
QTK_TARGET_END
#endif
