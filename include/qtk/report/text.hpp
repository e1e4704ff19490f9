#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

#include "qtk/core/error.hpp"

/// Numbers as people read them, and text that can't break what it is put into.
namespace qtk::inline QTK_ABI::report {

/// printf into a string of any length.
template <class... Values>
[[nodiscard]] std::string format(const char* how, Values... values) {
  const int n = std::snprintf(nullptr, 0, how, values...);
  std::string out(static_cast<std::size_t>(std::max(n, 0)), '\0');
  std::snprintf(out.data(), out.size() + 1, how, values...);
  return out;
}

/// A number with so many decimals, whatever the locale (SVG and HTML want points): fixed(2.5, 2) is
/// "2.50". "-" where it isn't finite; never "-0.00".
[[nodiscard]] inline std::string fixed(double x, int decimals) {
  if (!std::isfinite(x)) return "-";
  char text[400];  // 309 digits before the point at most
  const int places = std::clamp(decimals, 0, 20);
  const auto end = std::to_chars(text, text + sizeof text, x, std::chars_format::fixed, places).ptr;
  const std::string_view out(text, static_cast<std::size_t>(end - text));
  const bool zero = out.find_first_not_of("-0.") == std::string_view::npos;
  return std::string(zero && out[0] == '-' ? out.substr(1) : out);
}

/// Three significant digits for numbers from 0.001 up: "0.0123", "1.23", "12.3", "1234".
[[nodiscard]] inline std::string three_digits(double x) {
  const double size = std::abs(x);
  return fixed(x, size >= 99.95     ? 0
                  : size >= 9.995   ? 1
                  : size >= 0.9995  ? 2
                  : size >= 0.09995 ? 3
                                    : 4);
}

/// "1.23 MB": three digits, powers of 1000.
[[nodiscard]] inline std::string human_bytes(std::size_t bytes) {
  constexpr const char* units[] = {"B", "KB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(units)) value /= 1000.0, ++unit;
  return cat(unit == 0 ? fixed(value, 0) : three_digits(value), " ", units[unit]);
}

/// "98.91 %" of a share.
[[nodiscard]] inline std::string percent(double share, int decimals = 2) {
  return std::isfinite(share) ? fixed(100.0 * share, decimals) + " %" : "-";
}

/// Percentage points gained or lost: "-0.25".
[[nodiscard]] inline std::string points(double change) {
  const std::string text = fixed(100.0 * change, 2);
  return change > 0 && text != "0.00" && std::isfinite(change) ? "+" + text : text;
}

/// "31.4 dB"; "exact" where there is no error.
[[nodiscard]] inline std::string decibels(double db) {
  if (std::isinf(db) && db > 0) return "exact";
  return std::isfinite(db) ? fixed(db, 1) + " dB" : "-";
}

namespace detail {

/// Length of the well-formed UTF-8 sequence that `text` starts with; 0 where it is ill-formed
/// (Unicode 15, table 3-7: no overlong forms, no surrogates).
[[nodiscard]] inline std::size_t utf8_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto within = [&](std::size_t i, unsigned lo, unsigned hi) {
    return byte(i) >= lo && byte(i) <= hi;
  };
  const unsigned first = byte(0);
  if (text.empty()) return 0;
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return within(1, 0x80, 0xBF) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const unsigned lo = first == 0xE0 ? 0xA0 : 0x80, hi = first == 0xED ? 0x9F : 0xBF;
    return within(1, lo, hi) && within(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const unsigned lo = first == 0xF0 ? 0x90 : 0x80, hi = first == 0xF4 ? 0x8F : 0xBF;
    return within(1, lo, hi) && within(2, 0x80, 0xBF) && within(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

/// Calls f(character) for each one; control characters (C0, DEL, C1) and ill-formed bytes become
/// U+FFFD: a layer's name may not move the cursor of a terminal.
template <class Function>
void each_character(std::string_view text, Function&& f) {
  while (!text.empty()) {
    const std::size_t n = utf8_length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    const bool control = (n == 1 && (first < 0x20 || first == 0x7F)) ||
                         (n == 2 && first == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0);
    f(n == 0 || control ? std::string_view("\xEF\xBF\xBD") : text.substr(0, n));
    text.remove_prefix(std::max<std::size_t>(n, 1));
  }
}

}  // namespace detail

/// Columns that text takes on a terminal: one for each character (right for Latin, Greek, Cyrillic
/// and symbols; not for wide East Asian or combining ones).
[[nodiscard]] inline std::size_t display_width(std::string_view text) {
  std::size_t n = 0;
  detail::each_character(text, [&](std::string_view) { ++n; });
  return n;
}

/// Valid UTF-8 on one line.
[[nodiscard]] inline std::string printable(std::string_view text) {
  std::string out;
  detail::each_character(text, [&](std::string_view c) { out += c; });
  return out;
}

/// At most `columns` characters, what is left out replaced by dots: a third from the head and the
/// rest from the tail, where the names of layers differ.
[[nodiscard]] inline std::string shorten(std::string_view text, std::size_t columns) {
  const std::size_t n = display_width(text);
  if (n <= columns || columns < 5) return printable(text);
  const std::size_t head = (columns - 2) / 3, tail = columns - 2 - head;
  std::string out;
  std::size_t i = 0;
  detail::each_character(text, [&](std::string_view c) {
    if (i == head) out += "..";
    if (i < head || i >= n - tail) out += c;
    ++i;
  });
  return out;
}

/// Text that is safe between tags and in quoted attributes of HTML and SVG.
[[nodiscard]] inline std::string escape(std::string_view text) {
  std::string out;
  detail::each_character(text, [&](std::string_view c) {
    out += c == "<"    ? "&lt;"
           : c == ">"  ? "&gt;"
           : c == "&"  ? "&amp;"
           : c == "\"" ? "&quot;"
           : c == "'"  ? "&#39;"
                       : c;
  });
  return out;
}

}  // namespace qtk::inline QTK_ABI::report
