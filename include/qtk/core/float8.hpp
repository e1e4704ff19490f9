#pragma once

#include <bit>
#include <cstdint>

#include "qtk/core/abi.hpp"

namespace qtk::inline QTK_ABI {

/// What the codes of a small float stand for beside numbers.
///   infinities      the largest exponent is for infinities and NaN, as in IEEE 754
///   ones_are_nan    all ones is NaN, there are no infinities ("fn")
///   unsigned_zero   the code of -0 is NaN, there are no infinities ("fnuz")
///   numbers         numbers only; NaN is stored as -0
enum class float_kind : std::uint8_t { infinities, ones_are_nan, unsigned_zero, numbers };

/// Floats of 8 bits or fewer as stored: a sign, then an exponent of that bias, then a fraction. A
/// storage type: convert to float to compute.
/// Sources: Micikevicius et al., FP8 Formats for Deep Learning, 2022; Noune et al., 8-bit Numerical
/// Formats for Deep Neural Networks, 2022 (fnuz); OCP Microscaling Formats 1.0, 2023 (e2m1).
template <int Exponent, int Fraction, int Bias, float_kind Kind>
struct small_float {
  std::uint8_t bits = 0;
  friend constexpr bool operator==(small_float, small_float) = default;

  static constexpr std::uint32_t sign = 1u << (Exponent + Fraction);
  static constexpr std::uint32_t nan =
      Kind == float_kind::unsigned_zero || Kind == float_kind::numbers ? sign : sign - 1;
  /// The code of the largest number.
  static constexpr std::uint32_t largest = Kind == float_kind::infinities
                                               ? (((1u << Exponent) - 1) << Fraction) - 1
                                               : sign - (Kind == float_kind::ones_are_nan ? 2 : 1);

  /// Rounds to nearest even. What is too large becomes the largest number or, not `saturate`d,
  /// infinity, where there is none NaN.
  [[nodiscard]] static constexpr small_float of(float x, bool saturate = true) noexcept {
    const auto u = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t magnitude = u & 0x7fffffffu, negative = u >> 31 != 0 ? sign : 0;
    const auto made = [](std::uint32_t code) {
      return small_float{static_cast<std::uint8_t>(code)};
    };
    const std::uint32_t quiet =
        Kind == float_kind::unsigned_zero || Kind == float_kind::numbers ? nan : nan | negative;
    if (magnitude > 0x7f800000u) return made(quiet);
    // |x| = significand * 2^(exponent - 23); the result counts steps of 2^(lowest - Fraction), or
    // of more where its exponent is above the lowest.
    constexpr int lowest = 1 - Bias;
    const int stored = static_cast<int>(magnitude >> 23);
    const int exponent = stored == 0 ? -126 : stored - 127;
    const std::uint32_t significand = (magnitude & 0x7fffffu) | (stored == 0 ? 0 : 0x800000u);
    const int scale = exponent < lowest ? lowest : exponent;
    const int shift = 23 - Fraction + (scale - exponent);
    std::uint32_t steps = 0;
    if (shift < 25) {
      const std::uint32_t half = 1u << (shift - 1), rest = significand & (2 * half - 1);
      steps = significand >> shift;
      steps += rest > half || (rest == half && (steps & 1) != 0) ? 1 : 0;
    }
    // A fraction that rounds up to the next power of two carries into the exponent.
    const std::uint32_t code = steps + (static_cast<std::uint32_t>(scale - lowest) << Fraction);
    if (magnitude == 0x7f800000u || code > largest) {
      if (saturate || Kind == float_kind::numbers) return made(negative | largest);
      return made(Kind == float_kind::infinities ? negative | (largest + 1) : quiet);
    }
    return made(code == 0 && Kind == float_kind::unsigned_zero ? 0 : negative | code);
  }

  /// Exact.
  [[nodiscard]] friend constexpr float to_float(small_float x) noexcept {
    const std::uint32_t code = x.bits & (sign - 1), negative = (x.bits & sign) != 0 ? 1u << 31 : 0;
    const std::uint32_t exponent = code >> Fraction, fraction = code & ((1u << Fraction) - 1);
    if (Kind == float_kind::unsigned_zero ? x.bits == nan
                                          : Kind != float_kind::numbers && code > largest) {
      const bool infinite = Kind == float_kind::infinities && code == largest + 1;
      return std::bit_cast<float>(negative | (infinite ? 0x7f800000u : 0x7fc00000u));
    }
    const auto power = [](int e) {
      return std::bit_cast<float>(static_cast<std::uint32_t>(e + 127) << 23);
    };
    const float value = exponent == 0 ? static_cast<float>(fraction) * power(1 - Bias - Fraction)
                                      : static_cast<float>(fraction | (1u << Fraction)) *
                                            power(static_cast<int>(exponent) - Bias - Fraction);
    return negative != 0 ? -value : value;
  }
};

using e4m3fn = small_float<4, 3, 7, float_kind::ones_are_nan>;
using e4m3fnuz = small_float<4, 3, 8, float_kind::unsigned_zero>;
using e5m2 = small_float<5, 2, 15, float_kind::infinities>;
using e5m2fnuz = small_float<5, 2, 16, float_kind::unsigned_zero>;
using e2m1 = small_float<2, 1, 1, float_kind::numbers>;

/// A power of two as stored, 2^(bits - 127); 255 is NaN (OCP Microscaling Formats 1.0, 2023).
struct e8m0 {
  std::uint8_t bits = 0;
  friend constexpr bool operator==(e8m0, e8m0) = default;

  enum class rounding : std::uint8_t { up, down, nearest };
  /// The power of two above |x|, below it, or the nearer one of both (upwards from the middle).
  /// What is too large becomes 2^127 or, not `saturate`d, NaN; what is too small 2^-127.
  [[nodiscard]] static constexpr e8m0 of(float x, bool saturate = true,
                                         rounding how = rounding::up) noexcept {
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(x) & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return {255};
    std::uint32_t power = magnitude >> 23;  // of two that is not above |x|
    const std::uint32_t fraction = magnitude & 0x7fffffu;
    if (power == 0)  // subnormal: 2^-127 is a fraction of 0x400000
      power += how == rounding::up        ? fraction > 0x400000u
               : how == rounding::nearest ? fraction >= 0x600000u
                                          : 0;
    else
      power +=
          how == rounding::up ? fraction != 0 : how == rounding::nearest && fraction >= 0x400000u;
    if (power > 254) return {static_cast<std::uint8_t>(saturate ? 254 : 255)};
    return {static_cast<std::uint8_t>(power)};
  }
  /// Exact.
  [[nodiscard]] friend constexpr float to_float(e8m0 x) noexcept {
    if (x.bits == 255) return std::bit_cast<float>(0x7fc00000u);
    return std::bit_cast<float>(x.bits == 0 ? 0x400000u : std::uint32_t{x.bits} << 23);
  }
};

}  // namespace qtk::inline QTK_ABI
