#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "qtk/core/error.hpp"

/// Which layer gets which format: the choice under a budget.
namespace qtk::inline QTK_ABI {

/// One way to store and compute a layer.
struct precision_option {
  double cost = 0;  // what to minimize: time, bytes
  double harm = 0;  // what is bounded; not negative, infinity rules the option out
};

/// Picks one option for each layer:
///   minimize sum cost[l][pick[l]]  subject to  sum harm[l][pick[l]] <= bound.
/// The multiple-choice knapsack that mixed precision is under additive harm, solved by the list of
/// Pareto-optimal partial sums (Nemhauser and Ullmann, 1969): layer by layer, sums that another
/// beats in cost and harm are dropped. Exact while no list is longer than `max_states`; a longer
/// one is thinned to the least harm of each of `max_states` equal intervals of cost, which loses
/// one interval of cost a layer at most and never breaks the bound. Time and memory:
/// O(layers * max_states * options).
/// Source: Dong et al., "HAWQ-V2", 2020, and Yao et al., "HAWQ-V3: Dyadic Neural Network
/// Quantization", 2021, which choose by additive sensitivities, the latter by an integer program.
/// qtk::error where no choice keeps the bound.
[[nodiscard]] inline std::vector<std::size_t> choose_precision(
    std::span<const std::vector<precision_option>> layers, double bound,
    std::size_t max_states = 1 << 14) {
  struct state {
    double cost = 0, harm = 0;
    std::size_t before = 0, pick = 0;
  };
  // Least harm that is still to come: partial sums that leave no room for it are dropped.
  std::vector<double> rest(layers.size() + 1, 0.0);
  for (std::size_t l = layers.size(); l-- > 0;) {
    double least = std::numeric_limits<double>::infinity();
    for (const precision_option& o : layers[l]) {
      QTK_CHECK(std::isfinite(o.cost) && o.harm >= 0.0, "choose_precision", "cost ", o.cost,
                ", harm ", o.harm);
      least = std::min(least, o.harm);
    }
    rest[l] = rest[l + 1] + least;
  }
  const double slack = 1e-12 * bound;  // sums in another order
  std::vector<std::vector<state>> lists{{state{}}};
  for (std::size_t l = 0; l < layers.size(); ++l) {
    std::vector<state> next;
    for (std::size_t i = 0; i < lists[l].size(); ++i)
      for (std::size_t k = 0; k < layers[l].size(); ++k) {
        const state& s = lists[l][i];
        const precision_option& o = layers[l][k];
        if (s.harm + o.harm + rest[l + 1] <= bound + slack)
          next.push_back({s.cost + o.cost, s.harm + o.harm, i, k});
      }
    QTK_CHECK(!next.empty(), "choose_precision", "no choice keeps the bound ", bound);
    std::sort(next.begin(), next.end(), [](const state& a, const state& b) {
      return a.cost != b.cost ? a.cost < b.cost : a.harm < b.harm;
    });
    std::vector<state> best;  // cost rises, harm falls
    for (const state& s : next)
      if (best.empty() || s.harm < best.back().harm) best.push_back(s);
    if (best.size() > max_states) {
      const double lo = best.front().cost, width = best.back().cost - lo;
      std::vector<state> kept;
      std::size_t last = max_states;
      for (const state& s : best) {
        const auto part = std::min(
            max_states - 1,
            static_cast<std::size_t>((s.cost - lo) / width * static_cast<double>(max_states)));
        if (part != last) kept.push_back(s);
        kept.back() = s;  // the last of an interval harms least
        last = part;
      }
      best = std::move(kept);
    }
    lists.push_back(std::move(best));
  }
  std::vector<std::size_t> picks(layers.size());
  for (std::size_t l = layers.size(), i = 0; l-- > 0;) {  // the cheapest is the first
    picks[l] = lists[l + 1][i].pick;
    i = lists[l + 1][i].before;
  }
  return picks;
}

}  // namespace qtk::inline QTK_ABI
