#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "qtk/core/error.hpp"
#include "qtk/report/pareto.hpp"

namespace qtk::inline QTK_ABI::report {

/// One way to store and run a model, measured.
struct variant {
  std::string name;
  std::size_t size_bytes = 0;                                  // weights, scales included
  double median_ms = 0, p95_ms = 0;                            // latency of one run
  double accuracy = std::numeric_limits<double>::quiet_NaN();  // share right; NaN without labels
  double sqnr_db = std::numeric_limits<double>::infinity();    // of the outputs, against the first
  std::size_t peak_bytes = 0;                                  // memory while it runs
  bool pareto = false;                                         // set by mark_pareto
  std::string note;  // why it doesn't pay, where there is something to say
};

/// Variants side by side; the first is the FP32 reference.
struct comparison {
  std::string model, cpu, isa;
  std::size_t threads = 1, samples = 0, batch = 1;
  std::vector<variant> variants;

  /// qtk::error where there are no variants.
  const variant& reference() const {
    QTK_CHECK(!variants.empty(), "comparison", "has no variants");
    return variants[0];
  }
  /// Size as a share of the reference's.
  double size_ratio(const variant& v) const {
    return static_cast<double>(v.size_bytes) / static_cast<double>(reference().size_bytes);
  }
  /// How many times as fast as the reference, by medians; below 1 is slower.
  double speed_up(const variant& v) const { return reference().median_ms / v.median_ms; }
  /// Whether that is a loss to speak of: medians of interleaved rounds that differ by less than 3 %
  /// change places from one comparison to the next.
  [[nodiscard]] static bool slower(double speed_up) noexcept { return speed_up < 0.97; }
  /// Accuracy less the reference's: -0.005 is half a point lost.
  double accuracy_change(const variant& v) const { return v.accuracy - reference().accuracy; }
  /// Whether accuracy ranks the variants. One that lacks it leaves all of them to the SQNR, because
  /// shares and decibels don't compare.
  bool labeled() const {
    return std::none_of(variants.begin(), variants.end(),
                        [](const variant& v) { return std::isnan(v.accuracy); });
  }
};

/// Sets `pareto`: not dominated in (size, median latency, accuracy; SQNR where not labeled()).
inline void mark_pareto(comparison& c) {
  const bool labeled = c.labeled();
  std::vector<costs<3>> points;
  for (const variant& v : c.variants)
    points.push_back(
        {static_cast<double>(v.size_bytes), v.median_ms, -(labeled ? v.accuracy : v.sqnr_db)});
  const std::vector<bool> on = pareto_frontier<3>(points);
  for (std::size_t i = 0; i < on.size(); ++i) c.variants[i].pareto = on[i];
}

/// What a variant may cost in quality to be recommended.
struct tolerance {
  double points = 0.5;    // of accuracy, in percent
  double sqnr_db = 20.0;  // least, where there are no labels
};

/// Whether a variant is as good as the reference within the tolerance.
[[nodiscard]] inline bool acceptable(const comparison& c, const variant& v, tolerance t = {}) {
  if (!c.labeled()) return v.sqnr_db >= t.sqnr_db;
  return 100.0 * c.accuracy_change(v) >=
         -t.points - 1e-9;  // 0.5 points of 1000 samples is 5 exactly
}

/// The variant to pick: on the frontier, acceptable, and with the largest speed-up per share of
/// size kept. The reference where none gains. Run mark_pareto before.
[[nodiscard]] inline const variant& recommend(const comparison& c, tolerance t = {}) {
  const variant* best = &c.reference();
  double best_gain = 1.0;
  for (const variant& v : c.variants) {
    const double gain = c.speed_up(v) / c.size_ratio(v);
    if (v.pareto && acceptable(c, v, t) && gain > best_gain) best = &v, best_gain = gain;
  }
  return *best;
}

}  // namespace qtk::inline QTK_ABI::report
