#pragma once

#include "qtk/kernels/neon_i8mm/mmla.hpp"

#if QTK_AARCH64
QTK_TARGET_BEGIN(QTK_FEATURES_NEON_I8MM)
namespace qtk::inline QTK_ABI::neon_i8mm {

/// int32 sums of u8 * s8 by usmmla, which neither saturates nor rounds: two rows by two columns,
/// 8 k each. Zero points are taken off in the epilogue.
/// 6 x 16: 24 blocks. A step is 8 k; two rows, and two columns, are neighbours in a register.
struct gemm_u8s8s32_6x16c8 {
  static constexpr gemm_op op = gemm_op::u8_s8;
  static constexpr isa target = isa::neon_i8mm;
  static constexpr const char* name = "gemm_u8s8s32_6x16c8";
  static constexpr std::size_t mr = 6, nr = 16, kr = 8, mc = 144, kc = 1024;
  using a_packed = std::uint8_t;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t order(std::size_t j, std::size_t k) { return j * kr + k; }

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::uint8_t, std::int32_t>& t) {
    constexpr std::size_t height = ceil_div(Rows, 2), columns = 4 * Panels;
    int32x4_t sums[Rows][columns], acc[height][2 * columns];
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j)
        sums[i][j] = t.accumulate ? vld1q_s32(t.c + (i * columns + j) * 4) : vdupq_n_s32(0);
    }
    to_blocks(sums, acc);
    const std::uint8_t* a = t.a;
    const std::byte* b = t.b;
    std::size_t k = t.k;
    for (; k >= 2 * kr; k -= 2 * kr, a += 2 * kr * Rows, b += 2 * kr * nr) {
      add_step<Rows>(a, b, t.panel_bytes, acc);
      add_step<Rows>(a + kr * Rows, b + kr * nr, t.panel_bytes, acc);
    }
    if (k != 0) add_step<Rows>(a, b, t.panel_bytes, acc);
    from_blocks(acc, sums);
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j) vst1q_s32(t.c + (i * columns + j) * 4, sums[i][j]);
    }
  }

  template <class Sum>
  static void finish(const gemm_finish<Sum>& f) {
    gemm_finish_run<simd, nr>(f);
  }

 private:
  template <std::size_t Rows, std::size_t Height, std::size_t Blocks>
  [[gnu::always_inline]] static void add_step(const std::uint8_t* a, const std::byte* b,
                                              std::size_t panel_bytes,
                                              int32x4_t (&acc)[Height][Blocks]) {
    int8x16_t x[Height];
    load_step<kr * Rows>(a, x);
    QTK_UNROLL
    for (std::size_t j = 0; j < Blocks; j += 2) {  // g++ loads pairs at once
      const auto* const codes = reinterpret_cast<const std::int8_t*>(b + j / 8 * panel_bytes);
      const int8x16_t left = vld1q_s8(codes + j % 8 * 16);
      const int8x16_t right = vld1q_s8(codes + j % 8 * 16 + 16);
      QTK_UNROLL
      for (std::size_t i = 0; i < Height; ++i) {
        acc[i][j] = mul_add<std::uint8_t>(acc[i][j], x[i], left);
        acc[i][j + 1] = mul_add<std::uint8_t>(acc[i][j + 1], x[i], right);
      }
    }
  }
};

}  // namespace qtk::inline QTK_ABI::neon_i8mm
QTK_TARGET_END
#endif
