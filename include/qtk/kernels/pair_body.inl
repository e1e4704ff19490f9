// Part of elementwise_body.inl, inside namespace `paired`: the `simd` policy of two vectors at a
// time, for functions of long chains of dependent instructions. One chain after the other fills the
// schedulers of Zen 4 before it fills its multipliers: exp takes 0.24 ns an element of AVX2 then,
// and 0.18 in pairs.

using one = enclosing_simd;

struct simd {
  static constexpr std::size_t width = 2 * one::width;
  struct f32 {
    one::f32 a, b;
  };

  static f32 zero() noexcept { return set1(0.0f); }
  static f32 set1(float x) noexcept { return {one::set1(x), one::set1(x)}; }
  static f32 load(const float* p) noexcept { return {one::load(p), one::load(p + one::width)}; }
  static void store(float* p, const f32& x) noexcept {
    one::store(p, x.a);
    one::store(p + one::width, x.b);
  }
  static f32 add(const f32& x, const f32& y) noexcept {
    return {one::add(x.a, y.a), one::add(x.b, y.b)};
  }
  static f32 sub(const f32& x, const f32& y) noexcept {
    return {one::sub(x.a, y.a), one::sub(x.b, y.b)};
  }
  static f32 mul(const f32& x, const f32& y) noexcept {
    return {one::mul(x.a, y.a), one::mul(x.b, y.b)};
  }
  static f32 div(const f32& x, const f32& y) noexcept {
    return {one::div(x.a, y.a), one::div(x.b, y.b)};
  }
  static f32 min(const f32& x, const f32& y) noexcept {
    return {one::min(x.a, y.a), one::min(x.b, y.b)};
  }
  static f32 max(const f32& x, const f32& y) noexcept {
    return {one::max(x.a, y.a), one::max(x.b, y.b)};
  }
  static f32 mul_add(const f32& x, const f32& y, const f32& z) noexcept {
    return {one::mul_add(x.a, y.a, z.a), one::mul_add(x.b, y.b, z.b)};
  }
  static f32 abs(const f32& x) noexcept { return {one::abs(x.a), one::abs(x.b)}; }
  static f32 copy_sign(const f32& x, const f32& y) noexcept {
    return {one::copy_sign(x.a, y.a), one::copy_sign(x.b, y.b)};
  }
  static f32 scale(const f32& p, const f32& n) noexcept {
    return {one::scale(p.a, n.a), one::scale(p.b, n.b)};
  }
  static f32 scale_or_zero(const f32& p, const f32& shifted) noexcept {
    return {one::scale_or_zero(p.a, shifted.a), one::scale_or_zero(p.b, shifted.b)};
  }
  static f32 select_sign(const f32& x, const f32& y, const f32& z) noexcept {
    return {one::select_sign(x.a, y.a, z.a), one::select_sign(x.b, y.b, z.b)};
  }
};

#include "math_body.inl"
