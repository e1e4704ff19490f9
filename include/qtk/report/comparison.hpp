#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "qtk/core/error.hpp"

namespace qtk::inline QTK_ABI::report {

/// One way to store and run a model, measured.
struct variant {
  std::string name;
  std::size_t size_bytes = 0;  // weights, scales included
  double median_ms = 0, p95_ms = 0;
  double accuracy = std::numeric_limits<double>::quiet_NaN();  // share right; NaN without labels
  double sqnr_db = std::numeric_limits<double>::infinity();    // of the outputs, against the first
  std::size_t peak_bytes = 0;
  bool pareto = false;
  std::string note;  // why, where there is something to say
};

/// Variants side by side; the first is the reference.
struct comparison {
  std::string model, cpu, isa;
  std::size_t threads = 1, samples = 0, batch = 1;
  std::vector<variant> variants;

  const variant& reference() const {
    QTK_CHECK(!variants.empty(), "comparison", "has no variants");
    return variants[0];
  }
  double size_ratio(const variant& v) const {
    return static_cast<double>(v.size_bytes) / static_cast<double>(reference().size_bytes);
  }
  double speed_up(const variant& v) const { return reference().median_ms / v.median_ms; }
  double accuracy_change(const variant& v) const { return v.accuracy - reference().accuracy; }
};

/// Quality for ranking: accuracy, or where there are no labels the SQNR.
[[nodiscard]] inline double quality(const variant& v) noexcept {
  return std::isnan(v.accuracy) ? v.sqnr_db : v.accuracy;
}

/// Whether a is nowhere worse than b and somewhere better, in size, latency and quality.
[[nodiscard]] inline bool dominates(const variant& a, const variant& b) noexcept {
  const bool no_worse =
      a.size_bytes <= b.size_bytes && a.median_ms <= b.median_ms && quality(a) >= quality(b);
  const bool better =
      a.size_bytes < b.size_bytes || a.median_ms < b.median_ms || quality(a) > quality(b);
  return no_worse && better;
}

/// Sets `pareto` of every variant that no other dominates. Equal variants stay together.
inline void mark_pareto(comparison& c) {
  for (variant& v : c.variants) {
    v.pareto = true;
    for (const variant& other : c.variants) v.pareto = v.pareto && !dominates(other, v);
  }
}

/// The variant to pick: on the frontier, at most `max_drop` (a share, 0.005 is half a point) below
/// the reference's accuracy, then the one with the largest product of speed-up and size saved.
[[nodiscard]] inline const variant& recommend(const comparison& c, double max_drop = 0.005) {
  const variant* best = &c.reference();
  double best_gain = 1.0;
  for (const variant& v : c.variants) {
    const bool accurate =
        std::isnan(v.accuracy) ? v.sqnr_db >= 20.0 : c.accuracy_change(v) >= -max_drop - 1e-12;
    const double gain = c.speed_up(v) / c.size_ratio(v);
    if (v.pareto && accurate && gain > best_gain) best = &v, best_gain = gain;
  }
  return *best;
}

}  // namespace qtk::inline QTK_ABI::report
