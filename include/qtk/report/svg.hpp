#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qtk/report/text.hpp"

/// Pictures as inline SVG, drawn by hand. Colors and fonts are classes of the page's style
/// (style.hpp), so that they follow its light and dark schemes. All text is escaped here.
namespace qtk::inline QTK_ABI::report {

struct point {
  double x = 0, y = 0;
};

/// A rectangle of pixels.
struct box {
  double left = 0, top = 0, right = 0, bottom = 0;

  [[nodiscard]] static box around(point p, double radius) {
    return {p.x - radius, p.y - radius, p.x + radius, p.y + radius};
  }
  [[nodiscard]] bool meets(const box& o) const {
    return left < o.right && o.left < right && top < o.bottom && o.top < bottom;
  }
  [[nodiscard]] bool holds(const box& o) const {
    return left <= o.left && top <= o.top && right >= o.right && bottom >= o.bottom;
  }
  /// The point of the box that is nearest to p.
  [[nodiscard]] point nearest(point p) const {
    return {std::clamp(p.x, left, right), std::clamp(p.y, top, bottom)};
  }
};

/// From data to pixels along one axis, linear or logarithmic.
struct axis_scale {
  double lo = 0, hi = 1;    // data, lo < hi; above 0 where logarithmic
  double from = 0, to = 1;  // pixels
  bool logarithmic = false;

  [[nodiscard]] double operator()(double x) const {
    const double t = logarithmic ? std::log(x / lo) / std::log(hi / lo) : (x - lo) / (hi - lo);
    return from + t * (to - from);
  }

  struct tick {
    double at;
    std::string text;  // empty: a minor tick of a logarithmic axis
  };
  /// Round numbers inside [lo, hi]: about `wanted` steps of 1, 2 or 5 times a power of ten; every
  /// digit of each power where logarithmic, labeled at 1 (and at 2 and 5 below three decades).
  [[nodiscard]] std::vector<tick> ticks(int wanted = 5) const {
    std::vector<tick> out;
    const auto places = [](double x) {
      return std::max(0, -static_cast<int>(std::floor(std::log10(x) + 1e-9)));
    };
    if (logarithmic) {
      const bool few = std::log10(hi / lo) < 3;
      for (double p = std::pow(10.0, std::floor(std::log10(lo))); p <= hi; p *= 10)
        for (int digit = 1; digit <= 9; ++digit) {
          const double t = digit * p;
          if (t < lo * (1 - 1e-9) || t > hi * (1 + 1e-9)) continue;
          const bool named = digit == 1 || (few && (digit == 2 || digit == 5));
          out.push_back({t, named ? fixed(t, places(p)) : ""});
        }
      return out;
    }
    const double rough = (hi - lo) / wanted, power = std::pow(10.0, std::floor(std::log10(rough)));
    const double unit = rough / power;
    const double step = (unit < 1.5 ? 1 : unit < 3.5 ? 2 : unit < 7.5 ? 5 : 10) * power;
    for (double n = std::ceil(lo / step - 1e-9); n * step <= hi + step * 1e-9; ++n)
      out.push_back({n * step, fixed(n * step, places(step))});
    return out;
  }
};

/// SVG text under construction.
class svg {
 public:
  /// `name` is read aloud in place of the picture.
  svg(double width, double height, std::string_view name)
      : out_(cat("<svg viewBox=\"0 0 ", fixed(width, 0), " ", fixed(height, 0),
                 "\" role=\"img\" aria-label=\"", escape(name), "\">\n")) {}

  void line(point a, point b, std::string_view style) {
    out_ += cat("<line class=\"", style, "\"", at("x1", a.x), at("y1", a.y), at("x2", b.x),
                at("y2", b.y), "/>\n");
  }
  void path(const std::vector<point>& points, std::string_view style) {
    if (points.empty()) return;
    out_ += cat("<path class=\"", style, "\" d=\"");
    for (const point& p : points)
      out_ += cat(&p == points.data() ? "M" : "L", pixels(p.x), " ", pixels(p.y));
    out_ += "\"/>\n";
  }
  void circle(point c, double radius, std::string_view style, std::string_view hint = {}) {
    out_ += cat("<circle class=\"", style, "\"", at("cx", c.x), at("cy", c.y), at("r", radius));
    close("circle", hint);
  }
  /// A triangle that points down (or up): what lies beyond the edge of a plot.
  void arrow(point c, bool down, std::string_view style, std::string_view hint = {}) {
    const double tip = down ? 6 : -6;
    out_ += cat("<path class=\"", style, "\" d=\"M", pixels(c.x - 6), " ", pixels(c.y - tip * 0.7),
                "h12L", pixels(c.x), " ", pixels(c.y + tip), "z\"");
    close("path", hint);
  }
  void rect(const box& b, std::string_view style, std::string_view hint = {}) {
    out_ += cat("<rect class=\"", style, "\"", at("x", b.left), at("y", b.top),
                at("width", std::max(0.0, b.right - b.left)),
                at("height", std::max(0.0, b.bottom - b.top)));
    close("rect", hint);
  }
  /// Turned by `degrees` clockwise about p.
  void text(point p, std::string_view words, std::string_view style, double degrees = 0) {
    out_ += cat("<text class=\"", style, "\"");
    if (degrees == 0)
      out_ += at("x", p.x) + at("y", p.y);
    else
      out_ += cat(" transform=\"translate(", pixels(p.x), " ", pixels(p.y), ") rotate(",
                  fixed(degrees, 1), ")\"");
    out_ += ">" + escape(words) + "</text>\n";
  }

  [[nodiscard]] std::string str() const { return out_ + "</svg>\n"; }

  /// Pixels that a line of text takes, on the safe side for the usual sans-serif fonts.
  [[nodiscard]] static double text_width(std::string_view words, double font_size) {
    return 0.6 * font_size * static_cast<double>(display_width(words));
  }

 private:
  static std::string pixels(double x) { return std::isfinite(x) ? fixed(x, 1) : "0"; }
  static std::string at(const char* name, double x) {
    return cat(" ", name, "=\"", pixels(x), "\"");
  }
  void close(const char* tag, std::string_view hint) {
    out_ += hint.empty() ? "/>\n" : cat("><title>", escape(hint), "</title></", tag, ">\n");
  }
  std::string out_;
};

/// Finds room for labels: inside the area, off what is taken, near their dots, and off lines where
/// there is a choice. Greedy, so the labels that matter come first.
class label_placer {
 public:
  explicit label_placer(const box& area) : area_(area) {}

  void take(const box& b) { taken_.push_back(b); }
  /// Keeps labels off a polyline where possible.
  void avoid(const std::vector<point>& line) {
    for (std::size_t i = 1; i < line.size(); ++i) {
      const point a = line[i - 1], b = line[i];
      const int steps = 1 + static_cast<int>(std::hypot(b.x - a.x, b.y - a.y) / 8);
      for (int s = 0; s <= steps; ++s) {
        const double t = static_cast<double>(s) / steps;
        lines_.push_back(box::around({a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)}, 3));
      }
    }
  }

  /// The cheapest free place for a label of (width, height) beside a dot, at most `rings` steps of
  /// 9 pixels away; none if all is full.
  [[nodiscard]] std::optional<box> place(point dot, double radius, double width, double height,
                                         int rings = 12) {
    std::optional<box> best;
    double best_cost = 1e300;
    for (int ring = 0; ring < rings; ++ring)
      for (int k = 0; k < 16; ++k) {
        const double gap = radius + 3 + 9 * ring, angle = k * 0.39269908169872414;  // 2 pi / 16
        const double dx = std::cos(angle), dy = -std::sin(angle);
        // The box touches the circle of `gap` with the edge or corner that faces the dot.
        const double cx = dot.x + dx * gap + 0.5 * width * std::clamp(2 * dx, -1.0, 1.0);
        const double cy = dot.y + dy * gap + 0.5 * height * std::clamp(2 * dy, -1.0, 1.0);
        const box b{cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2};
        if (!area_.holds(b) || hits(taken_, b)) continue;
        double cost = 9.0 * ring + 6 * (1 - dx) + 3 * std::abs(dy);  // nearest, then to the right
        if (hits(lines_, b)) cost += 26;
        if (ring > 0 && leader_hits(dot, radius, b)) cost += 60;
        if (cost < best_cost) best_cost = cost, best = b;
      }
    if (best) {
      avoid({dot, best->nearest(dot)});
      taken_.push_back(*best);
    }
    return best;
  }

 private:
  static bool hits(const std::vector<box>& all, const box& b) {
    return std::any_of(all.begin(), all.end(), [&](const box& t) { return t.meets(b); });
  }
  /// Whether the line from the dot to its label runs over something.
  bool leader_hits(point dot, double radius, const box& b) const {
    const point end = b.nearest(dot);
    const double length = std::hypot(end.x - dot.x, end.y - dot.y);
    for (double t = radius + 2; t < length - 1; t += 3) {
      const box spot = box::around(
          {dot.x + (end.x - dot.x) * t / length, dot.y + (end.y - dot.y) * t / length}, 0.5);
      if (hits(taken_, spot)) return true;
    }
    return false;
  }
  box area_;
  std::vector<box> taken_, lines_;
};

/// A plot area with title, axes, grid and labeled dots.
class plot {
 public:
  plot(double width, double height, std::string_view title)
      : area{58, 44, width - 18, height - 46}, labels(area), out(width, height, title) {
    out.text({area.left, 22}, title, "title");
  }

  box area;
  axis_scale x, y;
  label_placer labels;
  svg out;

  void set_x(double lo, double hi, bool logarithmic = false) {
    x = {lo, hi, area.left, area.right, logarithmic};
  }
  void set_y(double lo, double hi, bool logarithmic = false) {
    y = {lo, hi, area.bottom, area.top, logarithmic};
  }
  [[nodiscard]] point operator()(double at_x, double at_y) const { return {x(at_x), y(at_y)}; }

  void axes(std::string_view x_title, std::string_view y_title) {
    for (const axis_scale::tick& t : x.ticks()) {
      out.line({x(t.at), area.top}, {x(t.at), area.bottom}, t.text.empty() ? "grid minor" : "grid");
      if (!t.text.empty()) out.text({x(t.at), area.bottom + 16}, t.text, "tick middle");
    }
    for (const axis_scale::tick& t : y.ticks()) {
      out.line({area.left, y(t.at)}, {area.right, y(t.at)}, t.text.empty() ? "grid minor" : "grid");
      if (!t.text.empty()) out.text({area.left - 7, y(t.at) + 4}, t.text, "tick end");
    }
    out.line({area.left, area.bottom}, {area.right, area.bottom}, "axis");
    out.text({(area.left + area.right) / 2, area.bottom + 36}, x_title, "label middle");
    out.text({14, (area.top + area.bottom) / 2}, y_title, "label middle", -90);
  }

  /// A label beside a dot, joined to it by a line where it had to go far. Nothing if all is full.
  void label(point dot, double radius, std::string_view words, std::string_view style,
             int rings = 12) {
    constexpr double size = 11.5;
    const bool bold = style.find("strong") != std::string_view::npos;
    const double width = svg::text_width(words, size) * (bold ? 1.12 : 1.0) + 2;
    const auto place = labels.place(dot, radius, width, size + 2, rings);
    if (!place) return;
    const point end = place->nearest(dot);
    const double length = std::hypot(end.x - dot.x, end.y - dot.y);
    if (length > radius + 7) {
      const double t = radius / length;
      out.line({dot.x + t * (end.x - dot.x), dot.y + t * (end.y - dot.y)}, end, "leader");
    }
    // Text is set from the side that faces the dot, so that a narrower font leaves no gap there.
    const double middle = (place->left + place->right) / 2, y0 = place->bottom - 3.5;
    if (std::abs(middle - dot.x) < width / 4)
      out.text({middle, y0}, words, cat(style, " middle"));
    else if (middle > dot.x)
      out.text({place->left + 1, y0}, words, style);
    else
      out.text({place->right - 1, y0}, words, cat(style, " end"));
  }
};

}  // namespace qtk::inline QTK_ABI::report
