#pragma once

#include <array>
#include <cstddef>
#include <cstring>

#include "qtk/core/shape.hpp"

/// Moving elements about: slicing, transposing, expanding, padding and concatenating are all one
/// copy between two strided layouts.
namespace qtk::inline QTK_ABI {

/// Elements between neighbors along each dimension; 0 repeats, negative walks back.
using strides = std::array<std::ptrdiff_t, shape::max_rank>;

[[nodiscard]] inline strides row_major(const shape& s) noexcept {
  strides out{};
  std::size_t step = 1;  // unsigned: it may wrap in shapes that have no elements
  for (std::size_t d = s.rank(); d-- > 0;) {
    out[d] = static_cast<std::ptrdiff_t>(step);
    step *= s[d];
  }
  return out;
}

/// Strides of a tensor of shape `s` read as `target` under the broadcasting rule: a dimension of 1
/// is repeated, missing leading ones are added. qtk::error where they don't fit.
[[nodiscard]] inline strides broadcast_strides(const shape& s, const shape& target) {
  QTK_CHECK(s.rank() <= target.rank(), "broadcast", s, " to ", target);
  const strides own = row_major(s);
  strides out{};
  for (std::size_t d = 0; d < s.rank(); ++d) {
    const std::size_t t = d + target.rank() - s.rank();
    QTK_CHECK(s[d] == target[t] || s[d] == 1, "broadcast", s, " to ", target);
    out[t] = s[d] == 1 ? 0 : own[d];
  }
  return out;
}

/// The shape that both broadcast to (numpy's rule, as in ONNX).
[[nodiscard]] inline shape broadcast_shape(const shape& a, const shape& b) {
  const std::size_t rank = a.rank() > b.rank() ? a.rank() : b.rank();
  shape out;
  for (std::size_t d = 0; d < rank; ++d) {
    const auto dim = [&](const shape& s) {
      return d + s.rank() < rank ? 1 : s[d + s.rank() - rank];
    };
    const std::size_t x = dim(a), y = dim(b);
    QTK_CHECK(x == y || x == 1 || y == 1, "broadcast", a, " with ", b);
    out.push_back(x == 1 ? y : x);
  }
  return out;
}

/// Calls f(offset_a, offset_b) for each row (all dimensions but the last) of `dims`; offsets in
/// elements.
template <class Function>
void for_each_row(const shape& dims, const strides& a, const strides& b, Function&& f) {
  const std::size_t outer = dims.rank() == 0 ? 0 : dims.rank() - 1;
  if (dims.elements() == 0) return;
  std::array<std::size_t, shape::max_rank> at{};
  std::ptrdiff_t ia = 0, ib = 0;
  for (;;) {
    f(ia, ib);
    std::size_t d = outer;
    for (; d-- > 0;) {
      ia += a[d];
      ib += b[d];
      if (++at[d] < dims[d]) break;
      const auto n = static_cast<std::ptrdiff_t>(dims[d]);
      ia -= n * a[d];
      ib -= n * b[d];
      at[d] = 0;
    }
    if (d == static_cast<std::size_t>(-1)) return;
  }
}

namespace detail {

/// copy_strided where dimension `d` walks through the source one by one and the last doesn't: in
/// tiles, so that a cache line serves all of its elements while it is near. 64 K elements turned
/// take 20 us instead of 94 row by row.
template <std::size_t Size>
void copy_turned(const shape& dims, std::size_t d, const std::byte* src, const strides& from,
                 std::byte* dst, const strides& to) {
  constexpr std::size_t tile = 16;
  const std::size_t last = dims.rank() - 1, rows = dims[d], columns = dims[last];
  constexpr auto bytes = static_cast<std::ptrdiff_t>(Size);
  shape outer = dims;
  outer[d] = outer[last] = 1;
  for_each_row(outer, from, to, [&](std::ptrdiff_t a, std::ptrdiff_t b) {
    for (std::size_t r = 0; r < rows; r += tile)
      for (std::size_t c = 0; c < columns; c += tile)
        for (std::size_t i = r; i < rows && i < r + tile; ++i) {
          const auto row = static_cast<std::ptrdiff_t>(i), column = static_cast<std::ptrdiff_t>(c);
          const std::byte* s = src + (a + row + column * from[last]) * bytes;
          std::byte* t = dst + (b + row * to[d] + column * to[last]) * bytes;
          for (std::size_t j = c; j < columns && j < c + tile;
               ++j, s += from[last] * bytes, t += to[last] * bytes)
            std::memcpy(t, s, Size);
        }
  });
}

}  // namespace detail

/// A copy between two layouts: of which dimensions, by which strides.
struct strided_walk {
  shape dims;
  strides from, to;
};

/// The same with dimensions that follow each other without a gap on both sides made one: rows
/// become as long as they can (129 channels of 4 of 258, 32 times: 2 us instead of 17).
[[nodiscard]] inline strided_walk merged(const shape& dims, const strides& from,
                                         const strides& to) {
  strided_walk w{{}, {}, {}};
  for (std::size_t d = 0; d < dims.rank(); ++d) {
    if (dims[d] == 1) continue;
    const auto n = static_cast<std::ptrdiff_t>(dims[d]);
    const std::size_t last = w.dims.rank() - 1;
    if (w.dims.rank() != 0 && w.from[last] == n * from[d] && w.to[last] == n * to[d]) {
      w.dims[last] *= dims[d];
      w.from[last] = from[d];
      w.to[last] = to[d];
    } else {
      w.from[w.dims.rank()] = from[d];
      w.to[w.dims.rank()] = to[d];
      w.dims.push_back(dims[d]);
    }
  }
  return w;
}

/// dst[i * to] = src[i * from] for every index i of `given`, elements of `size` bytes. Rows that
/// are contiguous on both sides are copied whole.
inline void copy_strided(const shape& given, std::size_t size, const std::byte* src,
                         const strides& from_given, std::byte* dst, const strides& to_given) {
  if (given.elements() == 0) return;
  const strided_walk walk = merged(given, from_given, to_given);
  const shape& dims = walk.dims;
  const strides &from = walk.from, &to = walk.to;
  const std::size_t n = dims.cols();
  const std::size_t last = dims.rank() == 0 ? 0 : dims.rank() - 1;
  const auto bytes = static_cast<std::ptrdiff_t>(size);
  const bool whole = n == 1 || (from[last] == 1 && to[last] == 1);
  if (!whole && (size == 4 || size == 1))
    for (std::size_t d = 0; d < last; ++d)
      if (from[d] == 1 && dims[d] >= 4)
        return size == 4 ? detail::copy_turned<4>(dims, d, src, from, dst, to)
                         : detail::copy_turned<1>(dims, d, src, from, dst, to);
  for_each_row(dims, from, to, [&](std::ptrdiff_t a, std::ptrdiff_t b) {
    const std::byte* s = src + a * bytes;
    std::byte* d = dst + b * bytes;
    if (whole) {
      std::memcpy(d, s, n * size);
    } else if (size == 4) {  // a fixed size becomes one load and one store
      for (std::size_t i = 0; i < n; ++i, s += from[last] * 4, d += to[last] * 4)
        std::memcpy(d, s, 4);
    } else if (size == 1) {
      for (std::size_t i = 0; i < n; ++i, s += from[last], d += to[last]) *d = *s;
    } else {
      for (std::size_t i = 0; i < n; ++i, s += from[last] * bytes, d += to[last] * bytes)
        std::memcpy(d, s, size);
    }
  });
}

}  // namespace qtk::inline QTK_ABI
