#pragma once

#include <cstddef>
#include <cstdint>

#include "qtk/core/abi.hpp"

/// Elements of Bits bits, several to a byte, the first in the low bits.
namespace qtk::inline QTK_ABI::packed_bits {

template <int Bits>
[[nodiscard]] constexpr std::uint8_t load(const std::uint8_t* row, std::size_t i) noexcept {
  constexpr std::size_t per_byte = 8 / Bits;
  return static_cast<std::uint8_t>((row[i / per_byte] >> (i % per_byte * Bits)) &
                                   ((1 << Bits) - 1));
}

/// Writes the low bits of `code`.
template <int Bits>
constexpr void store(std::uint8_t* row, std::size_t i, unsigned code) noexcept {
  constexpr std::size_t per_byte = 8 / Bits;
  constexpr unsigned mask = (1u << Bits) - 1;
  const unsigned shift = static_cast<unsigned>(i % per_byte * Bits);
  row[i / per_byte] =
      static_cast<std::uint8_t>((row[i / per_byte] & ~(mask << shift)) | ((code & mask) << shift));
}

}  // namespace qtk::inline QTK_ABI::packed_bits

/// Two 4-bit codes per byte, the first element in the low nibble (ONNX INT4/UINT4). A row of an odd
/// number of codes ends in a byte whose high nibble is zero.
namespace qtk::inline QTK_ABI::nibble {

[[nodiscard]] constexpr std::size_t bytes_for(std::size_t codes) noexcept {
  return codes / 2 + codes % 2;
}

[[nodiscard]] constexpr std::uint8_t raw(const std::uint8_t* row, std::size_t i) noexcept {
  return packed_bits::load<4>(row, i);
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
  packed_bits::store<4>(row, i, static_cast<unsigned>(code));
}

}  // namespace qtk::inline QTK_ABI::nibble
