#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "qtk/report/comparison.hpp"

namespace qtk::inline QTK_ABI::report {

/// Columns of text, the first aligned left, the others right.
class text_table {
 public:
  explicit text_table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void add(std::vector<std::string> row) {
    QTK_CHECK(row.size() == rows_[0].size(), "text_table", row.size(), " cells in ",
              rows_[0].size(), " columns");
    rows_.push_back(std::move(row));
  }
  const std::vector<std::vector<std::string>>& rows() const noexcept { return rows_; }

  [[nodiscard]] std::string str() const {
    std::vector<std::size_t> width(rows_[0].size(), 0);
    for (const auto& row : rows_)
      for (std::size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], row[i].size());
    std::string out;
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      std::string line;
      for (std::size_t i = 0; i < width.size(); ++i) {
        const std::string& cell = rows_[r][i];
        const std::string pad(width[i] - cell.size(), ' ');
        line += (i == 0 ? "" : "  ") + (i == 0 ? cell + pad : pad + cell);
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + '\n';
      if (r == 0) {
        std::size_t total = 2 * (width.size() - 1);
        for (const std::size_t w : width) total += w;
        out += std::string(total, '-') + '\n';
      }
    }
    return out;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// printf into a string.
template <class... Values>
[[nodiscard]] std::string format(const char* how, Values... values) {
  char text[256];
  const int n = std::snprintf(text, sizeof text, how, values...);
  return std::string(text, static_cast<std::size_t>(std::clamp<int>(n, 0, sizeof text - 1)));
}

/// "1.23 MB": three digits, powers of 1000.
[[nodiscard]] inline std::string human_bytes(std::size_t bytes) {
  constexpr const char* units[] = {"B", "KB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(units)) value /= 1000.0, ++unit;
  const int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return format("%.*f %s", digits, value, units[unit]);
}

[[nodiscard]] inline std::string percent(double share) {
  return std::isnan(share) ? "-" : format("%.2f %%", 100.0 * share);
}
[[nodiscard]] inline std::string points(double change) {
  return std::isnan(change) ? "-" : change == 0.0 ? "0.00" : format("%+.2f", 100.0 * change);
}
[[nodiscard]] inline std::string decibels(double db) {
  return std::isinf(db) ? "exact" : format("%.1f dB", db);
}
/// Says so where a variant is slower than the reference.
[[nodiscard]] inline std::string speed(double ratio) {
  return format(ratio < 0.995 ? "%.2fx slower" : "%.2fx", ratio);
}

/// The comparison as a table of cells, for the terminal and for HTML.
[[nodiscard]] inline text_table comparison_table(const comparison& c) {
  text_table t({"variant", "size", "vs FP32", "median / p95 ms", "speed-up", "accuracy", "change",
                "output SQNR", "peak memory", "Pareto"});
  for (const variant& v : c.variants)
    t.add({v.name, human_bytes(v.size_bytes), format("%.2fx", c.size_ratio(v)),
           format("%.3f / %.3f", v.median_ms, v.p95_ms), speed(c.speed_up(v)), percent(v.accuracy),
           points(c.accuracy_change(v)), decibels(v.sqnr_db), human_bytes(v.peak_bytes),
           v.pareto ? "yes" : ""});
  return t;
}

/// Notes that belong under the table: what is slower, and why.
[[nodiscard]] inline std::vector<std::string> notes(const comparison& c) {
  std::vector<std::string> out;
  for (const variant& v : c.variants)
    if (!v.note.empty()) out.push_back(v.name + ": " + v.note);
  return out;
}

/// "Pick int8-dynamic: 0.26x the size, 1.85x as fast, -0.10 points."
[[nodiscard]] inline std::string recommendation(const comparison& c) {
  const variant& v = recommend(c);
  if (&v == &c.reference())
    return "Stay with " + v.name + ": nothing smaller is fast and accurate.";
  const std::string change = std::isnan(v.accuracy) ? decibels(v.sqnr_db) + " SQNR"
                                                    : points(c.accuracy_change(v)) + " points";
  return format("Pick %s: %.2fx the size, %.2fx as fast, %s.", v.name.c_str(), c.size_ratio(v),
                c.speed_up(v), change.c_str());
}

}  // namespace qtk::inline QTK_ABI::report
