#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "qtk/core/half.hpp"
#include "qtk/core/numeric.hpp"

/// The `simd` policy of one lane: the vocabulary that the shared bodies (*.inl) are written in, and
/// the meaning that every other ISA's policy must have.
namespace qtk::inline QTK_ABI::scalar {

struct simd {
  static constexpr std::size_t width = 1;
  using f32 = float;
  using i32 = std::int32_t;

  static f32 zero() noexcept { return 0.0f; }
  static f32 set1(float x) noexcept { return x; }
  static f32 load(const float* p) noexcept { return *p; }
  static void store(float* p, f32 x) noexcept { *p = x; }
  static f32 add(f32 a, f32 b) noexcept { return a + b; }
  static f32 sub(f32 a, f32 b) noexcept { return a - b; }
  static f32 mul(f32 a, f32 b) noexcept { return a * b; }
  static f32 div(f32 a, f32 b) noexcept { return a / b; }
  static f32 sqrt(f32 a) noexcept { return std::sqrt(a); }
  /// The second operand where either is NaN, as x86 has it.
  static f32 min(f32 a, f32 b) noexcept { return a < b ? a : b; }
  static f32 max(f32 a, f32 b) noexcept { return a > b ? a : b; }
  /// a * b + c, with or without a rounding between: for polynomials and sums with a stated bound.
  static f32 mul_add(f32 a, f32 b, f32 c) noexcept { return a * b + c; }
  /// a * b + c rounded once, where the same bits are promised on every ISA.
  static f32 fused(f32 a, f32 b, f32 c) noexcept { return std::fma(a, b, c); }
  /// x < 0 ? a : b.
  static f32 select_negative(f32 x, f32 a, f32 b) noexcept { return x < 0.0f ? a : b; }
  /// x is NaN ? a : b.
  static f32 select_nan(f32 x, f32 a, f32 b) noexcept { return x != x ? a : b; }
  /// x, with its making hidden from the optimizer: a product is never fused with the addition that
  /// follows, so that both are rounded, as on every other ISA.
  static f32 rounded(f32 x) noexcept {
#if QTK_X86_64
    __asm__("" : "+x"(x));
#elif QTK_AARCH64
    __asm__("" : "+w"(x));
#else
    volatile float stored = x;
    x = stored;
#endif
    return x;
  }
  static f32 abs(f32 x) noexcept { return std::fabs(x); }
  /// Nearest integer, half to even; |x| <= 2^22.
  static i32 round(f32 x) noexcept { return static_cast<i32>(round_half_even(x)); }
  static f32 to_f32(i32 x) noexcept { return static_cast<float>(x); }
  static i32 set1(std::int32_t x) noexcept { return x; }
  static i32 load(const std::int32_t* p) noexcept { return *p; }
  static void store(std::int32_t* p, i32 x) noexcept { *p = x; }
  static i32 add(i32 a, i32 b) noexcept { return a + b; }
  static i32 sub(i32 a, i32 b) noexcept { return a - b; }
  static i32 mul(i32 a, i32 b) noexcept { return a * b; }
  /// 2^n, -126 <= n <= 127.
  static f32 exp2_integer(i32 n) noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(n + 127) << 23);
  }
  /// p * 2^n rounded once, n a whole number in -152..128; NaN where both are.
  static f32 scale(f32 p, f32 n) noexcept {
    if (n != n) return n;
    const i32 all = static_cast<i32>(n), half = all >> 1;  // 128 is no exponent of a float
    return p * exp2_integer(half) * exp2_integer(all - half);
  }
  /// p * 2^-n for p > 0, n in 0..152 and given as `shifted` = n + 12582912, whose low bits are n's,
  /// where the result is normal; else a value from 0 to 2^-126. A NaN has no sign, and keeps none.
  static f32 scale_or_zero(f32 p, f32 shifted) noexcept {
    const auto exponent = std::bit_cast<std::uint32_t>(shifted) << 23;  // of NaN: 0
    const auto bits = static_cast<i32>(std::bit_cast<std::uint32_t>(p) - exponent);
    return std::bit_cast<f32>(bits > 0 ? bits : 0);
  }
  /// The sign bit of x ? a : b; either where x is 0 or a NaN with a sign.
  static f32 select_sign(f32 x, f32 a, f32 b) noexcept { return x < 0.0f ? a : b; }
  /// `magnitude` >= 0 with the sign of x, be that 0 or NaN.
  static f32 copy_sign(f32 magnitude, f32 x) noexcept { return std::copysign(magnitude, x); }
  static i32 load_u8(const std::uint8_t* p) noexcept { return *p; }
  static i32 load_s8(const std::int8_t* p) noexcept { return *p; }
  /// x / s, or what gives the same code: s in 2^-100..2^100, inverse = 1 / s rounded, x below 2^9
  /// s.
  static f32 quotient(f32 x, f32 s, f32) noexcept { return x / s; }
  /// Four vectors of quotients, at most 2^9: rounded to nearest even, plus the zero point,
  /// saturated. NaN: the least code.
  template <class Code>
  static void store_codes(Code* p, f32 a, f32 b, f32 c, f32 d, std::int32_t zero_point) noexcept {
    using limits = std::numeric_limits<Code>;
    const f32 quotients[] = {a, b, c, d};
    for (std::size_t i = 0; i < 4; ++i)
      p[i] = static_cast<Code>(
          quantize_code(quotients[i], 1.0f, zero_point, limits::min(), limits::max()));
  }
  static f32 load_f16(const half* p) noexcept { return to_float(*p); }
  static void store_f16(half* p, f32 x) noexcept { *p = to_half(x); }
  static f32 load_bf16(const bfloat16* p) noexcept { return to_float(*p); }
  static void store_bf16(bfloat16* p, f32 x) noexcept { *p = to_bfloat16(x); }

  /// Doubles, for sums.
  static constexpr std::size_t f64_width = 1;
  using f64 = double;
  static f64 zero_f64() noexcept { return 0.0; }
  static f64 load_f64(const float* p) noexcept { return static_cast<double>(*p); }
  static void store(double* p, f64 x) noexcept { *p = x; }
  static f64 add(f64 a, f64 b) noexcept { return a + b; }
  static f64 mul_add(f64 a, f64 b, f64 c) noexcept { return a * b + c; }

  /// The first n < width lanes: zeros follow; nothing else is read or written.
  static f32 load_first(const float*, std::size_t) noexcept { return 0.0f; }
  static void store_first(float*, f32, std::size_t) noexcept {}
};

}  // namespace qtk::inline QTK_ABI::scalar
