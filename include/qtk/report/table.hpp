#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qtk/report/comparison.hpp"
#include "qtk/report/text.hpp"

namespace qtk::inline QTK_ABI::report {

/// Columns of text for a terminal.
///
///     text_table t({"layer", "ms", "kernel"}, "lrl");
///     t.add({"conv1", "0.31", "u8s8s32_6x16"});
///     std::cout << t.str();
class text_table {
 public:
  /// `alignment` has 'l' or 'r' for each column; those beyond its end go right, and if it is empty
  /// the first goes left.
  explicit text_table(std::vector<std::string> header, std::string_view alignment = "l")
      : alignment_(alignment) {
    QTK_CHECK(alignment_.size() <= header.size() &&
                  alignment_.find_first_not_of("lr") == std::string::npos,
              "text_table", "alignment \"", alignment_, "\" of ", header.size(), " columns");
    rows_.push_back(std::move(header));
  }

  /// qtk::error unless there is a cell for each column.
  void add(std::vector<std::string> row) {
    QTK_CHECK(row.size() == columns(), "text_table", row.size(), " cells in ", columns(),
              " columns");
    rows_.push_back(std::move(row));
  }

  /// The header, then the rows.
  const std::vector<std::vector<std::string>>& rows() const noexcept { return rows_; }
  std::size_t columns() const noexcept { return rows_[0].size(); }

  /// Aligned, two spaces between columns, a line under the header, nothing trailing.
  [[nodiscard]] std::string str() const {
    std::vector<std::size_t> width(columns(), 0);
    for (const auto& row : rows_)
      for (std::size_t i = 0; i < row.size(); ++i)
        width[i] = std::max(width[i], display_width(row[i]));
    std::size_t total = columns() == 0 ? 0 : 2 * (columns() - 1);
    for (const std::size_t w : width) total += w;
    std::string out;
    for (const auto& row : rows_) {
      std::string line;
      for (std::size_t i = 0; i < row.size(); ++i) {
        const std::string pad(width[i] - display_width(row[i]), ' ');
        const bool left = i < alignment_.size() && alignment_[i] == 'l';
        line += (i == 0 ? "" : "  ") + (left ? printable(row[i]) + pad : pad + printable(row[i]));
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + '\n';
      if (&row == rows_.data()) out += std::string(total, '-') + '\n';
    }
    return out;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
  std::string alignment_;
};

/// "2.10x", or "0.62x slower": a variant that doesn't pay says so.
[[nodiscard]] inline std::string speed(double ratio) {
  if (!std::isfinite(ratio)) return "-";
  return fixed(ratio, 2) + (comparison::slower(ratio) ? "x slower" : "x");
}

/// The comparison as cells, for the terminal and for HTML: one row a variant, in order.
[[nodiscard]] inline text_table comparison_table(const comparison& c) {
  text_table t({"variant", "size", "vs FP32", "median / p95 ms", "speed-up", "accuracy", "change",
                "output SQNR", "peak memory", "Pareto"});
  for (const variant& v : c.variants) {
    const double ratio = c.size_ratio(v);
    t.add({v.name, human_bytes(v.size_bytes), fixed(ratio, 2) + (std::isfinite(ratio) ? "x" : ""),
           three_digits(v.median_ms) + " / " + three_digits(v.p95_ms), speed(c.speed_up(v)),
           percent(v.accuracy), points(c.accuracy_change(v)), decibels(v.sqnr_db),
           human_bytes(v.peak_bytes), v.pareto ? "yes" : ""});
  }
  return t;
}

/// Lines for under the table: what doesn't pay, and why. Variants of one note share a line.
[[nodiscard]] inline std::vector<std::string> notes(const comparison& c) {
  std::vector<std::pair<std::string, const std::string*>> lines;  // names, note
  for (const variant& v : c.variants) {
    if (v.note.empty()) continue;
    const auto same = std::find_if(lines.begin(), lines.end(),
                                   [&](const auto& line) { return *line.second == v.note; });
    if (same == lines.end())
      lines.emplace_back(v.name, &v.note);
    else
      same->first += ", " + v.name;
  }
  std::vector<std::string> out;
  for (const auto& [names, note] : lines) out.push_back(printable(names + ": " + *note));
  return out;
}

namespace detail {

/// "3.9x smaller, 2.1x faster, -0.10 points"
inline std::string gains(const comparison& c, const variant& v) {
  const double shrink = 1.0 / c.size_ratio(v), faster = c.speed_up(v);
  const auto times = [](double ratio, const char* more, const char* less, const char* same) {
    const double rounded = std::round(100.0 * ratio);
    if (!std::isfinite(ratio) || rounded == 100.0) return std::string(same);
    const bool won = rounded > 100.0;
    return cat(fixed(won ? ratio : 1.0 / ratio, ratio >= 1.95 ? 1 : 2), "x ", won ? more : less);
  };
  return times(shrink, "smaller", "larger", "the same size") + ", " +
         times(faster, "faster", "slower", "as fast") + ", " +
         (!c.labeled()                             ? decibels(v.sqnr_db) + " SQNR"
          : points(c.accuracy_change(v)) == "0.00" ? std::string("as accurate")
                                                   : points(c.accuracy_change(v)) + " points");
}

}  // namespace detail

/// "Pick int8-dynamic: 3.9x smaller, 2.1x faster, -0.10 points." and, where they are others, the
/// smallest and the fastest that are as good.
[[nodiscard]] inline std::string recommendation(const comparison& c, tolerance t = {}) {
  const variant& pick = recommend(c, t);
  std::string out = &pick == &c.reference()
                        ? "Stay with " + pick.name + ": no other variant gains and is as good."
                        : "Pick " + pick.name + ": " + detail::gains(c, pick) + ".";
  const variant *smallest = &pick, *fastest = &pick;
  for (const variant& v : c.variants) {
    if (!v.pareto || !acceptable(c, v, t)) continue;
    if (v.size_bytes < smallest->size_bytes) smallest = &v;
    if (v.median_ms < fastest->median_ms) fastest = &v;
  }
  if (smallest != &pick)
    out += " Smallest: " + smallest->name + ", " + detail::gains(c, *smallest) + ".";
  if (fastest != &pick && fastest != smallest && fastest != &c.reference())
    out += " Fastest: " + fastest->name + ", " + detail::gains(c, *fastest) + ".";
  return printable(out);
}

}  // namespace qtk::inline QTK_ABI::report
