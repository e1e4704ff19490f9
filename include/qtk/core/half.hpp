#pragma once

#include <bit>
#include <cstdint>

#include "qtk/core/abi.hpp"

namespace qtk::inline QTK_ABI {

/// IEEE 754 binary16 as stored: 1 sign, 5 exponent, 10 fraction bits. A storage type: convert to
/// float to compute.
struct half {
  std::uint16_t bits = 0;
  friend constexpr bool operator==(half, half) = default;
};

/// bfloat16 as stored: the upper 16 bits of a binary32.
struct bfloat16 {
  std::uint16_t bits = 0;
  friend constexpr bool operator==(bfloat16, bfloat16) = default;
};

/// Exact.
[[nodiscard]] constexpr float to_float(bfloat16 x) noexcept {
  return std::bit_cast<float>(std::uint32_t{x.bits} << 16);
}

/// Rounds to nearest even; NaN stays NaN (quiet), overflow gives infinity.
[[nodiscard]] constexpr bfloat16 to_bfloat16(float x) noexcept {
  const auto u = std::bit_cast<std::uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((u >> 16) | 0x40u)};
  return {static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

/// Exact, subnormals included.
[[nodiscard]] constexpr float to_float(half x) noexcept {
  const std::uint32_t sign = std::uint32_t{x.bits & 0x8000u} << 16;
  const std::uint32_t exponent = (x.bits >> 10) & 0x1fu;
  const std::uint32_t fraction = x.bits & 0x3ffu;
  if (exponent == 31)  // infinity, or NaN made quiet as the F16C instructions do
    return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13) |
                                (fraction != 0 ? 0x400000u : 0u));
  if (exponent != 0)
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
  return sign != 0 ? -magnitude : magnitude;
}

/// Rounds to nearest even; NaN stays NaN (quiet), overflow gives infinity, subnormals are kept.
[[nodiscard]] constexpr half to_half(float x) noexcept {
  const auto u = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t sign = (u >> 16) & 0x8000u;
  const std::uint32_t magnitude = u & 0x7fffffffu;
  const auto pack = [sign](std::uint32_t value) {
    return half{static_cast<std::uint16_t>(sign | value)};
  };
  if (magnitude > 0x7f800000u) return pack(0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) return pack(0x7c00u);  // 65520 and above rounds to infinity
  if (magnitude < 0x38800000u) {                       // below 2^-14: subnormal
    // Adding 0.5 puts the fraction's last kept bit (2^-24) at the float's own last bit.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return pack(std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u);
  }
  return pack((magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13);
}

}  // namespace qtk::inline QTK_ABI
