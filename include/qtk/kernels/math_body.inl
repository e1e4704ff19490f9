// Part of elementwise_body.inl: functions of one vector. Bounds are those that math_test checks on
// every ISA, over all exponents; "seen" is the worst of every second float from 2^-6 to 2^7 with
// FMA, and without. Constants stand first in min and max, which give the second operand where
// either is NaN: it passes through.

/// Horner's rule, highest power first.
template <class... Rest>
inline simd::f32 polynomial(simd::f32 x, float highest, Rest... rest) noexcept {
  simd::f32 sum = simd::set1(highest);
  static_cast<void>(((sum = simd::mul_add(sum, x, simd::set1(static_cast<float>(rest)))), ...));
  return sum;
}

inline constexpr float log2_e = 1.44269504f;
inline constexpr float whole = 12582912.0f;  // added, it rounds: round_half_even() says how

/// e^x within 2 ulp (seen: 0.89, 1.18), denormal results included: p * 2^n for x = n ln 2 + r with
/// ln 2 in two parts (Cody and Waite, 1980); p = e^r by the polynomial of degree 6 with the least
/// relative error, 0.03 ulp.
inline simd::f32 exp_vector(simd::f32 x) noexcept {
  // Beyond these it is 0 or infinity, and 2^n still is two factors.
  const simd::f32 inside = simd::min(simd::set1(89.0f), simd::max(simd::set1(-104.0f), x));
  const simd::f32 n =
      simd::sub(simd::mul_add(inside, simd::set1(log2_e), simd::set1(whole)), simd::set1(whole));
  const simd::f32 high = simd::mul_add(n, simd::set1(-0.693359375f), inside);
  const simd::f32 r = simd::mul_add(n, simd::set1(2.12194440e-4f), high);
  const simd::f32 p =
      polynomial(r, 1.381453825160861e-3f, 8.36874544620514e-3f, 4.166838899254799e-2f,
                 1.666652113199234e-1f, 4.999999403953552e-1f, 1.0f, 1.0f);
  return simd::scale(p, n);
}

/// e^-a within 2 ulp, for a >= 0 (-0 and NaN without a sign included); where that is below 2^-126,
/// some value from 0 to there: x86 takes a hundred cycles to make a denormal, and masked scores are
/// all of that kind. 0 for a > 104. The same polynomial of -r, and n as it comes out of rounding.
inline simd::f32 exp_minus(simd::f32 a) noexcept {
  const simd::f32 bounded = simd::min(simd::set1(105.0f), a);
  const simd::f32 shifted = simd::mul_add(bounded, simd::set1(log2_e), simd::set1(whole));
  const simd::f32 n = simd::sub(shifted, simd::set1(whole));
  const simd::f32 high = simd::mul_add(n, simd::set1(-0.693359375f), bounded);
  const simd::f32 r = simd::mul_add(n, simd::set1(2.12194440e-4f), high);
  const simd::f32 p =
      polynomial(r, 1.381453825160861e-3f, -8.36874544620514e-3f, 4.166838899254799e-2f,
                 -1.666652113199234e-1f, 4.999999403953552e-1f, -1.0f, 1.0f);
  return simd::scale_or_zero(p, shifted);
}

/// The same with a relative error within 2^-24 * (4 + a / 4), for three instructions less: 2^f in
/// place of e^r, f from one product, where a float nearest to log2(e) is off by 0.22 * 2^-24 of it;
/// degree 5 leaves 1.8 * 2^-24.
inline simd::f32 exp_minus_near(simd::f32 a) noexcept {
  const simd::f32 bounded = simd::min(simd::set1(105.0f), a);
  const simd::f32 shifted = simd::mul_add(bounded, simd::set1(log2_e), simd::set1(whole));
  const simd::f32 n = simd::sub(shifted, simd::set1(whole));
  const simd::f32 f = simd::mul_add(bounded, simd::set1(-log2_e), n);
  const simd::f32 p =
      polynomial(f, 1.326469937339425e-3f, 9.671533480286598e-3f, 5.550733953714371e-2f,
                 2.4022242426872253e-1f, 6.931470036506653e-1f, 1.0f);
  return simd::scale_or_zero(p, shifted);
}

/// numerator / (1 + e^-x), as numerator * e^x / (1 + e^x) below 0: nothing overflows.
inline simd::f32 logistic(simd::f32 x, simd::f32 numerator) noexcept {
  const simd::f32 e = exp_minus(simd::abs(x));
  const simd::f32 top = simd::select_sign(x, simd::mul(numerator, e), numerator);
  return simd::div(top, simd::add(simd::set1(1.0f), e));
}

/// 1 / (1 + e^-x) within 4 ulp (seen: 2.41, 2.41); below 2^-126, where x < -87.33, some value from
/// 0 to there.
inline simd::f32 sigmoid_vector(simd::f32 x) noexcept { return logistic(x, simd::set1(1.0f)); }

/// x / (1 + e^-x) within 4 ulp (seen: 3.35, 3.35); where x < -87.33 with an absolute error of
/// 2^-126 * |x|.
inline simd::f32 silu_vector(simd::f32 x) noexcept {
  const simd::f32 bounded = simd::max(simd::set1(-110.0f), x);  // not -infinity times 0
  return logistic(bounded, bounded);
}

/// |x| <= limit ? y : 1 with the sign of x. NaN where y is.
inline simd::f32 saturate_at(float limit, simd::f32 x, simd::f32 y) noexcept {
  return simd::select_sign(simd::sub(simd::set1(limit), simd::abs(x)),
                           simd::copy_sign(simd::set1(1.0f), x), y);
}

/// Within 4 ulp (seen: 3.48, 3.78): x (c + N(x^2) / Q(x^2)), of least relative error (0.2 ulp) up
/// to 9.02, where it is
/// 1. The constant takes most of the sum where Horner's rule adds up most errors; without it they
/// come to 5 ulp.
inline simd::f32 tanh_vector(simd::f32 x) noexcept {
  const simd::f32 z = simd::mul(x, x);
  const simd::f32 n = polynomial(z, -1.0833836228130167e-07f, -3.0747261916985735e-05f,
                                 -0.0005469736643135548f, 0.06083311140537262f, 0.84375f);
  const simd::f32 q = polynomial(z, 7.790249583194964e-7f, 3.2885174732655287e-4f,
                                 2.5884361937642097e-2f, 4.6716007590293884e-1f, 1.0f);
  const simd::f32 y = simd::mul(x, simd::add(simd::set1(0.15625f), simd::div(n, q)));
  return saturate_at(9.02f, x, y);
}

/// erf for |x| <= 3.84, where it is 1: as tanh, of least relative error (0.1 ulp).
inline simd::f32 erf_inside(simd::f32 x) noexcept {
  const simd::f32 z = simd::mul(x, x);
  const simd::f32 n =
      polynomial(z, -1.1229907613596879e-05f, -0.00010719241254264489f, -0.0014121518470346928f,
                 0.013601509854197502f, 0.015838921070098877f, 0.7846291661262512f);
  const simd::f32 q =
      polynomial(z, 3.882660894305445e-5f, 1.1433267500251532e-3f, 1.476062461733818e-2f,
                 1.1299826949834824e-1f, 4.9955421686172485e-1f, 1.0f);
  return simd::mul(x, simd::add(simd::set1(0.34375f), simd::div(n, q)));
}

/// Within 4 ulp (seen: 3.34, 3.63).
inline simd::f32 erf_vector(simd::f32 x) noexcept { return saturate_at(3.84f, x, erf_inside(x)); }

/// x / 2 * (1 + erf(x / sqrt 2)): within 4 ulp where x >= 0 (seen: 1.66, 1.95), absolute
/// error below 2e-7 * max(1, |x|) else (seen: 1e-7).
inline simd::f32 gelu_vector(simd::f32 x) noexcept {
  // Where erf is 1: both bounds are cheaper than erf's own.
  const simd::f32 bounded = simd::max(simd::set1(-5.43f), x);
  const simd::f32 half = simd::mul(bounded, simd::set1(0.5f));
  const simd::f32 inside = simd::min(simd::set1(5.43f), bounded);
  return simd::mul_add(half, erf_inside(simd::mul(inside, simd::set1(0.70710678f))), half);
}
