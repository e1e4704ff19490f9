#pragma once

#include <vector>

#include "qtk/report/receipt.hpp"
#include "qtk/report/svg.hpp"

namespace qtk::inline QTK_ABI::report {

/// Roofline (Williams, Waterman, Patterson, CACM 52(4), 2009), both axes logarithmic: each layer by
/// operations per byte and by what it achieved; a dot's area is its share of the time. The first
/// section has the color of fp32, the others that of int8; the top layers of each are named.
/// Ceilings that weren't measured (0) aren't drawn.
[[nodiscard]] inline std::string roofline_plot(const profile::peaks& peaks,
                                               const std::vector<receipt_section>& sections) {
  const auto drawn = [](const layer_row& r) { return r.intensity > 0 && r.gflops > 0; };
  const double memory = std::max(peaks.bandwidth_gbps, 0.0);
  const double top = std::max(peaks.fp32_gflops, peaks.int8_gops);
  double lo_x = 0.25, hi_x = memory > 0 && top > 0 ? 8 * top / memory : 64;
  double lo_y = 1e300, hi_y = top;
  for (const receipt_section& s : sections)
    for (const layer_row& r : s.rows) {
      if (!drawn(r)) continue;
      lo_x = std::min(lo_x, r.intensity / 1.6), hi_x = std::max(hi_x, r.intensity * 1.6);
      lo_y = std::min(lo_y, r.gflops / 1.8), hi_y = std::max(hi_y, r.gflops);
    }
  if (hi_y <= 0) hi_y = 1;
  lo_y = std::min(lo_y, hi_y / 100);

  plot p(1140, 480, "Roofline: what each layer reached of what this machine can do");
  p.set_x(lo_x, hi_x, true);
  p.set_y(lo_y, hi_y * 1.7, true);
  p.axes("intensity, operations per byte", "G operations / s");

  // One slope for both formats, then a ceiling each.
  const auto ceiling = [&](double peak, std::string_view words, std::string_view style) {
    if (peak <= 0) return;
    const double ridge = memory > 0 ? std::clamp(peak / memory, lo_x, hi_x) : lo_x;
    const std::vector<point> roof{p(ridge, peak), p(hi_x, peak)};
    p.out.path(roof, cat("roof ", style));
    p.labels.avoid(roof);
    const point end{p.area.right - 6, p.y(peak) - 7};
    const double width = svg::text_width(words, 11.5);
    p.labels.take({end.x - width, end.y - 11, end.x, end.y + 4});
    p.out.text(end, words, cat("name end ink-", style));
  };
  if (memory > 0) {
    const double start = std::max(lo_x, lo_y / memory);
    const double end = std::clamp((top > 0 ? top : hi_y) / memory, start, hi_x);
    const std::vector<point> slope{p(start, start * memory), p(end, end * memory)};
    p.out.path(slope, "roof slope");
    p.labels.avoid(slope);
    const double run = slope[1].x - slope[0].x, rise = slope[0].y - slope[1].y;
    const double length = std::hypot(run, rise);
    const std::string words = cat("memory ", three_digits(memory), " GB/s");
    const double width = svg::text_width(words, 11.5);
    if (length > width + 40) {
      // Above the slope, a little after its start; the dots are below it.
      const double along = 20, off = 7;
      const point at{slope[0].x + (along * run - off * rise) / length,
                     slope[0].y - (along * rise + off * run) / length};
      p.out.text(at, words, "name ink-slope", -std::atan2(rise, run) * 57.29577951308232);
      for (double t = 0; t <= width; t += 6)
        p.labels.take(box::around({at.x + t * run / length, at.y - t * rise / length - 4}, 6));
    }
  }
  ceiling(peaks.fp32_gflops, cat("fp32 peak ", three_digits(peaks.fp32_gflops), " GFLOP/s"),
          "fp32");
  ceiling(peaks.int8_gops, cat("int8 peak ", three_digits(peaks.int8_gops), " GOP/s"), "int8");

  struct dot {
    const layer_row* row;
    std::size_t section;
    double radius;
    point at;
  };
  std::vector<dot> dots;
  for (std::size_t i = 0; i < sections.size(); ++i)
    for (const layer_row& r : sections[i].rows)
      if (drawn(r))
        dots.push_back(
            {&r, i, 3.5 + 24 * std::sqrt(std::clamp(r.share, 0.0, 1.0)), p(r.intensity, r.gflops)});
  std::stable_sort(dots.begin(), dots.end(),
                   [](const dot& a, const dot& b) { return a.radius > b.radius; });
  for (const dot& d : dots) {
    p.labels.take(box::around(d.at, 0.75 * d.radius));
    p.out.circle(d.at, d.radius, d.section == 0 ? "layer fp32" : "layer int8",
                 cat(sections[d.section].title, ", ", d.row->name, ": ",
                     three_digits(d.row->gflops), " G operations/s, ", percent(d.row->share, 1),
                     " of the time, ", percent(d.row->roof_share, 0), " of the roof"));
  }
  // Near their dots or not at all: among so many, a name far away is taken for another's.
  std::vector<std::size_t> named(sections.size(), 0);
  for (const dot& d : dots)
    if (named[d.section]++ < 4)
      p.label(d.at, d.radius, shorten(d.row->name, 30),
              d.section == 0 ? "name ink-fp32" : "name ink-int8", 3);
  return p.out.str();
}

}  // namespace qtk::inline QTK_ABI::report
