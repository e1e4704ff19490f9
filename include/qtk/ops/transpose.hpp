#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "qtk/core/config.hpp"
#include "qtk/core/numeric.hpp"
#include "qtk/ops/copy.hpp"

/// Transposes of elements of 1, 2 and 4 bytes, block by block in registers.
namespace qtk::inline QTK_ABI {

/// A line of the cache: what a transpose reads and writes while it is near.
inline constexpr std::size_t cache_line = 64;

namespace detail {

/// a and b element by element: of their first halves and of their second ones.
template <class Vector, std::size_t... I>
QTK_ALWAYS_INLINE void zip(Vector a, Vector b, Vector& first, Vector& second,
                           std::index_sequence<I...>) noexcept {
  constexpr std::size_t n = sizeof...(I);
  first = __builtin_shufflevector(a, b, static_cast<int>(I / 2 + I % 2 * n)...);
  second = __builtin_shufflevector(a, b, static_cast<int>(I / 2 + I % 2 * n + n / 2)...);
}

/// N x N elements transposed in registers of N.
template <class T, std::size_t N>
void transpose_block(const std::byte* from, std::ptrdiff_t from_step, std::byte* to,
                     std::ptrdiff_t to_step) noexcept {
  using vector [[gnu::vector_size(N * sizeof(T))]] = T;
  vector a[N], b[N];
  QTK_UNROLL
  for (std::size_t i = 0; i < N; ++i, from += from_step) a[i] = load_unaligned<vector>(from);
  QTK_UNROLL
  for (std::size_t step = 1; step < N; step *= 2) {
    QTK_UNROLL
    for (std::size_t i = 0; i < N / 2; ++i)
      zip(a[i], a[i + N / 2], b[2 * i], b[2 * i + 1], std::make_index_sequence<N>{});
    QTK_UNROLL
    for (std::size_t i = 0; i < N; ++i) a[i] = b[i];
  }
  QTK_UNROLL
  for (std::size_t i = 0; i < N; ++i, to += to_step) store_unaligned(to, a[i]);
}

/// A plane of at least N x N whose columns follow each other in `to`, whose rows do in `from`.
/// Where N doesn't divide, the last blocks begin earlier and write some elements twice.
template <class T, std::size_t N>
void transpose_plane(const copy_plane& p, const std::byte* from, std::byte* to) noexcept {
  constexpr std::size_t tile = cache_line / sizeof(T);
  for (std::size_t r = 0; r < p.rows; r += tile)
    for (std::size_t c = 0; c < p.columns; c += tile)
      for (std::size_t i = r; i < p.rows && i - r < tile; i += N)
        for (std::size_t j = c; j < p.columns && j - c < tile; j += N) {
          const auto row = static_cast<std::ptrdiff_t>(std::min(i, p.rows - N));
          const auto column = static_cast<std::ptrdiff_t>(std::min(j, p.columns - N));
          transpose_block<T, N>(from + row * p.from_row + column * p.from_column, p.from_column,
                                to + row * p.to_row + column * p.to_column, p.to_row);
        }
}

}  // namespace detail

using transpose_function = void (*)(const copy_plane&, const std::byte*, std::byte*) noexcept;

/// The transpose by the largest blocks that fit; null where there is none for such elements. 64 K
/// floats take 12 us, one by one 20; 64 K bytes 3.4 instead of 18. Elements of 8 bytes gain
/// nothing.
[[nodiscard]] inline transpose_function find_transpose(std::size_t size, std::size_t smaller) {
  if (size == 1 && smaller >= 16) return detail::transpose_plane<std::uint8_t, 16>;
  if (size == 1 && smaller >= 8) return detail::transpose_plane<std::uint8_t, 8>;
  if (size == 2 && smaller >= 8) return detail::transpose_plane<std::uint16_t, 8>;
  if (size == 2 && smaller >= 4) return detail::transpose_plane<std::uint16_t, 4>;
  if (size == 4 && smaller >= 4) return detail::transpose_plane<std::uint32_t, 4>;
  return nullptr;
}

}  // namespace qtk::inline QTK_ABI
