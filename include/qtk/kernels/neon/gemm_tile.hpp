#pragma once

#include <algorithm>
#include <numeric>
#include <utility>

#include "qtk/core/numeric.hpp"
#include "qtk/kernels/neon/simd.hpp"
#include "qtk/kernels/tile.hpp"

#if QTK_AARCH64
/// What the GEMM kernels of this ISA share: the epilogue, the shape of the register tile, and how
/// packed rows are read.
namespace qtk::inline QTK_ABI::neon {

/// Panels of 16 columns, four registers wide, that `rows` rows take at once: 24 accumulators at
/// most leave 8 of the 32 registers for weights and broadcast.
constexpr std::size_t panels_for(std::size_t rows) { return rows <= 3 ? 2 : 1; }

/// The next `Bytes` of memory, an even number; nothing else is read. What lies behind them in the
/// register is anything.
template <std::size_t Bytes>
inline int8x8_t load_half(const std::int8_t* p) {
  static_assert(Bytes % 2 == 0 && Bytes <= 8);
  if constexpr (Bytes == 8) {
    return vld1_s8(p);
  } else if constexpr (Bytes == 2) {
    std::int16_t two;
    std::memcpy(&two, p, sizeof two);
    return vreinterpret_s8_s16(vdup_n_s16(two));
  } else {
    std::int32_t four;
    std::memcpy(&four, p, sizeof four);
    const int8x8_t first = vreinterpret_s8_s32(vdup_n_s32(four));
    if constexpr (Bytes == 4) return first;
    std::int16_t last;
    std::memcpy(&last, p + 4, sizeof last);
    return vreinterpret_s8_s16(vset_lane_s16(last, vreinterpret_s16_s8(first), 2));
  }
}
template <std::size_t Bytes>
inline int8x16_t load_part(const std::int8_t* p) {
  if constexpr (Bytes == 16)
    return vld1q_s8(p);
  else if constexpr (Bytes <= 8)
    return vcombine_s8(load_half<Bytes>(p), vdup_n_s8(0));
  else
    return vcombine_s8(vld1_s8(p), load_half<Bytes - 8>(p + 8));
}

/// Steps whose packed rows, `row_bytes` of each row a step, fill whole registers: nothing is put
/// together from parts, and the loop's own instructions are shared (6 x 16, fp32: 1.2 instead
/// of 1.4 instructions for each multiply-add).
constexpr std::size_t whole_steps(std::size_t rows, std::size_t row_bytes) {
  return 16 / std::gcd(rows * row_bytes, std::size_t{16});
}

/// `Bytes` of packed rows, what steps of the tile multiply with: 16 to a register, by lanes.
template <std::size_t Bytes>
inline void load_step(const void* p, int8x16_t* to) {
  constexpr std::size_t whole = Bytes / 16;
  const auto* const bytes = static_cast<const std::int8_t*>(p);
  QTK_UNROLL
  for (std::size_t v = 0; v < whole; ++v) to[v] = load_part<16>(bytes + 16 * v);
  if constexpr (Bytes % 16 != 0) to[whole] = load_part<Bytes % 16>(bytes + 16 * whole);
}

#  include "../gemm_finish_body.inl"

}  // namespace qtk::inline QTK_ABI::neon
#endif
