#pragma once

#include <array>
#include <string>
#include <vector>

#include "qtk/report/charts.hpp"
#include "qtk/report/roofline.hpp"
#include "qtk/report/style.hpp"
#include "qtk/report/table.hpp"

namespace qtk::inline QTK_ABI::report {

/// What a page is made from.
struct page {
  report::comparison comparison;
  profile::peaks peaks;
  std::vector<receipt_section> receipts;  // FP32 first
  std::string date;                       // as it shall be shown; none if empty
};

namespace detail {

/// Cells of a row of HTML, escaped.
inline std::string cell(std::string_view text, std::string_view style = {}) {
  return style.empty() ? cat("<td>", escape(text), "</td>")
                       : cat("<td class=\"", style, "\">", escape(text), "</td>");
}

inline std::string swatch(std::string_view style, std::string_view words) {
  return cat("<span class=\"swatch ", style, "\"></span>", escape(words), "\n");
}

inline std::string comparison_html(const comparison& c) {
  const text_table t = comparison_table(c);
  // Costs by column, for the best of each; NaN where a column has no best.
  const double none = std::numeric_limits<double>::quiet_NaN();
  std::vector<std::array<double, 10>> cost;
  for (const variant& v : c.variants)
    cost.push_back({none, static_cast<double>(v.size_bytes), c.size_ratio(v), v.median_ms,
                    -c.speed_up(v), -v.accuracy, none, std::isinf(v.sqnr_db) ? none : -v.sqnr_db,
                    static_cast<double>(v.peak_bytes), none});
  const auto best = [&](std::size_t row, std::size_t column) {
    bool some_worse = false;
    for (const auto& other : cost) {
      if (other[column] < cost[row][column]) return false;
      some_worse = some_worse || other[column] > cost[row][column];
    }
    return some_worse;
  };
  const variant* pick = &recommend(c);
  std::string out = "<div class=\"scroll\"><table>\n<thead><tr>";
  for (std::size_t i = 0; i < t.columns(); ++i)
    out += cat(i == 0 ? "<th class=\"left\">" : "<th>", escape(t.rows()[0][i]), "</th>");
  out += "</tr></thead>\n<tbody>\n";
  for (std::size_t r = 0; r < c.variants.size(); ++r) {
    const variant& v = c.variants[r];
    const auto& cells = t.rows()[r + 1];
    out += cat("<tr class=\"", v.pareto ? "on" : "off", &v == pick ? " pick-row" : "", "\">",
               "<td class=\"left\">", escape(cells[0]),
               r == 0 ? "<span class=\"badge plain\">reference</span>" : "",
               &v == pick ? "<span class=\"badge\">pick</span>" : "", "</td>");
    for (std::size_t i = 1; i < t.columns(); ++i) {
      const bool slow = i == 4 && cells[i].ends_with("slower");
      out += cell(cells[i], slow                          ? "slow"
                            : best(r, i)                  ? "best"
                            : i == 9 && !cells[i].empty() ? "yes"
                                                          : "");
    }
    out += "</tr>\n";
  }
  out += "</tbody></table></div>\n";
  if (const auto lines = notes(c); !lines.empty()) {
    out += "<ul class=\"notes\">\n";
    for (const std::string& line : lines) out += cat("<li>", escape(line), "</li>\n");
    out += "</ul>\n";
  }
  return out;
}

inline std::string receipt_html(const receipt_section& s) {
  std::string out = cat("<details open><summary>", escape(s.title),
                        ", layer by layer</summary>\n<div class=\"scroll\"><table>\n<thead><tr>"
                        "<th class=\"left\">layer</th><th class=\"left\">kernel</th><th>calls</th>"
                        "<th>ms a run</th><th>share</th><th>GFLOP/s</th><th>GB/s</th>"
                        "<th>of the roof</th><th>bound</th></tr></thead>\n<tbody>\n");
  double longest = 1e-300;
  for (const layer_row& r : s.rows) longest = std::max(longest, r.share);
  for (const layer_row& r : s.rows) {
    const bool known = r.roof_share > 0;
    const char* bound = !known ? "unbound" : r.memory_bound ? "memory" : "compute";
    out +=
        cat("<tr><td class=\"left cut\" title=\"", escape(r.name), "\">", escape(r.name), "</td>") +
        cell(r.kernel, "left kernel") + cell(cat(r.calls)) +
        cell(three_digits(s.per_run(r.total_ms))) +
        cat("<td class=\"share\"><span class=\"track\"><i class=\"", bound,
            "\" style=\"width:", fixed(84.0 * std::clamp(r.share / longest, 0.0, 1.0), 0),
            "px\"></i></span>", percent(r.share, 1), "</td>") +
        cell(r.gflops > 0 ? three_digits(r.gflops) : "") +
        cell(r.gbps > 0 ? three_digits(r.gbps) : "") + cell(known ? percent(r.roof_share, 0) : "") +
        cell(known ? bound : "", known ? cat("ink-", bound) : "") + "</tr>\n";
  }
  const auto plain = [&](std::string_view name, std::string_view style, double ms) {
    return cat("<tr class=\"", style, "\"><td class=\"left\">", name, "</td><td></td><td></td>",
               cell(three_digits(s.per_run(ms))),
               cell(s.total_ms > 0 ? percent(ms / s.total_ms, 1) : ""),
               "<td></td><td></td><td></td><td></td></tr>\n");
  };
  return out + plain("between layers", "off", s.rest_ms()) + plain("one run", "sum", s.total_ms) +
         "</tbody></table></div></details>\n";
}

}  // namespace detail

/// One self-contained HTML 5 page: what to pick, the table, the Pareto plots, the roofline and the
/// receipts. No script, no font, no picture from elsewhere. qtk::error where there are no variants.
[[nodiscard]] inline std::string to_html(const page& p) {
  const comparison& c = p.comparison;
  std::string out = cat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>qtk: ",
      escape(c.model), "</title>\n<style>", page_style, "</style>\n</head>\n<body>\n<h1>",
      escape(c.model), "</h1>\n<p class=\"meta\">", escape(c.cpu), " \xC2\xB7 ", escape(c.isa),
      " kernels \xC2\xB7 ", c.threads, c.threads == 1 ? " thread" : " threads", " \xC2\xB7 batch ",
      c.batch, " \xC2\xB7 ", c.samples, " samples", p.date.empty() ? "" : " \xC2\xB7 ",
      escape(p.date), "</p>\n<p class=\"pick\">", escape(recommendation(c)), "</p>\n",
      "<h2>All variants</h2>\n", detail::comparison_html(c), "<h2>The Pareto frontier</h2>\n",
      "<div class=\"pair\">\n", pareto_plot(c, cost_axis::size), pareto_plot(c, cost_axis::latency),
      "</div>\n<p class=\"key\">", detail::swatch("round square-fp32", "reference"),
      detail::swatch("round square-good", "nothing is better in size, latency and quality at once"),
      detail::swatch("round square-other", "something is"), "</p>\n");
  if (p.receipts.empty()) return out + "</body>\n</html>\n";

  out += "<h2>Under the roof</h2>\n" + roofline_plot(p.peaks, p.receipts) + "<p class=\"key\">";
  for (std::size_t i = 0; i < p.receipts.size(); ++i)
    out += detail::swatch(i == 0 ? "round square-fp32" : "round square-int8", p.receipts[i].title);
  out +=
      "&ensp;A dot is a layer, its area the share of the time. Above the slope, data came from the "
      "caches instead of memory.</p>\n"
      "<h2>Where the time goes</h2>\n<div class=\"pair\">\n";
  for (const receipt_section& s : p.receipts) out += layer_bars(s);
  out += cat("</div>\n<p class=\"key\">", detail::swatch("square-compute", "bound by compute"),
             detail::swatch("square-memory", "bound by memory"),
             "&ensp;The solid part is the time that the roof would allow.</p>\n");
  for (const receipt_section& s : p.receipts) out += detail::receipt_html(s);
  return out + "</body>\n</html>\n";
}

}  // namespace qtk::inline QTK_ABI::report
