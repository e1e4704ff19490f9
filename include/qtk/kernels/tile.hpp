#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "qtk/core/numeric.hpp"
#include "qtk/kernels/gemm_types.hpp"

/// What passes between the ISA-free driver and the microkernels: a tile of sums to form, and a tile
/// of sums to finish.
namespace qtk::inline QTK_ABI {

/// Weights that a microkernel asks for while it multiplies, into the L2 cache: in the L1 they would
/// crowd out what is being multiplied (AVX2, 128 x 4096 x 4096: 82 instead of 74 GFLOP/s). Any
/// address will do. `step` is how far it moves while 64 bytes of a panel are consumed: 64 follows
/// the tile's own weights, less lets several tiles share what lies ahead, evenly.
struct fetch_stream {
  const std::byte* next = nullptr;
  std::size_t step = 0;
  std::size_t panel_bytes = 0;

  /// For each panel, while Bytes of it are consumed. Of `Many` panels or more every second line: so
  /// many streams are found by the CPU's own prefetchers, which fill in the rest and have more
  /// requests under way than it takes from a program (4 x 4096 x 4096, AVX-512, int8: 92 instead of
  /// 84 % of the bandwidth). They are late where there is much
  /// to compute for a line: four panels of int4 are few (AVX2, M = 1: 66 instead of 75 %).
  template <std::size_t Panels, std::size_t Bytes, std::size_t Many = 4>
  QTK_ALWAYS_INLINE void advance() noexcept {
    constexpr std::size_t lines = ceil_div(Bytes, 64), stride = Panels < Many ? 1 : 2;
    if (lines >= stride || reinterpret_cast<std::uintptr_t>(next) % (stride * 64) < 64) {
      QTK_UNROLL
      for (std::size_t i = 0; i < lines; i += stride) {
        QTK_UNROLL
        for (std::size_t p = 0; p < Panels; ++p)
          __builtin_prefetch(next + p * panel_bytes + i * step, 0, 2);
      }
    }
    next += step * Bytes / 64;
  }
};

/// A block of k of one row of A that was split into digits:
///   a = unit * (65536 * d0 + 256 * d1 + d2)
/// and what the sums of products begin with, which takes off the offset that codes are stored plus:
/// -offset times the sum of d0, and of 256 * d1 + d2.
struct digit_block {
  float unit;
  std::int32_t high, low;
};

template <class Sum>
struct gemm_finish;

/// C (Rows, Panels * nr) = A (Rows, k) * W (Panels * nr, k)^T, or += where `accumulate`.
///
/// A microkernel adds along k in ascending order, one accumulator for each element of C: a result
/// depends neither on the number of rows and panels that are computed together nor on the blocks
/// of K. Latency is hidden by more panels where there are few rows.
template <class A, class Sum>
struct gemm_tile {
  const A* a = nullptr;                   // element (i, k) at (k / kr * Rows + i) * kr + k % kr;
                                          // digits: so many rows for each of the Rows
  const std::int32_t* a_sums = nullptr;   // s8_s4: (groups, Rows), -8 times the sums of A
  const digit_block* a_blocks = nullptr;  // digits: (blocks, Rows)
  const std::byte* b = nullptr;  // panel 0: the header of the group of the first k; u8_s8, f32,
                                 // f16, bf16: the first code
  const std::size_t* offsets = nullptr;      // run_rows: `b` is an image, step k of panel 0 so many
                                             // elements into it, the other panels behind
  std::size_t panel_bytes = 0;               // from one panel to the next
  std::size_t k = 0;                         // a multiple of kr
  std::size_t group_k = 0;                   // k that share a header, a multiple of kr
  std::size_t group_bytes = 0;               // from one group of a panel to the next
  std::size_t skip = 0;                      // k already done in the first group; s8_s4: 0
  const std::int8_t* zero_points = nullptr;  // s8_s4: panel 0, of the group of the first k
  bool symmetric = false;                    // all zero points are the middle of the stored codes
  fetch_stream fetch{};                      // weights to be asked for meanwhile
  Sum* c = nullptr;                          // (Rows, Panels * nr)
  bool accumulate = false;
  /// finish_rows: what becomes of the sums of all panels; c need not be written. No a_scales.
  const gemm_finish<Sum>* finish = nullptr;
};

/// One panel's worth of sums on its way to memory: `rows` x nr, all columns readable.
///   int32 sums: y = f(float(sum - zero_point[i] * column_sum[j] - row_offset[i] -
///                           a_sum[i] * b_zero_point[j]) * (a_scale[i] * scale[j]) + ...)
///   fp32 sums:  y = f(sum * a_scale[i] + ...), without a_scales f(sum + ...)
/// followed by "+ bias[j] + row_bias[i] + residual[i, j]". Multiplication and addition are rounded
/// one by one on every ISA: the integer operations give the same floats everywhere.
template <class Sum>
struct gemm_finish {
  std::size_t rows = 0;
  const Sum* sums = nullptr;
  std::size_t sums_stride = 0;
  const float* scales = nullptr;                // int32 sums: (nr), or null: all 1
  const std::int32_t* column_sums = nullptr;    // (nr), or null: zero points already taken off A
  const std::int32_t* row_offsets = nullptr;    // int32 sums: (rows) or null
  const std::int32_t* b_zero_points = nullptr;  // int32 sums: (nr) or null
  const std::int32_t* a_sums = nullptr;         // with those: (rows)
  const float* a_scales = nullptr;
  const std::int32_t* a_zero_points = nullptr;
  std::size_t a_scale_stride = 0;
  const float* bias = nullptr;      // (nr) or null
  const float* row_bias = nullptr;  // (rows) or null
  const float* residual = nullptr;  // (rows, residual_stride) or null
  std::size_t residual_stride = 0;
  float* y = nullptr;
  std::size_t y_stride = 0;
  const epilogue* out = nullptr;  // the activation
};

/// Facts of an operation that all its kernels share.
template <gemm_op Op>
struct gemm_op_traits {
  static constexpr bool integer = is_integer(Op);
  static constexpr bool int4 = Op == gemm_op::s8_s4_channel || Op == gemm_op::s8_s4;
  /// Element of A in memory.
  using a_type = std::conditional_t<Op == gemm_op::u8_s8, std::uint8_t,
                                    std::conditional_t<int4, std::int8_t, float>>;
  /// Element of a tile.
  using sum_type = std::conditional_t<integer && Op != gemm_op::s8_s4, std::int32_t, float>;
  static constexpr bool bf16 = Op == gemm_op::f32_bf16 || Op == gemm_op::bf16_bf16;
  static constexpr std::size_t weight_bits = Op == gemm_op::f32_f32                          ? 32
                                             : Op == gemm_op::f32_f16 || bf16                ? 16
                                             : Op == gemm_op::f32_s8 || Op == gemm_op::u8_s8 ? 8
                                                                                             : 4;
  /// Scales and zero points lie in front of each group's codes and are read while multiplying.
  static constexpr bool grouped =
      Op == gemm_op::f32_s8 || Op == gemm_op::f32_s4 || Op == gemm_op::s8_s4;
  /// Bytes of a group's header for each column: scale (fp32) and zero point (int8), or where the
  /// epilogue reads it, scale and column sum (u8_s8) or zero point (s8_s4_channel) in int32.
  /// s8_s4: the scale alone. Zero points, seldom read, follow the panel's codes: groups of 32 then
  /// begin and end with a cache line (AVX-512, 1 x 4096 x 4096: 4 % less time, 4 x 4096 x 4096: 5
  /// %).
  static constexpr std::size_t header_bytes = Op == gemm_op::s8_s4 ? 4
                                              : grouped            ? 5
                                              : integer            ? 8
                                                                   : 0;
  static constexpr std::size_t trailer_bytes = Op == gemm_op::s8_s4 ? 1 : 0;
};

/// Rows of packed A for each row of A: Kernel::digits where floats are split, else one.
template <class Kernel>
inline constexpr std::size_t digits_of = [] {
  if constexpr (requires { Kernel::digits; })
    return Kernel::digits;
  else
    return std::size_t{1};
}();

}  // namespace qtk::inline QTK_ABI
