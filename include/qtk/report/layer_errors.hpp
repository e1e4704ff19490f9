#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <string_view>

#include "qtk/quantize/layer_error.hpp"
#include "qtk/report/svg.hpp"
#include "qtk/report/table.hpp"

/// The errors of a quantized model's layers as a table and as a picture.
namespace qtk::inline QTK_ABI::report {

namespace detail {

inline std::string cosine(double c) { return std::isnan(c) ? "-" : fixed(c, 5); }

}  // namespace detail

/// One row a layer, worst first.
[[nodiscard]] inline text_table layer_error_table(std::span<const layer_error> errors) {
  text_table t({"layer", "SQNR", "cosine", "SQNR alone", "cosine alone"});
  for (const layer_error& e : worst_first({errors.begin(), errors.end()}))
    t.add({shorten(e.layer, 40), decibels(e.accumulated.sqnr_db),
           detail::cosine(e.accumulated.cosine), decibels(e.alone.sqnr_db),
           detail::cosine(e.alone.cosine)});
  return t;
}

/// Two bars a layer, in the order of the graph: the SQNR of the whole quantized model at its output
/// and that of the layer alone. Longer is better; exact ones reach the edge.
[[nodiscard]] inline std::string layer_error_bars(std::span<const layer_error> errors,
                                                  std::string_view title) {
  constexpr double pitch = 30, left = 204, right = 640, top = 66;
  double lo = 0, hi = 10;
  for (const layer_error& e : errors)
    for (const double db : {e.accumulated.sqnr_db, e.alone.sqnr_db})
      if (std::isfinite(db)) lo = std::min(lo, db), hi = std::max(hi, db);
  const axis_scale x{lo, hi * 1.05, left, right};
  const double bottom = top + pitch * static_cast<double>(errors.size());
  svg out(720, bottom + 46, title);
  out.text({16, 22}, shorten(title, 80), "title");
  out.rect({16, 34, 26, 44}, "ink-int8");
  out.text({32, 43}, "all layers quantized", "label");
  out.rect({168, 34, 178, 44}, "ink-fp32");
  out.text({184, 43}, "this layer alone, its input in fp32", "label");
  for (const axis_scale::tick& t : x.ticks()) {
    out.line({x(t.at), top - 6}, {x(t.at), bottom + 4}, t.at == 0 ? "axis" : "grid");
    out.text({x(t.at), bottom + 20}, t.text, "tick middle");
  }
  out.text({(left + right) / 2, bottom + 38}, "SQNR of the layer's output, dB", "label middle");
  double y = top;
  for (const layer_error& e : errors) {
    out.text({left - 8, y + 16}, shorten(e.layer, 29), "name end");
    const auto bar = [&](double db, double at, const char* style, const char* what) {
      const double end = std::isinf(db) ? (db > 0 ? right : left) : std::isnan(db) ? x(0) : x(db);
      const std::string hint = cat(e.layer, ": ", decibels(db), ", ", what);
      out.rect({std::min(x(0), end), at, std::max(x(0), end), at + 11}, style, hint);
      out.text({std::max(x(0), end) + 6, at + 9.5}, decibels(db), "tick");
    };
    bar(e.accumulated.sqnr_db, y + 1, "ink-int8", "all layers quantized");
    bar(e.alone.sqnr_db, y + 13, "ink-fp32", "alone");
    y += pitch;
  }
  return out.str();
}

}  // namespace qtk::inline QTK_ABI::report
