#pragma once

#include "qtk/kernels/scalar/gemm_tile.hpp"

namespace qtk::inline QTK_ABI::scalar {

/// int32 sums of (u8 - zero point) * s8. Exact while they fit: K <= 65793 at the extremes.
struct gemm_u8s8s32_4x8 {
  static constexpr gemm_op op = gemm_op::u8_s8;
  static constexpr isa target = isa::scalar;
  static constexpr const char* name = "gemm_u8s8s32_4x8";
  static constexpr std::size_t mr = 4, nr = 8, kr = 1, mc = 64, kc = 512;
  using a_packed = std::int16_t;  // the zero point is taken off by the packer
  static constexpr std::size_t panels(std::size_t) { return 1; }
  static constexpr std::size_t order(std::size_t j, std::size_t) { return j; }

  template <std::size_t Rows, std::size_t>
  static void run(const gemm_tile<std::int16_t, std::int32_t>& t) {
    if (!t.accumulate) std::fill_n(t.c, Rows * nr, 0);
    const std::int16_t* a = t.a;
    const auto* b = reinterpret_cast<const std::int8_t*>(t.b);
    for (std::size_t k = 0; k < t.k; ++k, a += Rows, b += nr)
      for (std::size_t i = 0; i < Rows; ++i)
        for (std::size_t j = 0; j < nr; ++j) t.c[i * nr + j] += a[i] * b[j];
  }

  template <class Sum>
  static void finish(const gemm_finish<Sum>& f) {
    gemm_finish_run<simd, nr>(f);
  }
};

}  // namespace qtk::inline QTK_ABI::scalar
