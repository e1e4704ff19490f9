#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "qtk/core/shape.hpp"
#include "qtk/ops/copy.hpp"
#include "qtk/ops/transpose.hpp"

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

/// A copy between two layouts: pieces of `bytes` bytes, by which strides (in bytes).
struct strided_walk {
  shape dims;
  strides from, to;
  std::size_t bytes;
};

/// The same with dimensions that follow each other without a gap on both sides made one: pieces
/// become as long as they can (129 channels of 4 of 258, 32 times: 2 us instead of 17).
[[nodiscard]] inline strided_walk merged(const shape& dims, std::size_t size, const strides& from,
                                         const strides& to) {
  strided_walk w{{}, {}, {}, size};
  const auto bytes = static_cast<std::ptrdiff_t>(size);
  std::size_t outer = dims.rank();
  for (; outer > 0; --outer) {
    const std::size_t d = outer - 1;
    const auto piece = static_cast<std::ptrdiff_t>(w.bytes);
    if (dims[d] != 1 && (from[d] * bytes != piece || to[d] * bytes != piece)) break;
    w.bytes *= dims[d];
  }
  for (std::size_t d = 0; d < outer; ++d) {
    if (dims[d] == 1) continue;
    const auto n = static_cast<std::ptrdiff_t>(dims[d]);
    const std::size_t last = w.dims.rank() - 1;
    if (w.dims.rank() != 0 && w.from[last] == n * from[d] * bytes &&
        w.to[last] == n * to[d] * bytes) {
      w.dims[last] *= dims[d];
      w.from[last] = from[d] * bytes;
      w.to[last] = to[d] * bytes;
    } else {
      w.from[w.dims.rank()] = from[d] * bytes;
      w.to[w.dims.rank()] = to[d] * bytes;
      w.dims.push_back(dims[d]);
    }
  }
  return w;
}

/// dst[i * to] = src[i * from] for every index i of `dims`, elements of `size` bytes: plane by
/// plane of the last dimension and of the one along which the source lies piece by piece, so that a
/// line of the cache serves all of its pieces while it is near.
inline void copy_strided(const shape& dims, std::size_t size, const std::byte* src,
                         const strides& from, std::byte* dst, const strides& to) {
  if (dims.elements() == 0) return;
  const strided_walk w = merged(dims, size, from, to);
  if (w.dims.rank() == 0) {
    std::memcpy(dst, src, w.bytes);
    return;
  }
  const std::size_t last = w.dims.rank() - 1;
  const auto bytes = static_cast<std::ptrdiff_t>(w.bytes);
  std::size_t d = 0;
  while (d < last && w.from[d] != bytes) ++d;
  const bool turned = d < last && w.bytes < cache_line;
  if (!turned && last > 0) d = last - 1;
  shape outer = w.dims;
  outer[d] = outer[last] = 1;
  copy_plane p{1, w.dims[last], 0, w.from[last], 0, w.to[last]};
  if (d != last) {
    p.rows = w.dims[d];
    p.from_row = w.from[d];
    p.to_row = w.to[d];
  }
  const std::size_t thin = std::min(p.rows, p.columns);
  if (turned && w.to[last] == bytes)
    if (const auto transpose = find_transpose(w.bytes, thin))
      return for_each_row(outer, w.from, w.to, [&](std::ptrdiff_t a, std::ptrdiff_t b) {
        transpose(p, src + a, dst + b);
      });
  // 256 pieces a tile where it is turned: 64 x 64 of 8 bytes fall out of the nearest cache.
  const std::size_t tile = turned && thin > 16 ? 16 : turned ? 256 / thin : 256;
  with_copy(w.bytes, [&](auto copy) {
    for_each_row(outer, w.from, w.to, [&](std::ptrdiff_t a, std::ptrdiff_t b) {
      copy_tiles(p, tile, copy, src + a, dst + b);
    });
  });
}

}  // namespace qtk::inline QTK_ABI
