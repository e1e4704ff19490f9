#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "qtk/core/numeric.hpp"

namespace qtk::inline QTK_ABI {

/// A buffer that lives from step `first` to step `last`, both included.
struct lifetime {
  std::size_t size_bytes = 0;
  std::size_t first = 0, last = 0;
  std::size_t offset = 0;  // the answer
};

/// Gives each buffer an offset so that no two that live at once overlap; returns the size of the
/// arena. Largest first, each at the lowest gap that fits ("greedy by size", Pisarchyk and Lee,
/// Efficient Memory Management for Deep Neural Net Inference, 2020). Offsets are multiples of
/// `alignment`. Deterministic: ties keep their order. qtk::error above a quarter of the address
/// space, so that no sum here wraps.
inline std::size_t plan_memory(std::vector<lifetime>& buffers, std::size_t alignment = 64) {
  std::vector<lifetime*> by_size, placed;
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / 4;
  for (lifetime& b : buffers) {
    QTK_CHECK(b.size_bytes <= most, "arena", "a value of ", b.size_bytes, " bytes");
    if (b.size_bytes != 0) by_size.push_back(&b);
  }
  std::stable_sort(by_size.begin(), by_size.end(), [](const lifetime* a, const lifetime* b) {
    return a->size_bytes > b->size_bytes;
  });
  std::size_t arena = 0;
  for (lifetime* b : by_size) {
    std::size_t offset = 0;  // `placed` is sorted by offset: walk the gaps between live neighbors
    for (const lifetime* other : placed) {
      if (other->last < b->first || b->last < other->first) continue;
      if (offset + b->size_bytes <= other->offset) break;
      offset = std::max(offset, round_up(other->offset + other->size_bytes, alignment));
    }
    b->offset = offset;
    arena = std::max(arena, offset + round_up(b->size_bytes, alignment));
    QTK_CHECK(arena <= most, "arena", "values of more than ", most, " bytes");
    placed.insert(std::upper_bound(
                      placed.begin(), placed.end(), b,
                      [](const lifetime* x, const lifetime* y) { return x->offset < y->offset; }),
                  b);
  }
  return arena;
}

}  // namespace qtk::inline QTK_ABI
