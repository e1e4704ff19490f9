#pragma once

#include "qtk/core/int4.hpp"
#include "qtk/kernels/scalar/gemm_tile.hpp"

namespace qtk::inline QTK_ABI::scalar {

#include "../gemm_s8s4_body.inl"

/// s8 times int4, plain loops: dots (Rows, nr) += a * code.
struct int4_steps {
  static constexpr std::size_t nr = 8, kr = 1;
  static constexpr std::size_t order(std::size_t j, std::size_t) { return j; }

  template <std::size_t Rows>
  static void run(const std::int8_t* a, const std::byte* codes, std::size_t k, std::int32_t* dots) {
    for (; k != 0; --k, a += Rows, codes += nr / 2)
      for (std::size_t j = 0; j < nr; ++j) {
        const int code = nibble::raw(reinterpret_cast<const std::uint8_t*>(codes), j);
        for (std::size_t i = 0; i < Rows; ++i) dots[i * nr + j] += a[i] * code;
      }
  }
};

/// In groups.
struct gemm_s8s4f32_4x8 : int4_steps {
  static constexpr gemm_op op = gemm_op::s8_s4;
  static constexpr isa target = isa::scalar;
  static constexpr const char* name = "gemm_s8s4f32_4x8";
  static constexpr std::size_t mr = 4, mc = 64, kc = 512;
  using a_packed = std::int8_t;
  static constexpr std::size_t panels(std::size_t) { return 1; }

  template <std::size_t Rows, std::size_t Panels>
  static void multiply(const std::int8_t* a, const std::byte* codes, std::size_t, fetch_stream&,
                       std::size_t k, const std::int32_t* start,
                       std::int32_t (&dots)[Rows][nr * Panels]) {
    for (std::size_t i = 0; i < Rows; ++i) std::fill_n(dots[i], nr, start[i]);
    int4_steps::run<Rows>(a, codes, k, dots[0]);
  }
  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int8_t, float>& t) {
    gemm_s8s4_run<gemm_s8s4f32_4x8, Rows, Panels>(t);
  }
  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }
};

/// Under one scale.
struct gemm_s8s4s32_4x8 : int4_steps {
  static constexpr gemm_op op = gemm_op::s8_s4_channel;
  static constexpr isa target = isa::scalar;
  static constexpr const char* name = "gemm_s8s4s32_4x8";
  static constexpr std::size_t mr = 4, mc = 64, kc = 512;
  using a_packed = std::int8_t;
  static constexpr std::size_t panels(std::size_t) { return 1; }

  template <std::size_t Rows, std::size_t>
  static void run(const gemm_tile<std::int8_t, std::int32_t>& t) {
    if (!t.accumulate) std::fill_n(t.c, Rows * nr, 0);
    int4_steps::run<Rows>(t.a, t.b, t.k, t.c);
  }
  template <class Sum>
  static void finish(const gemm_finish<Sum>& f) {
    gemm_finish_run<simd, nr>(f);
  }
};

}  // namespace qtk::inline QTK_ABI::scalar
