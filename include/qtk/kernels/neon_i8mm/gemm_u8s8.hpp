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
    constexpr std::size_t height = ceil_div(Rows, 2), columns = 8 * Panels;
    int32x4_t acc[height][columns];
    if (t.accumulate) {
      load_blocks<Rows, columns / 2>(t.c, acc);
    } else {
      QTK_UNROLL
      for (std::size_t i = 0; i < height; ++i) {
        QTK_UNROLL
        for (std::size_t j = 0; j < columns; ++j) acc[i][j] = vdupq_n_s32(0);
      }
    }
    const std::uint8_t* a = t.a;
    const std::byte* b = t.b;
    for (std::size_t k = 0; k < t.k; k += kr, a += kr * Rows, b += kr * nr) {
      int8x16_t x[height];
      load_step<kr * Rows>(a, x);
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j) {
        const auto* const codes = reinterpret_cast<const std::int8_t*>(b + j / 8 * t.panel_bytes);
        const int8x16_t w = vld1q_s8(codes + j % 8 * 16);
        QTK_UNROLL
        for (std::size_t i = 0; i < height; ++i)
          acc[i][j] = mul_add<std::uint8_t>(acc[i][j], x[i], w);
      }
    }
    store_blocks<Rows, columns / 2>(acc, t.c);
  }

  template <class Sum>
  static void finish(const gemm_finish<Sum>& f) {
    gemm_finish_run<simd, nr>(f);
  }
};

}  // namespace qtk::inline QTK_ABI::neon_i8mm
QTK_TARGET_END
#endif
