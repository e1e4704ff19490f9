#pragma once

#include <cstring>

#include "qtk/core/int4.hpp"
#include "qtk/kernels/scalar/gemm_tile.hpp"

namespace qtk::inline QTK_ABI::scalar {

/// Per group: int32 sum of s8 * (u4 - zero point), times the group's scale, added up in fp32.
struct gemm_s8s4f32_4x8 {
  static constexpr gemm_op op = gemm_op::s8_s4;
  static constexpr isa target = isa::scalar;
  static constexpr const char* name = "gemm_s8s4f32_4x8";
  static constexpr std::size_t mr = 4, nr = 8, kr = 1, mc = 64, kc = 512;
  using a_packed = std::int8_t;
  static constexpr std::size_t panels(std::size_t) { return 1; }
  static constexpr std::size_t order(std::size_t j, std::size_t) { return j; }

  template <std::size_t Rows, std::size_t>
  static void run(const gemm_tile<std::int8_t, float>& t) {
    if (!t.accumulate) std::fill_n(t.c, Rows * nr, 0.0f);
    const std::int8_t* a = t.a;
    const std::int32_t* a_sums = t.a_sums;
    const std::byte* group = t.b;
    for (std::size_t left = t.k; left != 0; group += t.group_bytes, a_sums += Rows) {
      const std::size_t length = std::min(left, t.group_k);
      left -= length;
      float scales[nr];
      std::int8_t zero_points[nr];
      std::memcpy(scales, group, sizeof scales);
      std::memcpy(zero_points, group + sizeof scales, sizeof zero_points);
      const auto* codes = reinterpret_cast<const std::uint8_t*>(group + nr * 5);
      std::int32_t sums[Rows][nr] = {};
      for (std::size_t k = 0; k < length; ++k, a += Rows, codes += nr / 2)
        for (std::size_t j = 0; j < nr; ++j)
          for (std::size_t i = 0; i < Rows; ++i) sums[i][j] += a[i] * nibble::raw(codes, j);
      for (std::size_t i = 0; i < Rows; ++i)
        for (std::size_t j = 0; j < nr; ++j) {
          const auto sum = static_cast<float>(sums[i][j] - zero_points[j] * a_sums[i]);
          t.c[i * nr + j] += simd::rounded(sum * scales[j]);
        }
    }
  }

  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }
};

}  // namespace qtk::inline QTK_ABI::scalar
