#pragma once

#include "qtk/core/int4.hpp"
#include "qtk/kernels/scalar/gemm_tile.hpp"

namespace qtk::inline QTK_ABI::scalar {

#include "../gemm_s8s4_body.inl"

/// s8 times int4 in groups, plain loops.
struct gemm_s8s4f32_4x8 {
  static constexpr gemm_op op = gemm_op::s8_s4;
  static constexpr isa target = isa::scalar;
  static constexpr const char* name = "gemm_s8s4f32_4x8";
  static constexpr std::size_t mr = 4, nr = 8, kr = 1, mc = 64, kc = 512;
  using a_packed = std::int8_t;
  static constexpr std::size_t panels(std::size_t) { return 1; }
  static constexpr std::size_t order(std::size_t j, std::size_t) { return j; }

  template <std::size_t Rows, std::size_t>
  static void multiply(const std::int8_t* a, const std::byte* codes, std::size_t, std::size_t k,
                       std::int32_t* dots) {
    std::fill_n(dots, Rows * nr, 0);
    for (; k != 0; --k, a += Rows, codes += nr / 2)
      for (std::size_t j = 0; j < nr; ++j) {
        const int code = nibble::raw(reinterpret_cast<const std::uint8_t*>(codes), j);
        for (std::size_t i = 0; i < Rows; ++i) dots[i * nr + j] += a[i] * code;
      }
  }
  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int8_t, float>& t) {
    gemm_s8s4_run<gemm_s8s4f32_4x8, Rows, Panels>(t);
  }
  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }
};

}  // namespace qtk::inline QTK_ABI::scalar
