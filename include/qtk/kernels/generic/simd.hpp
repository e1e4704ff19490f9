#pragma once

#include "qtk/kernels/scalar/simd.hpp"

#if QTK_HAS_XSIMD
#  include <xsimd/xsimd.hpp>

namespace qtk::inline QTK_ABI::generic {

/// The `simd` policy on xsimd, for the architecture that the translation unit is compiled for
/// (SSE2, AArch64 NEON, ...); see scalar/simd.hpp for what each member means. `Arch` is part of the
/// type, so that units with different flags keep different code.
template <class Arch>
struct basic_simd {
  using f32 = xsimd::batch<float, Arch>;
  using i32 = xsimd::batch<std::int32_t, Arch>;
  static constexpr std::size_t width = f32::size;

  static f32 zero() noexcept { return f32(0.0f); }
  static f32 set1(float x) noexcept { return f32(x); }
  static f32 load(const float* p) noexcept { return f32::load_unaligned(p); }
  static void store(float* p, f32 x) noexcept { x.store_unaligned(p); }
  static f32 add(f32 a, f32 b) noexcept { return a + b; }
  static f32 sub(f32 a, f32 b) noexcept { return a - b; }
  static f32 mul(f32 a, f32 b) noexcept { return a * b; }
#  if QTK_AARCH64
  // xsimd 8.1 divides and takes roots by estimates here, one ulp off; the compiler's vectors
  // divide.
  static f32 div(f32 a, f32 b) noexcept { return f32(a.data / b.data); }
  static f32 sqrt(f32 a) noexcept { return f32(vsqrtq_f32(a.data)); }
#  else
  static f32 div(f32 a, f32 b) noexcept { return a / b; }
  static f32 sqrt(f32 a) noexcept { return xsimd::sqrt(a); }
#  endif
  // Not xsimd::min and max: what they do with NaN depends on the architecture.
  static f32 min(f32 a, f32 b) noexcept { return xsimd::select(a < b, a, b); }
  static f32 max(f32 a, f32 b) noexcept { return xsimd::select(a > b, a, b); }
  static f32 mul_add(f32 a, f32 b, f32 c) noexcept { return xsimd::fma(a, b, c); }
  static f32 select_negative(f32 x, f32 a, f32 b) noexcept {
    return xsimd::select(x < zero(), a, b);
  }
  static f32 select_nan(f32 x, f32 a, f32 b) noexcept { return xsimd::select(x != x, a, b); }
  static f32 rounded(f32 x) noexcept {
    float lanes[width];
    store(lanes, x);
    __asm__("" : "+m"(lanes));
    return load(lanes);
  }
  static f32 abs(f32 x) noexcept { return xsimd::abs(x); }
  static i32 round(f32 x) noexcept {
    const f32 magic(12582912.0f);
    return xsimd::to_int((x + magic) - magic);
  }
  static f32 to_f32(i32 x) noexcept { return xsimd::to_float(x); }
  static i32 set1(std::int32_t x) noexcept { return i32(x); }
  static i32 add(i32 a, i32 b) noexcept { return a + b; }
  static i32 sub(i32 a, i32 b) noexcept { return a - b; }
  static f32 exp2_integer(i32 n) noexcept { return xsimd::bitwise_cast<f32>((n + i32(127)) << 23); }
  static f32 scale(f32 p, f32 n) noexcept {
    const i32 all = xsimd::to_int(n), half = all >> 1;
    return p * exp2_integer(half) * exp2_integer(all - half);
  }
  static f32 scale_or_zero(f32 p, f32 shifted) noexcept {
    const i32 bits = xsimd::bitwise_cast<i32>(p) - (xsimd::bitwise_cast<i32>(shifted) << 23);
    return xsimd::bitwise_cast<f32>(xsimd::max(bits, i32(0)));
  }
  static f32 select_sign(f32 x, f32 a, f32 b) noexcept { return select_negative(x, a, b); }
  static f32 copy_sign(f32 magnitude, f32 x) noexcept { return magnitude | (x & f32(-0.0f)); }
  static i32 load_u8(const std::uint8_t* p) noexcept { return gather<i32>(p); }
  static i32 load_s8(const std::int8_t* p) noexcept { return gather<i32>(p); }
  static f32 quotient(f32 x, f32 s, f32) noexcept { return div(x, s); }
  template <class Code>
  static void store_codes(Code* p, f32 a, f32 b, f32 c, f32 d, std::int32_t zero_point) noexcept {
    using limits = std::numeric_limits<Code>;
    const f32 quotients[] = {a, b, c, d};
    const f32 least(static_cast<float>(limits::min() - zero_point)),
        most(static_cast<float>(limits::max() - zero_point));
    for (std::size_t i = 0; i < 4; ++i)
      scatter(p + i * width, round(min(max(quotients[i], least), most)) + i32(zero_point));
  }
  static f32 load_f16(const half* p) noexcept { return convert(p); }
  static f32 load_bf16(const bfloat16* p) noexcept { return convert(p); }
  static void store_f16(half* p, f32 x) noexcept {
    float lanes[width];
    store(lanes, x);
    for (std::size_t i = 0; i < width; ++i) p[i] = to_half(lanes[i]);
  }
  static void store_bf16(bfloat16* p, f32 x) noexcept {
    float lanes[width];
    store(lanes, x);
    for (std::size_t i = 0; i < width; ++i) p[i] = to_bfloat16(lanes[i]);
  }
  static f32 load_first(const float* p, std::size_t n) noexcept {
    float lanes[width] = {};
    for (std::size_t i = 0; i < n; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  static void store_first(float* p, f32 x, std::size_t n) noexcept {
    float lanes[width];
    store(lanes, x);
    for (std::size_t i = 0; i < n; ++i) p[i] = lanes[i];
  }

  using f64 = xsimd::batch<double, Arch>;
  static constexpr std::size_t f64_width = f64::size;
  static f64 zero_f64() noexcept { return f64(0.0); }
  static f64 load_f64(const float* p) noexcept {
    double lanes[f64_width];
    for (std::size_t i = 0; i < f64_width; ++i) lanes[i] = static_cast<double>(p[i]);
    return f64::load_unaligned(lanes);
  }
  static void store(double* p, f64 x) noexcept { x.store_unaligned(p); }
  static f64 add(f64 a, f64 b) noexcept { return a + b; }
  static f64 mul_add(f64 a, f64 b, f64 c) noexcept { return xsimd::fma(a, b, c); }

 private:
  template <class Batch, class T>
  static Batch gather(const T* p) noexcept {
    std::int32_t lanes[width];
    for (std::size_t i = 0; i < width; ++i) lanes[i] = p[i];
    return Batch::load_unaligned(lanes);
  }
  template <class T>
  static void scatter(T* p, i32 x) noexcept {
    std::int32_t lanes[width];
    x.store_unaligned(lanes);
    for (std::size_t i = 0; i < width; ++i) p[i] = static_cast<T>(lanes[i]);
  }
  template <class T>
  static f32 convert(const T* p) noexcept {
    float lanes[width];
    for (std::size_t i = 0; i < width; ++i) lanes[i] = to_float(p[i]);
    return load(lanes);
  }
};

using simd = basic_simd<xsimd::default_arch>;

}  // namespace qtk::inline QTK_ABI::generic
#endif
