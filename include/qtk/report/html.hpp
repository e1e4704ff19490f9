#pragma once

#include <string>
#include <vector>

#include "qtk/report/roofline.hpp"

namespace qtk::inline QTK_ABI::report {

/// What a page is made from.
struct page {
  report::comparison comparison;
  profile::peaks peaks;
  std::vector<receipt_section> receipts;  // FP32 first
  std::string date;
};

namespace detail {

inline constexpr const char* style = R"(
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6b7e; --line: #dde3ea; --paper: #ffffff;
  --card: #f6f8fa; --blue: #2563c9; --orange: #c2570c; --green: #177245; --red: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf2; --soft: #9aa7b8; --line: #2d3642;
  --paper: #12171e; --card: #1a212b; --blue: #6ea8ff; --orange: #ff9d5c; --green: #5fd39a; --red: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 32px 24px 64px; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 10px; }
.meta { color: var(--soft); margin: 0 0 20px; }
.pick { background: var(--card); border-left: 4px solid var(--green); padding: 12px 16px; font-size: 17px; margin: 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th { text-align: right; color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); padding: 6px 8px; }
td { text-align: right; border-bottom: 1px solid var(--line); padding: 6px 8px; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.on td:first-child { font-weight: 600; } tr.on td:last-child { color: var(--green); font-weight: 600; }
td.slow { color: var(--red); }
td.left { text-align: left; color: var(--soft); font-size: 13px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 20px; }
.scroll { overflow-x: auto; }
svg { width: 100%; height: auto; background: var(--card); border-radius: 8px; }
svg text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
svg .title { font-size: 14px; font-weight: 600; } svg .tick { fill: var(--soft); font-size: 11px; }
svg .label { fill: var(--soft); } svg .middle { text-anchor: middle; } svg .end { text-anchor: end; }
svg .name { font-size: 11px; } svg .faint { fill: var(--soft); }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .frontier { fill: none; stroke: var(--green); stroke-width: 2; stroke-linejoin: round; opacity: .8; }
svg .dot { stroke: var(--card); stroke-width: 1.5; } svg .best { fill: var(--green); }
svg .other { fill: var(--soft); } svg .reference { fill: var(--blue); }
svg .roof { fill: none; stroke-width: 2; } svg .roof.fp32 { stroke: var(--blue); } svg .roof.int8 { stroke: var(--orange); }
svg .layer { fill-opacity: .55; } svg .layer.fp32 { fill: var(--blue); } svg .layer.int8 { fill: var(--orange); }
.bar { display: inline-block; height: 9px; border-radius: 2px; vertical-align: middle; margin-right: 6px; }
.compute { background: var(--blue); } .memory { background: var(--orange); }
.key span { margin-right: 18px; } ul { color: var(--soft); padding-left: 20px; }
)";

inline std::string table_html(const comparison& c) {
  const text_table t = comparison_table(c);
  std::string out = "<div class=\"scroll\"><table>\n<tr>";
  for (const std::string& cell : t.rows()[0]) out += "<th>" + escape(cell) + "</th>";
  out += "</tr>\n";
  for (std::size_t i = 0; i < c.variants.size(); ++i) {
    out += c.variants[i].pareto ? "<tr class=\"on\">" : "<tr>";
    for (const std::string& cell : t.rows()[i + 1]) {
      const bool slow = cell.find("slower") != std::string::npos;
      out += (slow ? "<td class=\"slow\">" : "<td>") + escape(cell) + "</td>";
    }
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

inline std::string receipt_html(const receipt_section& s) {
  std::string out = "<h2>" + escape(s.title) +
                    "</h2>\n<div class=\"scroll\"><table>\n<tr>"
                    "<th>layer</th><th>ms</th><th>share</th><th>GOP/s</th><th>GB/s</th>"
                    "<th>of the roof</th><th>bound</th><th>kernel</th></tr>\n";
  double rest = s.table.total_ms;
  std::size_t calls = 1;
  for (const profile::receipt_row& r : s.table.rows)
    if (r.depth == 0) calls = std::max<std::size_t>(calls, r.calls);
  const auto per_run = [&](double ms) { return ms / static_cast<double>(calls); };
  for (const auto* r : layers(s.table)) {
    rest -= r->self_ms;
    const bool memory = r->roof.bound == profile::bound::memory;
    out += "<tr><td>" + escape(r->name) + format("</td><td>%.4f</td><td>", per_run(r->self_ms)) +
           format("<span class=\"bar %s\" style=\"width:%.0fpx\"></span>%.1f %%</td>",
                  memory ? "memory" : "compute", 120.0 * std::clamp(r->share, 0.0, 1.0),
                  100.0 * r->share) +
           (r->gops > 0 ? format("<td>%.1f</td>", r->gops) : std::string("<td></td>")) +
           format("<td>%.1f</td><td>%.0f %%</td><td>%s</td><td class=\"left\">", r->gbps,
                  100.0 * r->roof.share, memory ? "memory" : "compute") +
           escape(r->kernel) + "</td></tr>\n";
  }
  out += format(
      "<tr><td>(between layers)</td><td>%.4f</td><td>%.1f %%</td><td></td><td></td><td></td>"
      "<td></td><td></td></tr>\n",
      per_run(rest), 100.0 * rest / std::max(s.table.total_ms, 1e-12));
  return out +
         format(
             "<tr class=\"on\"><td>one run</td><td>%.4f</td><td></td><td></td><td></td><td></td>"
             "<td></td><td></td></tr>\n</table></div>\n",
             per_run(s.table.total_ms));
}

}  // namespace detail

/// One self-contained page: what to pick, the table, the Pareto plots, the receipts and the
/// roofline. No script, no font, no picture from elsewhere.
[[nodiscard]] inline std::string to_html(const page& p) {
  const comparison& c = p.comparison;
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>qtk: " +
      escape(c.model) + "</title>\n<style>" + detail::style + "</style>\n</head>\n<body>\n";
  out += "<h1>" + escape(c.model) + "</h1>\n<p class=\"meta\">" + escape(c.cpu) + ", " +
         escape(c.isa) +
         format(" kernels, %zu thread%s, batch %zu, %zu samples", c.threads,
                c.threads == 1 ? "" : "s", c.batch, c.samples) +
         (p.date.empty() ? "" : ", " + escape(p.date)) + "</p>\n";
  out += "<p class=\"pick\">" + escape(recommendation(c)) + "</p>\n<h2>All formats</h2>\n" +
         detail::table_html(c);
  if (const auto lines = notes(c); !lines.empty()) {
    out += "<ul>\n";
    for (const std::string& l : lines) out += "<li>" + escape(l) + "</li>\n";
    out += "</ul>\n";
  }
  out += "<h2>The Pareto frontier</h2>\n<div class=\"pair\">\n" + pareto_plot(c, true) +
         pareto_plot(c, false) + "</div>\n";
  if (!p.receipts.empty()) {
    out += "<h2>Under the roof</h2>\n" + roofline_plot(p.peaks, p.receipts) +
           "<p class=\"meta\">Dots: <span class=\"bar compute\" style=\"width:14px\"></span>fp32 "
           "layers, "
           "<span class=\"bar memory\" style=\"width:14px\"></span>int8 layers; the area is the "
           "share of "
           "the time. Bars below: <span class=\"bar compute\" "
           "style=\"width:14px\"></span>compute-bound, "
           "<span class=\"bar memory\" style=\"width:14px\"></span>memory-bound.</p>\n";
    for (const receipt_section& s : p.receipts) out += detail::receipt_html(s);
  }
  return out + "</body>\n</html>\n";
}

}  // namespace qtk::inline QTK_ABI::report
