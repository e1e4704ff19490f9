#pragma once

#include <cstring>

#include "qtk/core/half.hpp"
#include "qtk/core/int4.hpp"
#include "qtk/kernels/scalar/gemm_tile.hpp"

namespace qtk::inline QTK_ABI::scalar {

/// Weight (column j, one k) of a panel of nr columns as fp32, header included. Shared with the
/// portable SIMD kernels.
template <gemm_op Op, std::size_t Nr>
struct f32_weights {
  static constexpr std::size_t step_bytes = Nr * gemm_op_traits<Op>::weight_bits / 8;
  static constexpr std::size_t header_bytes = Nr * gemm_op_traits<Op>::header_bytes;

  static float load(const std::byte* codes, const std::byte* header, std::size_t j) {
    if constexpr (Op == gemm_op::f32_f32) {
      return element<float>(codes, j);
    } else if constexpr (Op == gemm_op::f32_f16) {
      return to_float(element<half>(codes, j));
    } else if constexpr (gemm_op_traits<Op>::bf16) {
      return to_float(element<bfloat16>(codes, j));
    } else {
      const int code =
          Op == gemm_op::f32_s8
              ? int{element<std::int8_t>(codes, j)}
              : int{nibble::raw(reinterpret_cast<const std::uint8_t*>(codes), order(j))};
      const int zero_point = element<std::int8_t>(header + Nr * sizeof(float), j);
      return element<float>(header, j) * static_cast<float>(code - zero_point);
    }
  }
  /// Place of column j among the nr codes of one k. Nibbles: the low ones are the first half of the
  /// columns, the high ones the second, so that a vector is unpacked by one mask or shift.
  static constexpr std::size_t order(std::size_t j) {
    return Op == gemm_op::f32_s4 ? j % (Nr / 2) * 2 + j / (Nr / 2) : j;
  }

 private:
  template <class T>
  static T element(const std::byte* p, std::size_t j) {
    T x;
    std::memcpy(&x, p + j * sizeof(T), sizeof(T));
    return x;
  }
};

inline constexpr const char* gemm_f32_names[] = {"gemm_f32f32f32_4x8",  "gemm_f32f16f32_4x8",
                                                 "gemm_f32bf16f32_4x8", "gemm_f32s8f32_4x8",
                                                 "gemm_f32s4f32_4x8",   "gemm_bf16bf16f32_4x8"};

/// C = A * W in fp32, weights widened one by one.
template <gemm_op Op>
struct gemm_f32_4x8 {
  static constexpr gemm_op op = Op;
  static constexpr isa target = isa::scalar;
  static constexpr std::size_t mr = 4, nr = 8, kr = 1, mc = 64, kc = 256;
  static constexpr const char* name = gemm_f32_names[static_cast<std::size_t>(Op)];
  using a_packed = float;
  using weights = f32_weights<Op, nr>;
  static constexpr std::size_t panels(std::size_t) { return 1; }
  static constexpr std::size_t order(std::size_t j, std::size_t) { return weights::order(j); }

  template <std::size_t Rows, std::size_t>
  static void run(const gemm_tile<float, float>& t) {
    if (!t.accumulate) std::fill_n(t.c, Rows * nr, 0.0f);
    const float* a = t.a;
    const std::byte* group = t.b;
    std::size_t skip = t.skip;
    for (std::size_t left = t.k; left != 0; group += t.group_bytes, skip = 0) {
      const std::size_t length =
          weights::header_bytes == 0 ? left : std::min(left, t.group_k - skip);
      left -= length;
      const std::byte* codes = group + weights::header_bytes + skip * weights::step_bytes;
      for (std::size_t k = 0; k < length; ++k, codes += weights::step_bytes, a += Rows)
        for (std::size_t j = 0; j < nr; ++j) {
          const float w = weights::load(codes, group, j);
          for (std::size_t i = 0; i < Rows; ++i) t.c[i * nr + j] += a[i] * w;
        }
    }
  }
  template <std::size_t Rows, std::size_t>
  static void run_rows(const gemm_tile<float, float>& t) requires(Op == gemm_op::f32_f32) {
    std::fill_n(t.c, Rows * nr, 0.0f);
    const auto* const rows = reinterpret_cast<const float*>(t.b);
    for (std::size_t k = 0; k < t.k; ++k)
      for (std::size_t j = 0; j < nr; ++j)
        for (std::size_t i = 0; i < Rows; ++i)
          t.c[i * nr + j] += t.a[k * Rows + i] * rows[t.offsets[k] + j];
  }
  template <std::size_t Rows, std::size_t Panels>
  static void finish_rows(const gemm_tile<float, float>& t) requires(Op == gemm_op::f32_f32) {
    run_rows<Rows, Panels>(t);
    finish(*t.finish);
  }

  static void round_row(std::size_t n, const float* x, float* out) {
    for (std::size_t i = 0; i < n; ++i) out[i] = to_float(to_bfloat16(x[i]));
  }
  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }
};

}  // namespace qtk::inline QTK_ABI::scalar
