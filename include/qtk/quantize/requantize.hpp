#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "qtk/core/numeric.hpp"
#include "qtk/quantize/scheme.hpp"

/// From int32 sums of products of codes to the codes of the result:
///   y = saturate(round(acc * M) + zero_point),   M = x_scale * w_scale / y_scale
/// By float as ONNX defines it, which is what qtk's own operators are to use; by integers for CPUs
/// without floats, with TensorFlow Lite's bits. Where |acc * M| <= 2^15 (codes of at most 16 bits
/// that do not saturate) the two differ by at most 1.
namespace qtk::inline QTK_ABI {

/// M as ONNX Runtime computes it: two roundings to float.
[[nodiscard]] constexpr float requantize_multiplier(float x_scale, float w_scale,
                                                    float y_scale) noexcept {
  return x_scale * w_scale / y_scale;
}

/// ONNX QLinearMatMul and QLinearConv: round_half_even(float(acc) * M), then the zero point, added
/// as an integer. Bit-equal to ONNX Runtime and on every CPU: the clamp stands between the product
/// and the addition that rounds, so that nothing is fused.
[[nodiscard]] constexpr std::int32_t requantize(std::int32_t acc, float multiplier,
                                                std::int32_t zero_point,
                                                code_range codes) noexcept {
  const auto lowest = static_cast<float>(codes.min - zero_point);
  const auto highest = static_cast<float>(codes.max - zero_point);
  float y = static_cast<float>(acc) * multiplier;
  y = y > lowest ? y : lowest;
  y = y < highest ? y : highest;
  return static_cast<std::int32_t>(round_half_even(y)) + zero_point;
}

/// A positive real as mantissa * 2^(shift - 31), mantissa in [2^30, 2^31): gemmlowp's "quantized
/// multiplier"; Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
/// Integer-Arithmetic-Only Inference", section 2.2. Within 2^-31 of it, relatively.
struct fixed_point {
  std::int32_t mantissa = std::int32_t{1} << 30;
  int shift = 1;

  /// qtk::error unless 0 < m < infinity and normal.
  [[nodiscard]] static constexpr fixed_point from(double m) {
    QTK_CHECK(m >= std::numeric_limits<double>::min() && m <= std::numeric_limits<double>::max(),
              "fixed_point", m, " is not a positive number");
    const auto bits = std::bit_cast<std::uint64_t>(m);
    // 53 bits to 31, half upwards (std::round, as in TensorFlow Lite).
    const std::uint64_t digits = (bits & 0xfffffffffffffu) | 0x10000000000000u;
    std::uint64_t mantissa = (digits + (std::uint64_t{1} << 21)) >> 22;
    int shift = static_cast<int>(bits >> 52) - 1022;
    if (mantissa == std::uint64_t{1} << 31) {
      mantissa >>= 1;
      ++shift;
    }
    return {static_cast<std::int32_t>(mantissa), shift};
  }
  /// x_scale * w_scale / y_scale with one rounding.
  [[nodiscard]] static constexpr fixed_point from(float x_scale, float w_scale, float y_scale) {
    return from(static_cast<double>(x_scale) * static_cast<double>(w_scale) /
                static_cast<double>(y_scale));
  }

  friend constexpr bool operator==(const fixed_point&, const fixed_point&) = default;
};

/// acc * m, saturated to int32. Rounds half away from zero, and twice where m < 1/2: to 31 bits,
/// then by the right shift (gemmlowp's SaturatingRoundingDoublingHighMul and RoundingDivideByPOT,
/// bit by bit where nothing saturates; of halves below zero the first takes the upper). At most
/// 0.75 from the exact product, and 2^-31 of it.
[[nodiscard]] constexpr std::int32_t multiply(std::int32_t acc, fixed_point m) noexcept {
  using limits = std::numeric_limits<std::int32_t>;
  if (m.shift > 31) return acc == 0 ? 0 : acc < 0 ? limits::min() : limits::max();
  if (m.shift < -31) return 0;
  const int first = m.shift > 0 ? 31 - m.shift : 31, second = m.shift < 0 ? -m.shift : 0;
  const std::int64_t product = std::int64_t{acc} * m.mantissa;
  const std::int64_t half = (std::int64_t{1} << first) / 2;
  const auto high = saturate_cast<std::int32_t>((product + (product >= 0 ? half
                                                            : half == 0  ? 0
                                                                         : 1 - half)) /
                                                (std::int64_t{1} << first));
  const std::int64_t mask = (std::int64_t{1} << second) - 1;
  return static_cast<std::int32_t>((std::int64_t{high} >> second) +
                                   ((high & mask) > (mask >> 1) + (high < 0)));
}

/// The integer route.
[[nodiscard]] constexpr std::int32_t requantize(std::int32_t acc, fixed_point multiplier,
                                                std::int32_t zero_point,
                                                code_range codes) noexcept {
  const std::int64_t y = std::int64_t{multiply(acc, multiplier)} + zero_point;
  return static_cast<std::int32_t>(y < codes.min ? codes.min : y > codes.max ? codes.max : y);
}

}  // namespace qtk::inline QTK_ABI
