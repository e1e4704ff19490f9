#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "qtk/core/tensor.hpp"

namespace qtk::inline QTK_ABI {

namespace detail {
/// |x| < limit for all; false for NaN, which as bits lies above infinity.
[[nodiscard]] inline bool all_below(std::span<const float> values, float limit) noexcept {
  const auto end = std::bit_cast<std::int32_t>(limit);
  std::int32_t above = 0;
  for (const float x : values) above |= (std::bit_cast<std::int32_t>(x) & 0x7fffffff) >= end;
  return above == 0;
}
}  // namespace detail

/// qtk::error "where: nan at row 3, column 7 of [4, 9]" for the first value of row `r` that is NaN
/// or has a magnitude of `limit` or more (infinity: any finite value passes).
inline void check_row(tensor_view<const fp32> x, std::size_t r, std::string_view where,
                      float limit = std::numeric_limits<float>::infinity()) {
  const std::span<const float> row(x.row(r), x.cols());
  if (detail::all_below(row, limit)) [[likely]]
    return;
  std::size_t c = 0;
  while (detail::all_below(row.subspan(c, 1), limit)) ++c;
  fail(cat(row[c], " at row ", r, ", column ", c, " of ", x.shape()), std::string(where));
}

/// The same for all rows: data that a user hands over is finite, or its place is named.
inline void check_finite(tensor_view<const fp32> x, std::string_view where) {
  for (std::size_t r = 0; r < x.rows(); ++r) check_row(x, r, where);
}

}  // namespace qtk::inline QTK_ABI
