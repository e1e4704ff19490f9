#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "qtk/report/table.hpp"

/// Pictures as inline SVG, drawn by hand. Colors are CSS variables of the page (html.hpp), so that
/// they follow its light and dark schemes.
namespace qtk::inline QTK_ABI::report {

/// Text that is safe in HTML and SVG.
[[nodiscard]] inline std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

/// From data to pixels along one axis, linear or logarithmic.
struct axis_scale {
  double lo = 0, hi = 1;    // data
  double from = 0, to = 1;  // pixels
  bool logarithmic = false;

  [[nodiscard]] double operator()(double x) const {
    const double t = logarithmic ? std::log(x / lo) / std::log(hi / lo) : (x - lo) / (hi - lo);
    return from + t * (to - from);
  }
  /// Round numbers inside [lo, hi]: steps of 1, 2 or 5, or powers of ten.
  [[nodiscard]] std::vector<double> ticks() const {
    std::vector<double> out;
    if (logarithmic) {
      for (double p = std::pow(10.0, std::floor(std::log10(lo))); p <= hi * 1.0001; p *= 10)
        if (p >= lo * 0.9999) out.push_back(p);
      return out;
    }
    const double rough = (hi - lo) / 5, power = std::pow(10.0, std::floor(std::log10(rough)));
    const double unit = rough / power;
    const double step = (unit < 1.5 ? 1 : unit < 3.5 ? 2 : unit < 7.5 ? 5 : 10) * power;
    for (double t = std::ceil(lo / step - 1e-9) * step; t <= hi + step * 1e-9; t += step)
      out.push_back(t);
    return out;
  }
};

/// A plot area with axes, grid and labels.
class plot {
 public:
  plot(double width, double height, std::string title) : width_(width), height_(height) {
    out_ = format("<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", width, height) +
           escape(title) + "\">\n";
    text(left, 20, title, "title");
  }
  static constexpr double left = 64, right = 24, top = 40, bottom = 48;

  axis_scale x, y;
  void set_x(double lo, double hi, bool logarithmic = false) {
    x = {lo, hi, left, width_ - right, logarithmic};
  }
  void set_y(double lo, double hi, bool logarithmic = false) {
    y = {lo, hi, height_ - bottom, top, logarithmic};
  }
  void axes(const std::string& x_title, const std::string& y_title) {
    for (const double t : x.ticks()) {
      line(x(t), top, x(t), height_ - bottom, "grid");
      text(x(t), height_ - bottom + 16, format("%g", t), "tick middle");
    }
    for (const double t : y.ticks()) {
      line(left, y(t), width_ - right, y(t), "grid");
      text(left - 8, y(t) + 4, format("%g", t), "tick end");
    }
    text((left + width_ - right) / 2, height_ - 10, x_title, "label middle");
    out_ += format("<text class=\"label middle\" transform=\"translate(14 %.1f) rotate(-90)\">",
                   (top + height_ - bottom) / 2) +
            escape(y_title) + "</text>\n";
  }
  void line(double x1, double y1, double x2, double y2, const char* style) {
    out_ += format("<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", style,
                   x1, y1, x2, y2);
  }
  void text(double at_x, double at_y, const std::string& words, const char* style) {
    out_ += format("<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", style, at_x, at_y) + escape(words) +
            "</text>\n";
  }
  void dot(double at_x, double at_y, double radius, const char* style, const std::string& hint) {
    out_ += format("<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"><title>", style, at_x,
                   at_y, radius) +
            escape(hint) + "</title></circle>\n";
  }
  void path(const std::vector<std::pair<double, double>>& points, const char* style) {
    out_ += format("<path class=\"%s\" d=\"", style);
    for (std::size_t i = 0; i < points.size(); ++i)
      out_ += format("%c%.1f %.1f", i == 0 ? 'M' : 'L', points[i].first, points[i].second);
    out_ += "\"/>\n";
  }
  /// A label beside a dot, where no earlier label or dot is: the first free of eight places.
  void label(double at_x, double at_y, const std::string& words, const char* style) {
    const double w = 6.2 * static_cast<double>(words.size()), h = 12;
    const double offsets[][2] = {{9, 4},   {-9 - w, 4},   {-w / 2, -10}, {-w / 2, 20},
                                 {9, -9},  {9, 17},       {-9 - w, -9},  {-9 - w, 17},
                                 {14, 30}, {-14 - w, 30}, {14, -22},     {-14 - w, -22}};
    for (const auto& o : offsets) {
      const box b{at_x + o[0], at_y + o[1] - h + 2, at_x + o[0] + w, at_y + o[1] + 2};
      if (b.left < left || b.right > width_ - 4 || b.top < top - 14 || b.bottom > height_ - bottom)
        continue;
      if (std::any_of(taken_.begin(), taken_.end(), [&](const box& t) { return t.meets(b); }))
        continue;
      taken_.push_back(b);
      text(b.left, at_y + o[1], words, style);
      return;
    }
  }
  /// Keeps labels off a dot.
  void reserve(double at_x, double at_y, double radius) {
    taken_.push_back({at_x - radius, at_y - radius, at_x + radius, at_y + radius});
  }
  [[nodiscard]] std::string str() const { return out_ + "</svg>\n"; }

 private:
  struct box {
    double left, top, right, bottom;
    bool meets(const box& o) const {
      return left < o.right && o.left < right && top < o.bottom && o.top < bottom;
    }
  };
  double width_, height_;
  std::string out_;
  std::vector<box> taken_;
};

/// Accuracy (or SQNR where there are no labels) against size or latency. The line joins what
/// nothing beats in these two; filled dots are on the frontier of all three.
[[nodiscard]] inline std::string pareto_plot(const comparison& c, bool against_size) {
  const bool labeled = !std::isnan(c.reference().accuracy);
  double best_db = 0;
  for (const variant& v : c.variants)
    if (std::isfinite(v.sqnr_db)) best_db = std::max(best_db, v.sqnr_db);
  const auto cost = [&](const variant& v) {
    return against_size ? static_cast<double>(v.size_bytes) / 1000.0 : v.median_ms;
  };
  const auto value = [&](const variant& v) {
    return labeled ? 100.0 * v.accuracy : std::isfinite(v.sqnr_db) ? v.sqnr_db : best_db + 10.0;
  };
  plot p(560, 360, against_size ? "Accuracy against size" : "Accuracy against latency");
  double most = 0, lo = 1e300, hi = -1e300;
  for (const variant& v : c.variants) {
    most = std::max(most, cost(v));
    lo = std::min(lo, value(v));
    hi = std::max(hi, value(v));
  }
  const double margin = std::max((hi - lo) * 0.15, labeled ? 0.25 : 2.0);
  p.set_x(0, most * 1.18);
  p.set_y(lo - margin, hi + margin);
  p.axes(against_size ? "weights, KB" : "median latency, ms",
         labeled ? "accuracy, %" : "output SQNR, dB");
  std::vector<const variant*> order;
  for (const variant& v : c.variants) order.push_back(&v);
  std::stable_sort(order.begin(), order.end(), [&](const variant* a, const variant* b) {
    return cost(*a) != cost(*b) ? cost(*a) < cost(*b) : value(*a) > value(*b);
  });
  std::vector<std::pair<double, double>> frontier;
  double best = -1e300;
  for (const variant* v : order)
    if (value(*v) > best) {
      if (!frontier.empty()) frontier.emplace_back(p.x(cost(*v)), frontier.back().second);
      best = value(*v);
      frontier.emplace_back(p.x(cost(*v)), p.y(best));
    }
  p.path(frontier, "frontier");
  for (const variant& v : c.variants) p.reserve(p.x(cost(v)), p.y(value(v)), 6);
  for (const variant& v : c.variants) {
    const bool reference = &v == &c.variants[0];
    p.dot(p.x(cost(v)), p.y(value(v)), 5,
          reference  ? "dot reference"
          : v.pareto ? "dot best"
                     : "dot other",
          v.name);
    p.label(p.x(cost(v)), p.y(value(v)), v.name, v.pareto || reference ? "name" : "name faint");
  }
  return p.str();
}

}  // namespace qtk::inline QTK_ABI::report
