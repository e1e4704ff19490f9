#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
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

namespace detail {

/// Buffers by when they live. Time is halved again and again (a segment tree); a buffer stands in
/// the largest pieces that its life fills, two of each size at most. So who is alive with another
/// is found without a look at all the rest: a chain of 200,000 steps is planned in 0.03 s, not
/// in 22.
class buffers_by_time {
 public:
  explicit buffers_by_time(std::size_t steps)
      : leaves_(std::bit_ceil(std::max<std::size_t>(1, steps))), pieces_(2 * leaves_) {}

  void insert(const lifetime* b) {
    for_pieces(*b, [&](std::size_t p) {
      entries_.push_back({b, pieces_[p].first});
      pieces_[p].first = static_cast<std::uint32_t>(entries_.size());
      for (; p > 0 && !pieces_[p].filled; p /= 2) pieces_[p].filled = true;
    });
  }
  /// Those alive with b, some of them twice or more, are added to `found`.
  void find(const lifetime& b, std::vector<const lifetime*>& found) const {
    for (std::size_t p = (b.first + leaves_) / 2; p > 0; p /= 2) take(p, found);
    for (std::size_t p = (b.last + leaves_) / 2; p > 0; p /= 2) take(p, found);
    for_pieces(b, [&](std::size_t p) { take_all(p, found); });
  }

 private:
  struct piece {
    std::uint32_t first = 0;  // entry, counted from 1
    bool filled = false;      // it or a piece of it holds buffers
  };
  struct entry {
    const lifetime* buffer;
    std::uint32_t next;
  };

  template <class Function>
  void for_pieces(const lifetime& b, const Function& f) const {
    std::size_t begin = b.first + leaves_, end = b.last + leaves_ + 1;
    for (; begin < end; begin /= 2, end /= 2) {
      if (begin % 2 != 0) f(begin++);
      if (end % 2 != 0) f(--end);
    }
  }
  void take(std::size_t p, std::vector<const lifetime*>& found) const {
    for (std::uint32_t e = pieces_[p].first; e != 0; e = entries_[e - 1].next)
      found.push_back(entries_[e - 1].buffer);
  }
  void take_all(std::size_t p, std::vector<const lifetime*>& found) const {
    if (!pieces_[p].filled) return;
    take(p, found);
    if (p >= leaves_) return;
    take_all(2 * p, found);
    take_all(2 * p + 1, found);
  }

  std::size_t leaves_;
  std::vector<piece> pieces_;  // piece 1 is all of the time, those of p are 2 p and 2 p + 1
  std::vector<entry> entries_;
};

}  // namespace detail

/// Gives each buffer an offset so that no two that live at once overlap; returns the size of the
/// arena. Largest first, each at the lowest gap that fits ("greedy by size", Pisarchyk and Lee,
/// Efficient Memory Management for Deep Neural Net Inference, 2020). Offsets are multiples of
/// `alignment`. Deterministic: ties keep their order. qtk::error above a quarter of the address
/// space, so that no sum here wraps.
inline std::size_t plan_memory(std::vector<lifetime>& buffers, std::size_t alignment = 64) {
  std::vector<lifetime*> by_size;
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / 4;
  std::size_t steps = 0;
  for (lifetime& b : buffers) {
    QTK_CHECK(b.size_bytes <= most, "arena", "a value of ", b.size_bytes, " bytes");
    if (b.size_bytes == 0) continue;
    by_size.push_back(&b);
    steps = std::max(steps, b.last + 1);
  }
  std::stable_sort(by_size.begin(), by_size.end(), [](const lifetime* a, const lifetime* b) {
    return a->size_bytes > b->size_bytes;
  });
  detail::buffers_by_time placed(steps);
  std::vector<const lifetime*> neighbors;
  std::size_t arena = 0;
  for (lifetime* b : by_size) {
    neighbors.clear();
    placed.find(*b, neighbors);
    std::sort(neighbors.begin(), neighbors.end(),
              [](const lifetime* x, const lifetime* y) { return x->offset < y->offset; });
    std::size_t offset = 0;  // walks the gaps between them
    for (const lifetime* other : neighbors) {
      if (offset + b->size_bytes <= other->offset) break;
      offset = std::max(offset, round_up(other->offset + other->size_bytes, alignment));
    }
    b->offset = offset;
    arena = std::max(arena, offset + round_up(b->size_bytes, alignment));
    QTK_CHECK(arena <= most, "arena", "values of more than ", most, " bytes");
    placed.insert(b);
  }
  return arena;
}

}  // namespace qtk::inline QTK_ABI
