#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "qtk/profile/receipt.hpp"

namespace qtk::inline QTK_ABI::report {

/// One layer of a receipt, over all runs.
struct layer_row {
  std::string name, kernel;
  std::size_t calls = 0;
  double total_ms = 0;
  double share = 0;       // of the whole time, 0..1
  double gflops = 0;      // achieved, G operations / s; 0 where it only moves data
  double gbps = 0;        // achieved, GB / s
  double roof_share = 0;  // achieved / attainable; 0 where the roof isn't known
  bool memory_bound = false;
  double intensity = 0;  // operations per byte
};

/// Who took the time in one variant, slowest layer first.
struct receipt_section {
  std::string title;
  std::vector<layer_row> rows;
  double total_ms = 0;  // of all runs; what the rows lack was spent between layers
  std::size_t runs = 1;

  receipt_section() = default;
  receipt_section(std::string title_, std::vector<layer_row> rows_, double total_ms_,
                  std::size_t runs_ = 1)
      : title(std::move(title_)), rows(std::move(rows_)), total_ms(total_ms_), runs(runs_) {}

  /// From a profile: the runs are the outermost scopes, the layers all scopes inside (and those
  /// outermost ones that did counted work). Times are each scope's own, so that they add up.
  receipt_section(std::string title_, const profile::receipt_table& t)
      : title(std::move(title_)), total_ms(t.total_ms) {
    for (const profile::receipt_row& r : t.rows) {
      if (r.depth == 0) runs = std::max(runs, r.calls);
      if (r.depth == 0 && !r.counted) continue;
      rows.push_back({.name = r.name,
                      .kernel = r.kernel,
                      .calls = r.calls,
                      .total_ms = r.self_ms,
                      .share = r.share,
                      .gflops = r.gops,
                      .gbps = r.gbps,
                      .roof_share = r.counted ? r.roof.share : 0,
                      .memory_bound = r.roof.bound == profile::bound::memory,
                      .intensity = r.roof.intensity});
    }
    std::stable_sort(rows.begin(), rows.end(), [](const layer_row& a, const layer_row& b) {
      return a.total_ms > b.total_ms;
    });
  }

  /// Milliseconds of one run.
  [[nodiscard]] double per_run(double ms) const {
    return ms / static_cast<double>(std::max<std::size_t>(runs, 1));
  }
  /// Time outside of all rows.
  [[nodiscard]] double rest_ms() const {
    double rest = total_ms;
    for (const layer_row& r : rows) rest -= r.total_ms;
    return std::max(rest, 0.0);
  }
};

}  // namespace qtk::inline QTK_ABI::report
