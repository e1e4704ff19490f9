#pragma once

#include <algorithm>
#include <cstddef>

#include "qtk/core/executor.hpp"
#include "qtk/core/numeric.hpp"

namespace qtk::inline QTK_ABI::graph_ops {

/// Calls f(begin, end) for [0, n), cut into parts for several threads where each of them gets 64
/// KiB or more: waking one costs about as much as that.
template <class Function>
void in_parts(executor_ref on, std::size_t n, std::size_t bytes_each, Function&& f) {
  constexpr std::size_t worth = std::size_t{64} << 10;
  const std::size_t parts =
      std::min({on.concurrency(), n, std::max<std::size_t>(1, n * bytes_each / worth)});
  if (parts <= 1) return f(std::size_t{0}, n);
  const std::size_t each = round_up(ceil_div(n, parts), n >= 64 * parts ? 64 : 1);
  on(parts, [&](std::size_t p) {
    const std::size_t begin = std::min(n, p * each), end = std::min(n, begin + each);
    if (begin < end) f(begin, end);
  });
}

}  // namespace qtk::inline QTK_ABI::graph_ops
