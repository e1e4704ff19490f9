#pragma once

#include <cstdint>
#include <limits>

#include "qtk/core/format.hpp"
#include "qtk/core/numeric.hpp"
#include "qtk/core/shape.hpp"

namespace qtk::inline QTK_ABI {

/// Where the real 0 lies among the codes.
///   symmetric   at the middle code: 0 of int8 and int4, 128 of uint8, 8 of uint4
///   asymmetric  wherever it lets [lo, hi] fill all codes
enum class symmetry : std::uint8_t { symmetric, asymmetric };

/// The codes that may be used: min <= code <= max.
struct code_range {
  std::int32_t min = 0, max = 0;

  /// The zero point of symmetric codes.
  [[nodiscard]] constexpr std::int32_t middle() const noexcept { return (min + max + 1) / 2; }
  friend constexpr bool operator==(const code_range&, const code_range&) = default;
};

template <quantized_format F>
inline constexpr code_range codes_of{F::code_min, F::code_max};

/// The codes of `bits` bits, 2 <= bits <= F::bits, held in a wider format: of int4, 3 bits are
/// -4..3 and 2 bits -2..1; of uint4 0..7 and 0..3. Symmetric scales do not need the lowest one, so
/// that 2 bits are -1, 0, 1: ask for asymmetric ones at 2 bits. The tensor's storage stays F;
/// packed_bytes() says what codes without gaps would take.
template <quantized_format F>
[[nodiscard]] constexpr code_range codes_of_bits(int bits) {
  QTK_CHECK(2 <= bits && bits <= F::bits, "codes_of_bits", bits, " bits in ", name(F::id));
  const std::int32_t count = 1 << bits, min = F::code_min < 0 ? -count / 2 : 0;
  return {min, min + count - 1};
}

/// Bytes of the codes of s at `bits` each, rows rounded up to whole bytes; without scales.
[[nodiscard]] inline std::size_t packed_bytes(const shape& s, int bits) {
  return checked_mul(s.rows(), ceil_div(checked_mul(s.cols(), static_cast<std::size_t>(bits)), 8));
}

/// Signed codes are symmetric unless asked otherwise, unsigned ones are not: what each is made for.
template <quantized_format F>
inline constexpr symmetry default_symmetry =
    F::code_min < 0 ? symmetry::symmetric : symmetry::asymmetric;

/// The values that occur, lo <= hi.
struct value_range {
  float lo = 0.0f, hi = 0.0f;
  friend constexpr bool operator==(const value_range&, const value_range&) = default;
};

/// What one block adds to `quantization`: real = scale * (code - zero_point).
struct block_scale {
  float scale = 1.0f;           // > 0, finite and normal
  std::int32_t zero_point = 0;  // one of the codes
  friend constexpr bool operator==(const block_scale&, const block_scale&) = default;
};

/// Scale and zero point for values in `range`, which is first widened to hold 0: padding, ReLU and
/// pruned weights need an exact zero.
///   symmetric   scale = max(|lo|, |hi|) / (max - middle), zero_point = middle.
///               As many steps below zero as above (int8: -127..127, int4: -7..7), so that negated
///               values have negated codes. The lowest code remains for observers that clip.
///   asymmetric  scale = (hi - lo) / (max - min), zero_point = min + round_half_even(-lo / scale),
///               clamped to the codes (ONNX DynamicQuantizeLinear).
/// All zeros: scale 1. A scale is never below the smallest normal float (1.2e-38), so that x /
/// scale neither overflows nor depends on the CPU's flush-to-zero mode; smaller blocks use fewer
/// codes. Where the range ends within half a step of the largest float, the outermost code may mean
/// infinity. qtk::error where a bound is NaN or infinite, or lo > hi.
[[nodiscard]] inline block_scale choose_params(value_range range, code_range codes, symmetry how) {
  constexpr float largest = std::numeric_limits<float>::max();
  constexpr float smallest = std::numeric_limits<float>::min();
  QTK_CHECK(-largest <= range.lo && range.lo <= range.hi && range.hi <= largest, "choose_params",
            "not a range of values: [", range.lo, ", ", range.hi, "]");
  QTK_CHECK(codes.min < codes.max, "choose_params", "not a range of codes: [", codes.min, ", ",
            codes.max, "]");
  const float lo = range.lo < 0.0f ? range.lo : 0.0f;
  const float hi = range.hi > 0.0f ? range.hi : 0.0f;
  const auto usable = [&](float scale) {
    return lo == hi ? 1.0f : scale > smallest ? scale : smallest;
  };
  if (how == symmetry::symmetric) {
    const float magnitude = -lo > hi ? -lo : hi;
    return {usable(magnitude / static_cast<float>(codes.max - codes.middle())), codes.middle()};
  }
  const auto steps = static_cast<float>(codes.max - codes.min);
  const float width = hi - lo;  // infinite where both ends are huge
  const float scale = usable(width <= largest ? width / steps : hi / steps - lo / steps);
  return {scale, quantize_code(-lo, scale, codes.min, codes.min, codes.max)};
}

}  // namespace qtk::inline QTK_ABI
