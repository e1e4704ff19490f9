#pragma once

#include <span>

#include "qtk/report/comparison.hpp"
#include "qtk/report/receipt.hpp"
#include "qtk/report/svg.hpp"

namespace qtk::inline QTK_ABI::report {

enum class cost_axis : unsigned char { size, latency };

/// Accuracy (SQNR where not labeled()) against size or latency. Filled dots are on the frontier of
/// all three criteria, the step line joins what nothing beats in these two. Where a few variants
/// lose so much that the others would fall on one line, the plot ends above them and arrows at its
/// edge give their values. Variants without a finite cost aren't drawn.
[[nodiscard]] inline std::string pareto_plot(const comparison& c, cost_axis axis) {
  const bool labeled = c.labeled(), by_size = axis == cost_axis::size;
  struct mark {
    const variant* v;
    double cost, value;
  };
  std::vector<mark> marks;
  double most = 0;
  for (const variant& v : c.variants) {
    const double cost = by_size ? static_cast<double>(v.size_bytes) : v.median_ms;
    const double value = labeled ? 100.0 * v.accuracy : v.sqnr_db;
    if (!std::isfinite(cost) || std::isnan(value)) continue;
    marks.push_back({&v, cost, value});
    most = std::max(most, cost);
  }
  plot p(560, 380,
         std::string(labeled ? "Accuracy" : "Output SQNR") +
             (by_size ? " against size" : " against latency"));
  p.out.text({p.area.right, 22}, "\xE2\x86\x96 better", "tick end");

  // The window: all values, unless most of them are near the best and some far below.
  std::vector<double> values;
  for (const mark& m : marks)
    if (std::isfinite(m.value)) values.push_back(m.value);
  std::sort(values.begin(), values.end());
  double hi = values.empty() ? 1 : values.back(), lo = values.empty() ? 0 : values.front();
  const double middle = values.empty() ? 0 : values[values.size() / 2];
  const double floor = hi - std::max(labeled ? 5.0 : 40.0, 2 * (hi - middle));
  const bool cut = hi - lo > 1.6 * (hi - floor);
  if (cut) lo = *std::lower_bound(values.begin(), values.end(), floor);
  // At least 0.3 points (4 dB) are shown: noise shall not look like a cliff.
  const double margin = std::max((hi - lo) * 0.12, ((labeled ? 0.3 : 4.0) - (hi - lo)) / 2.5);
  lo -= margin * (cut ? 3.0 : 1.5);  // room for the arrows' labels
  hi += margin;

  double unit = 1;
  std::string title = "median latency, ms";
  if (by_size) {
    unit = most >= 1e6 ? 1e6 : most >= 1e3 ? 1e3 : 1;
    title = most >= 1e6 ? "weights, MB" : most >= 1e3 ? "weights, KB" : "weights, bytes";
  }
  p.set_x(0, most > 0 ? 1.08 * most / unit : 1);
  p.set_y(lo, hi);
  p.axes(title, labeled ? "accuracy, %" : "output SQNR, dB");

  const auto at = [&](const mark& m) {
    point q = p(m.cost / unit, std::clamp(m.value, lo, hi));
    q.y = std::clamp(q.y, p.area.top + 7, p.area.bottom - 9);
    return q;
  };
  std::vector<mark> order = marks;
  std::stable_sort(order.begin(), order.end(), [](const mark& a, const mark& b) {
    return a.cost != b.cost ? a.cost < b.cost : a.value > b.value;
  });
  std::vector<point> frontier;
  double best = -std::numeric_limits<double>::infinity();
  for (const mark& m : order) {
    if (m.value <= best || m.value < lo) continue;
    if (!frontier.empty()) frontier.push_back({at(m).x, frontier.back().y});
    best = m.value;
    frontier.push_back(at(m));
  }
  p.out.path(frontier, "frontier");
  p.labels.avoid(frontier);
  for (const mark& m : marks) p.labels.take(box::around(at(m), 6));

  // Labels that matter first: the reference, then the frontier.
  const variant* const pick = &recommend(c);
  const auto rank = [&](const mark& m) { return m.v == &c.variants[0] ? 0 : m.v->pareto ? 1 : 2; };
  std::stable_sort(marks.begin(), marks.end(),
                   [&](const mark& a, const mark& b) { return rank(a) < rank(b); });
  for (auto m = marks.rbegin(); m != marks.rend(); ++m) {
    const char* style = rank(*m) == 0 ? "dot reference" : rank(*m) == 1 ? "dot best" : "dot other";
    const std::string hint =
        cat(m->v->name, ": ", labeled ? percent(m->v->accuracy) : decibels(m->v->sqnr_db), ", ",
            by_size ? human_bytes(m->v->size_bytes) : three_digits(m->cost) + " ms");
    if (m->value >= lo && m->value <= hi)
      p.out.circle(at(*m), 5.5, style, hint);
    else
      p.out.arrow(at(*m), m->value < lo, style, hint);
  }
  for (const mark& m : marks) {
    std::string words = shorten(m.v->name, 26);
    if (m.value < lo || m.value > hi)
      words += " " + (labeled ? fixed(m.value, 1) + " %" : decibels(m.value));
    p.label(at(m), 6, words, m.v == pick ? "name strong" : rank(m) == 2 ? "name faint" : "name");
  }
  return p.out.str();
}

/// Bars of the layers that took most time, one run's milliseconds and share. The solid part of a
/// bar is the time that the roof would allow; colors tell the bound. The rest is numbers alone:
/// many small layers together would make every bar short.
[[nodiscard]] inline std::string layer_bars(const receipt_section& s, std::size_t limit = 14) {
  const std::size_t shown = std::min(limit, s.rows.size());
  struct bar {
    std::string name, style, hint;
    double ms, share, roof;
  };
  std::vector<bar> bars;
  double others = 0;
  for (std::size_t i = 0; i < s.rows.size(); ++i) {
    const layer_row& r = s.rows[i];
    if (i >= shown) {
      others += r.total_ms;
      continue;
    }
    const bool known = r.roof_share > 0;
    bars.push_back({r.name,
                    !known           ? "unbound"
                    : r.memory_bound ? "memory"
                                     : "compute",
                    known ? cat(r.name, ": ", percent(r.roof_share, 0), " of the roof, bound by ",
                                r.memory_bound ? "memory" : "compute")
                          : r.name,
                    r.total_ms, r.share, r.roof_share});
  }
  double longest = 1e-300;
  for (const bar& b : bars) longest = std::max(longest, b.ms);
  const auto add_rest = [&](const std::string& name, double ms) {
    if (ms > 0 && s.total_ms > 0) bars.push_back({name, "", name, ms, ms / s.total_ms, 0});
  };
  add_rest(cat(s.rows.size() - shown, " other layer", s.rows.size() - shown == 1 ? "" : "s"),
           others);
  add_rest("between layers", s.rest_ms());

  constexpr double pitch = 21, left = 204, right = 438, top = 40;
  svg out(560, top + pitch * static_cast<double>(bars.size()) + 14, s.title);
  out.text({16, 22}, shorten(s.title, 50), "title");
  out.text({544, 22}, three_digits(s.per_run(s.total_ms)) + " ms a run", "tick end");
  double y = top;
  for (const bar& b : bars) {
    const double width = b.style.empty() ? -6 : (right - left) * b.ms / longest;
    out.text({left - 8, y + 13}, shorten(b.name, 29), b.style.empty() ? "tick end" : "name end");
    if (!b.style.empty())
      out.rect({left, y + 3, left + std::max(width, 1.0), y + 17}, "bar " + b.style, b.hint);
    if (b.roof > 0)
      out.rect({left, y + 3, left + width * std::min(b.roof, 1.0), y + 17}, "solid " + b.style,
               b.hint);
    out.text({left + width + 6, y + 14},
             cat(three_digits(s.per_run(b.ms)), " ms \xC2\xB7 ", percent(b.share, 1)), "tick");
    y += pitch;
  }
  return out.str();
}

}  // namespace qtk::inline QTK_ABI::report
