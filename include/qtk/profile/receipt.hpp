#pragma once

#include <cstdio>
#include <map>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "qtk/profile/roofline.hpp"
#include "qtk/profile/scope.hpp"

namespace qtk::inline QTK_ABI::profile {

/// One line of a receipt: all scopes of one name at one depth.
struct receipt_row {
  std::string name, kernel;
  std::uint32_t depth = 0;
  std::size_t calls = 0;
  double total_ms = 0, self_ms = 0;  // self: without the scopes inside
  double share = 0;                  // of the whole: self_ms of all rows add up to it
  double gops = 0, gbps = 0;         // achieved, per second of total time
  roof_position roof;
  bool counted = false;  // whether work was told
};

struct receipt_table {
  std::vector<receipt_row> rows;  // in the order of their first begin
  double total_ms = 0;            // of the outermost scopes
  std::size_t dropped = 0;
};

/// Adds up events into a receipt. Scopes nest by time on their thread; a scope's own time is its
/// time less that of the scopes directly inside.
[[nodiscard]] inline receipt_table receipt(std::vector<event> events, const peaks& p = {}) {
  std::stable_sort(events.begin(), events.end(), [](const event& a, const event& b) {
    if (a.thread != b.thread) return a.thread < b.thread;
    return a.begin != b.begin ? a.begin < b.begin : a.depth < b.depth;
  });
  receipt_table out;
  out.dropped = dropped();
  const double ms = ns_per_tick() * 1e-6;
  std::map<std::pair<std::uint32_t, std::string_view>, std::size_t> index;
  std::vector<std::size_t> open;  // row of the scope open at each depth
  std::vector<work> sums;
  for (const event& e : events) {
    const auto [at, fresh] = index.try_emplace({e.depth, e.name}, out.rows.size());
    if (fresh) {
      out.rows.push_back({.name = e.name,
                          .kernel = e.work.kernel != nullptr ? e.work.kernel : "",
                          .depth = e.depth,
                          .roof = {}});
      sums.push_back(e.work);
      sums.back().flops = sums.back().bytes = 0;
    }
    const std::size_t r = at->second;
    const double taken = static_cast<double>(e.end - e.begin) * ms;
    receipt_row& row = out.rows[r];
    ++row.calls;
    row.total_ms += taken;
    row.self_ms += taken;
    sums[r].flops += e.work.flops;
    sums[r].bytes += e.work.bytes;
    open.resize(e.depth);
    if (e.depth == 0)
      out.total_ms += taken;
    else if (open.size() == e.depth && !open.empty())
      out.rows[open.back()].self_ms -= taken;
    open.push_back(r);
  }
  for (std::size_t r = 0; r < out.rows.size(); ++r) {
    receipt_row& row = out.rows[r];
    const double seconds = row.total_ms * 1e-3;
    row.share = out.total_ms > 0 ? row.self_ms / out.total_ms : 0;
    row.counted = sums[r].flops > 0 || sums[r].bytes > 0;
    row.gops = seconds > 0 ? sums[r].flops / seconds * 1e-9 : 0;
    row.gbps = seconds > 0 ? sums[r].bytes / seconds * 1e-9 : 0;
    row.roof = place_under_roof(p, sums[r].integer, sums[r].flops, sums[r].bytes, seconds);
  }
  return out;
}

/// Everything recorded so far.
[[nodiscard]] inline receipt_table receipt(const peaks& p = {}) { return receipt(snapshot(), p); }

/// An aligned table. Rates and the roof are blank where no work was told or no peaks are known.
inline std::ostream& operator<<(std::ostream& out, const receipt_table& t) {
  std::size_t width = 4, kernel_width = 6;
  for (const receipt_row& r : t.rows) {
    width = std::max(width, r.name.size() + 2 * r.depth);
    kernel_width = std::max(kernel_width, r.kernel.size());
  }
  const auto line = [&](const char* format, auto... values) {
    char text[512];
    std::snprintf(text, sizeof text, format, values...);
    out << text;
  };
  const int w = static_cast<int>(std::min<std::size_t>(width, 60));
  const int k = static_cast<int>(std::min<std::size_t>(kernel_width, 40));
  line("%-*s %6s %10s %10s %6s %8s %7s %6s %-7s %-*s\n", w, "name", "calls", "total ms", "self ms",
       "share", "GOP/s", "GB/s", "roof", "bound", k, "kernel");
  for (const receipt_row& r : t.rows) {
    const std::string name = std::string(2 * r.depth, ' ') + r.name;
    line("%-*.*s %6zu %10.3f %10.3f %5.1f%%", w, w, name.c_str(), r.calls, r.total_ms, r.self_ms,
         100.0 * r.share);
    if (r.counted)
      line(" %8.1f %7.1f", r.gops, r.gbps);
    else
      line(" %8s %7s", "", "");
    if (r.counted && r.roof.share > 0)
      line(" %5.1f%% %-7s", 100.0 * r.roof.share,
           r.roof.bound == bound::memory ? "memory" : "compute");
    else
      line(" %6s %-7s", "", "");
    line(" %-*.*s\n", k, k, r.kernel.c_str());
  }
  line("%-*s %6s %10.3f\n", w, "total", "", t.total_ms);
  if (t.dropped != 0) line("%zu scopes found a full log and are missing\n", t.dropped);
  return out;
}

}  // namespace qtk::inline QTK_ABI::profile
