#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "qtk/core/abi.hpp"

/// What is worth picking when several things count at once.
namespace qtk::inline QTK_ABI::report {

/// Costs of one choice, each better when smaller; negate what should be large.
template <std::size_t Criteria>
using costs = std::array<double, Criteria>;

/// Whether a is nowhere worse than b and somewhere better. Irreflexive and transitive: equal costs
/// don't dominate each other. NaN is a failed measurement: it counts as infinite cost.
template <std::size_t Criteria>
[[nodiscard]] bool dominates(const costs<Criteria>& a, const costs<Criteria>& b) noexcept {
  const auto known = [](double x) {
    return std::isnan(x) ? std::numeric_limits<double>::infinity() : x;
  };
  bool better = false;
  for (std::size_t i = 0; i < Criteria; ++i) {
    if (known(a[i]) > known(b[i])) return false;
    better = better || known(a[i]) < known(b[i]);
  }
  return better;
}

/// Pareto frontier: for each point, whether no other dominates it. Ties stay together; a set that
/// isn't empty has a frontier that isn't empty, and each point outside of it is dominated by one
/// inside. O(n^2), n being a handful of variants.
template <std::size_t Criteria>
[[nodiscard]] std::vector<bool> pareto_frontier(std::span<const costs<Criteria>> points) {
  std::vector<bool> on(points.size(), true);
  for (std::size_t i = 0; i < points.size(); ++i)
    for (const costs<Criteria>& other : points)
      if (dominates(other, points[i])) on[i] = false;
  return on;
}

}  // namespace qtk::inline QTK_ABI::report
