#pragma once

#include "qtk/profile/receipt.hpp"
#include "qtk/report/svg.hpp"

namespace qtk::inline QTK_ABI::report {

/// The receipt of one variant.
struct receipt_section {
  std::string title;
  profile::receipt_table table;
};

/// The rows that did counted work, largest share first: the layers.
[[nodiscard]] inline std::vector<const profile::receipt_row*> layers(
    const profile::receipt_table& t) {
  std::vector<const profile::receipt_row*> rows;
  for (const profile::receipt_row& r : t.rows)
    if (r.counted) rows.push_back(&r);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto* a, const auto* b) { return a->self_ms > b->self_ms; });
  return rows;
}

/// Roofline (Williams, Waterman, Patterson 2009): each layer by operations per byte and by what it
/// achieved; area of a dot is its share of the time.
[[nodiscard]] inline std::string roofline_plot(const profile::peaks& peaks,
                                               const std::vector<receipt_section>& sections) {
  plot p(900, 420, "Roofline: what each layer reached of what this machine can do");
  double lo_x = 0.1, hi_x = 100, lo_y = peaks.fp32_gflops / 100;
  const double top_y = std::max(peaks.fp32_gflops, peaks.int8_gops);
  for (const receipt_section& s : sections)
    for (const auto* r : layers(s.table)) {
      if (r->roof.intensity <= 0 || r->gops <= 0) continue;
      lo_x = std::min(lo_x, r->roof.intensity / 2);
      hi_x = std::max(hi_x, r->roof.intensity * 2);
      lo_y = std::min(lo_y, r->gops / 2);
    }
  p.set_x(lo_x, hi_x, true);
  p.set_y(lo_y, top_y * 2, true);
  p.axes("operations per byte", "G operations / s");
  const auto roof = [&](double peak, const char* name, const char* style) {
    const double ridge = std::clamp(peak / peaks.bandwidth_gbps, lo_x, hi_x);
    const double start = std::max(lo_x, lo_y / peaks.bandwidth_gbps);
    p.path({{p.x(start), p.y(std::min(peak, start * peaks.bandwidth_gbps))},
            {p.x(ridge), p.y(std::min(peak, ridge * peaks.bandwidth_gbps))},
            {p.x(hi_x), p.y(peak)}},
           style);
    p.text(p.x(hi_x) - 4, p.y(peak) - 6, format("%s %.0f G/s", name, peak), "tick end");
  };
  roof(peaks.fp32_gflops, "fp32", "roof fp32");
  roof(peaks.int8_gops, "int8", "roof int8");
  p.text(plot::left + 8, plot::top + 12, format("memory %.1f GB/s", peaks.bandwidth_gbps), "tick");
  for (std::size_t i = 0; i < sections.size(); ++i) {
    std::size_t labeled = 0;
    for (const auto* r : layers(sections[i].table)) {
      if (r->roof.intensity <= 0 || r->gops <= 0) continue;
      const double radius = 3 + 22 * std::sqrt(std::max(0.0, r->share)),
                   cx = p.x(r->roof.intensity), cy = p.y(r->gops);
      p.dot(cx, cy, radius, i == 0 ? "layer fp32" : "layer int8",
            sections[i].title + ": " + r->name +
                format(", %.1f G/s, %.1f %% of the time", r->gops, 100.0 * r->share));
      if (labeled++ < 4) p.label(cx, cy, r->name, "name faint");
    }
  }
  return p.str();
}

}  // namespace qtk::inline QTK_ABI::report
