#pragma once

#include <charconv>
#include <concepts>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include "qtk/core/config.hpp"

namespace qtk::inline QTK_ABI {

namespace detail {
/// Whether a terminal takes what starts at byte i as a command: C0, DEL, or C1 in UTF-8, whose
/// U+009B begins an escape sequence as ESC [ does.
[[nodiscard]] constexpr bool is_control(std::string_view text, std::size_t i) noexcept {
  const auto byte = [&](std::size_t k) {
    return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u;
  };
  return byte(i) < ' ' || byte(i) == 0x7f ||
         (byte(i) == 0xc2 && byte(i + 1) >= 0x80 && byte(i + 1) <= 0x9f);
}
}  // namespace detail

/// What went wrong and where. `where` names the place in the user's terms: a file offset, a node, a
/// tensor, a shape. `what()` is one line: "where: message".
class error : public std::exception {
 public:
  explicit error(std::string message, std::string where = {})
      : message_(std::move(message)),
        where_(std::move(where)),
        what_(one_line(where_.empty() ? message_ : where_ + ": " + message_)) {}

  const char* what() const noexcept override { return what_.c_str(); }
  const std::string& message() const noexcept { return message_; }
  const std::string& where() const noexcept { return where_; }

 private:
  /// Parts may come from a file: control characters would break the line, or reach a terminal.
  static std::string one_line(std::string text) {
    for (std::size_t i = 0; i < text.size(); ++i)
      if (detail::is_control(text, i)) {
        if (static_cast<unsigned char>(text[i]) == 0xc2) text[i + 1] = '?';
        text[i] = '?';
      }
    return text;
  }

  std::string message_, where_, what_;
};

/// Called instead of `throw` where exceptions are disabled. It must not return (it may longjmp, log
/// and reset, or park the device); if it does, the program ends with std::abort().
using error_handler = void (*)(const error&);

namespace detail {
inline error_handler& current_error_handler() noexcept {
  static error_handler handler = nullptr;
  return handler;
}

inline void append(std::string& out, std::string_view text) { out += text; }
inline void append(std::string& out, const char* text) { out += text; }
inline void append(std::string& out, char c) { out += c; }
inline void append(std::string& out, bool value) { out += value ? "true" : "false"; }
template <class T>
requires(std::integral<T> || std::floating_point<T>) void append(std::string& out, T value) {
  char digits[48];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}
/// A type outside of this header joins by having `std::string to_string(const T&)` found by ADL.
template <class T>
requires requires(const T& value) {
  { to_string(value) } -> std::convertible_to<std::string_view>;
}
void append(std::string& out, const T& value) { out += to_string(value); }
}  // namespace detail

/// Sets the handler for builds without exceptions; returns the previous one.
inline error_handler set_error_handler(error_handler handler) noexcept {
  return std::exchange(detail::current_error_handler(), handler);
}

/// Joins text, numbers and anything with `to_string` into one string: cat("K = ", 3).
template <class... Parts>
[[nodiscard]] std::string cat(const Parts&... parts) {
  std::string out;
  (detail::append(out, parts), ...);
  return out;
}

/// Raises qtk::error: throws, or calls the error handler where exceptions are disabled.
[[noreturn]] inline void fail(std::string message, std::string where = {}) {
  error e(std::move(message), std::move(where));
#if QTK_HAS_EXCEPTIONS
  throw e;
#else
  if (auto handler = detail::current_error_handler()) handler(e);
  std::abort();
#endif
}

/// Precondition of a public function: QTK_CHECK(K > 0, "matmul", "K is zero"). The message parts
/// are only evaluated on failure.
#define QTK_CHECK(condition, where, ...)                       \
  do {                                                         \
    if (!(condition)) [[unlikely]]                             \
      ::qtk::fail(::qtk::cat(__VA_ARGS__), ::qtk::cat(where)); \
  } while (false)

}  // namespace qtk::inline QTK_ABI
