#pragma once

#include <algorithm>

#include "qtk/core/numeric.hpp"

namespace qtk::inline QTK_ABI {

/// K cut into groups, each padded to whole steps of kr: how both operands of a product number their
/// k.
struct k_layout {
  std::size_t K = 0, group_size = 1;
  std::size_t groups = 1;    // at least one, so that a header exists where K = 0
  std::size_t group_k = 0;   // group_size padded to kr
  std::size_t packed_k = 0;  // all groups padded

  constexpr k_layout(std::size_t k, std::size_t group, std::size_t kr) noexcept
      : K(k),
        group_size(group == 0 || group > k ? std::max<std::size_t>(k, 1) : group),
        groups(std::max<std::size_t>(ceil_div(K, group_size), 1)),
        group_k(round_up(group_size, kr)),
        packed_k((groups - 1) * group_k + round_up(K - (groups - 1) * group_size, kr)) {}

  /// Packed position of k.
  [[nodiscard]] constexpr std::size_t position(std::size_t k) const noexcept {
    return group_k == group_size ? k : k / group_size * group_k + k % group_size;
  }

  /// Groups cut into blocks of at most `length` packed k: the block that begins at `packed`.
  [[nodiscard]] constexpr std::size_t block(std::size_t packed, std::size_t length) const noexcept {
    return packed / group_k * ceil_div(group_k, length) + packed % group_k / length;
  }
};

}  // namespace qtk::inline QTK_ABI
