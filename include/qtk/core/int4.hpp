#pragma once

#include <cstddef>
#include <cstdint>

#include "qtk/core/abi.hpp"

/// Two 4-bit codes per byte, the first element in the low nibble (ONNX INT4/UINT4). A row of an odd
/// number of codes ends in a byte whose high nibble is zero.
namespace qtk::inline QTK_ABI::nibble {

[[nodiscard]] constexpr std::size_t bytes_for(std::size_t codes) noexcept {
  return codes / 2 + codes % 2;
}

[[nodiscard]] constexpr std::uint8_t raw(const std::uint8_t* row, std::size_t i) noexcept {
  return static_cast<std::uint8_t>((row[i / 2] >> (i % 2 * 4)) & 0xf);
}

/// Sign-extends a 4-bit two's complement code.
[[nodiscard]] constexpr std::int8_t extend(std::uint8_t code) noexcept {
  return static_cast<std::int8_t>((code ^ 8) - 8);
}

[[nodiscard]] constexpr std::int8_t load_s4(const std::uint8_t* row, std::size_t i) noexcept {
  return extend(raw(row, i));
}
[[nodiscard]] constexpr std::uint8_t load_u4(const std::uint8_t* row, std::size_t i) noexcept {
  return raw(row, i);
}

/// Writes the low four bits of `code`.
constexpr void store(std::uint8_t* row, std::size_t i, int code) noexcept {
  const unsigned shift = static_cast<unsigned>(i % 2 * 4);
  row[i / 2] = static_cast<std::uint8_t>((row[i / 2] & ~(0xfu << shift)) |
                                         ((static_cast<unsigned>(code) & 0xfu) << shift));
}

}  // namespace qtk::inline QTK_ABI::nibble
