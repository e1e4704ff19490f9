#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "qtk/core/error.hpp"

namespace qtk::inline QTK_ABI {

[[nodiscard]] constexpr std::size_t ceil_div(std::size_t a, std::size_t b) noexcept {
  return a / b + (a % b != 0);
}
[[nodiscard]] constexpr std::size_t round_up(std::size_t a, std::size_t multiple) noexcept {
  return ceil_div(a, multiple) * multiple;
}

/// a * b, or qtk::error if it does not fit: sizes that come from a file or a user.
[[nodiscard]] constexpr std::size_t checked_mul(std::size_t a, std::size_t b,
                                                std::string_view where = "size") {
  std::size_t product = 0;
  QTK_CHECK(!__builtin_mul_overflow(a, b, &product), where, a, " * ", b, " overflows");
  return product;
}
[[nodiscard]] constexpr std::size_t checked_add(std::size_t a, std::size_t b,
                                                std::string_view where = "size") {
  std::size_t sum = 0;
  QTK_CHECK(!__builtin_add_overflow(a, b, &sum), where, a, " + ", b, " overflows");
  return sum;
}

/// Rounds half to even, the one rounding of this library. Exact for |x| <= 2^22: adding 1.5 * 2^23
/// leaves no fraction bits, so the addition itself rounds (to nearest even, the mode that C++
/// programs start in). Two additions, no multiplication: contraction cannot change it, and every
/// ISA's "round to nearest" instruction gives the same integer.
[[nodiscard]] constexpr float round_half_even(float x) noexcept {
  constexpr float magic = 12582912.0f;
  return (x + magic) - magic;
}

/// code = clamp(round_half_even(x / scale) + zero_point, lo, hi), the inverse of
/// real = scale * (code - zero_point). Division, not multiplication by 1/scale: this is what ONNX
/// QuantizeLinear says, and one rule serves calibration, training and every kernel. The zero point
/// is added as an integer: inside the float expression a fused multiply-add would change codes. NaN
/// gives `lo`: each comparison is false for it, as in the SIMD max instructions.
[[nodiscard]] constexpr std::int32_t quantize_code(float x, float scale, std::int32_t zero_point,
                                                   std::int32_t lo, std::int32_t hi) noexcept {
  const float floor = static_cast<float>(lo - zero_point);
  const float ceiling = static_cast<float>(hi - zero_point);
  float q = x / scale;
  q = q > floor ? q : floor;  // before rounding, so that round_half_even stays in its exact range
  q = q < ceiling ? q : ceiling;
  return static_cast<std::int32_t>(round_half_even(q)) + zero_point;
}

/// Nearest representable value of an integer type.
template <class To, class From>
requires(std::is_integral_v<To>&& std::is_integral_v<From>) [[nodiscard]] constexpr To
    saturate_cast(From value) noexcept {
  if (std::cmp_less(value, std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (std::cmp_greater(value, std::numeric_limits<To>::max()))
    return std::numeric_limits<To>::max();
  return static_cast<To>(value);
}

/// Reads or writes a trivially copyable value at any alignment.
template <class T>
[[nodiscard]] T load_unaligned(const void* p) noexcept {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}
template <class T>
void store_unaligned(void* p, const T& value) noexcept {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(p, &value, sizeof value);
}

}  // namespace qtk::inline QTK_ABI
