#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

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
  static i32 load_u8(const std::uint8_t* p) noexcept { return *p; }
  static i32 load_s8(const std::int8_t* p) noexcept { return *p; }
  static void store_u8(std::uint8_t* p, i32 x) noexcept { *p = static_cast<std::uint8_t>(x); }
  static void store_s8(std::int8_t* p, i32 x) noexcept { *p = static_cast<std::int8_t>(x); }
  static f32 load_f16(const half* p) noexcept { return to_float(*p); }
  static void store_f16(half* p, f32 x) noexcept { *p = to_half(x); }
  static f32 load_bf16(const bfloat16* p) noexcept { return to_float(*p); }
  static void store_bf16(bfloat16* p, f32 x) noexcept { *p = to_bfloat16(x); }
  /// The first n < width lanes: zeros follow; nothing else is read or written.
  static f32 load_first(const float*, std::size_t) noexcept { return 0.0f; }
  static void store_first(float*, f32, std::size_t) noexcept {}
};

}  // namespace qtk::inline QTK_ABI::scalar
