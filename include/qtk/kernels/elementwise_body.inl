// No include guard: included once per ISA, inside that ISA's namespace and target region.
// Needs `simd` in scope (scalar/simd.hpp says what it has).
//
// Every loop runs over whole vectors, then once more over the tail, copied to a full vector's
// length on the stack: one code path, and nothing is read or written past the end.

/// y[i] = f(x[i]), for anything that loads and stores `simd::width` elements.
template <class In, class Out, class Function>
inline void map(std::size_t n, const In* x, Out* y, const Function& f) noexcept {
  const std::size_t body = n - n % simd::width;
  for (std::size_t i = 0; i < body; i += simd::width) f(x + i, y + i);
  if (body == n) return;
  In in[simd::width] = {};
  Out out[simd::width];
  for (std::size_t i = body; i < n; ++i) in[i - body] = x[i];
  f(in, out);
  for (std::size_t i = body; i < n; ++i) y[i] = out[i - body];
}

/// y[i] = f(a[i], b[i]).
template <class Function>
inline void map2(std::size_t n, const float* a, const float* b, float* y,
                 const Function& f) noexcept {
  const std::size_t body = n - n % simd::width;
  for (std::size_t i = 0; i < body; i += simd::width)
    simd::store(y + i, f(simd::load(a + i), simd::load(b + i)));
  if (body == n) return;
  float left[simd::width] = {}, right[simd::width] = {}, out[simd::width];
  for (std::size_t i = body; i < n; ++i) left[i - body] = a[i], right[i - body] = b[i];
  simd::store(out, f(simd::load(left), simd::load(right)));
  for (std::size_t i = body; i < n; ++i) y[i] = out[i - body];
}

/// NaN loses every comparison against the bound so far, which is the second operand.
inline void minmax(std::size_t n, const float* x, float* lo, float* hi) noexcept {
  constexpr std::size_t unroll = 4;  // hides the latency of min and max
  constexpr float none = __builtin_inff();
  simd::f32 low[unroll], high[unroll];
  for (std::size_t u = 0; u < unroll; ++u) low[u] = simd::set1(none), high[u] = simd::set1(-none);
  const std::size_t step = unroll * simd::width, body = n - n % step;
  for (std::size_t i = 0; i < body; i += step) {
    QTK_UNROLL
    for (std::size_t u = 0; u < unroll; ++u) {
      const simd::f32 v = simd::load(x + i + u * simd::width);
      low[u] = simd::min(v, low[u]);
      high[u] = simd::max(v, high[u]);
    }
  }
  float least = none, most = -none, lanes[simd::width];
  for (std::size_t u = 0; u < unroll; ++u) {
    simd::store(lanes, low[u]);
    for (const float v : lanes) least = v < least ? v : least;
    simd::store(lanes, high[u]);
    for (const float v : lanes) most = v > most ? v : most;
  }
  for (std::size_t i = body; i < n; ++i) {
    least = x[i] < least ? x[i] : least;
    most = x[i] > most ? x[i] : most;
  }
  const bool any = least <= most;
  *lo = any ? least : 0.0f;
  *hi = any ? most : 0.0f;
}

/// quantize_code() on a vector: the same division, comparisons and rounding.
inline simd::i32 quantize_vector(const float* x, simd::f32 scale, simd::f32 floor,
                                 simd::f32 ceiling, simd::i32 zero_point) noexcept {
  const simd::f32 q = simd::div(simd::load(x), scale);
  return simd::add(simd::round(simd::min(simd::max(q, floor), ceiling)), zero_point);
}

inline void quantize_u8(std::size_t n, const float* x, float scale, std::int32_t zero_point,
                        std::uint8_t* y) noexcept {
  const simd::f32 s = simd::set1(scale), lo = simd::set1(static_cast<float>(0 - zero_point)),
                  hi = simd::set1(static_cast<float>(255 - zero_point));
  const simd::i32 z = simd::set1(zero_point);
  map(n, x, y, [&](const float* in, std::uint8_t* out) {
    simd::store_u8(out, quantize_vector(in, s, lo, hi, z));
  });
}

inline void quantize_s8(std::size_t n, const float* x, float scale, std::int32_t zero_point,
                        std::int8_t* y) noexcept {
  const simd::f32 s = simd::set1(scale), lo = simd::set1(static_cast<float>(-128 - zero_point)),
                  hi = simd::set1(static_cast<float>(127 - zero_point));
  const simd::i32 z = simd::set1(zero_point);
  map(n, x, y, [&](const float* in, std::int8_t* out) {
    simd::store_s8(out, quantize_vector(in, s, lo, hi, z));
  });
}

/// scale * (code - zero_point): the difference is exact, so there is one rounding.
inline void dequantize_u8(std::size_t n, const std::uint8_t* x, float scale,
                          std::int32_t zero_point, float* y) noexcept {
  const simd::f32 s = simd::set1(scale);
  const simd::i32 z = simd::set1(zero_point);
  map(n, x, y, [&](const std::uint8_t* in, float* out) {
    simd::store(out, simd::mul(simd::to_f32(simd::sub(simd::load_u8(in), z)), s));
  });
}

inline void dequantize_s8(std::size_t n, const std::int8_t* x, float scale, std::int32_t zero_point,
                          float* y) noexcept {
  const simd::f32 s = simd::set1(scale);
  const simd::i32 z = simd::set1(zero_point);
  map(n, x, y, [&](const std::int8_t* in, float* out) {
    simd::store(out, simd::mul(simd::to_f32(simd::sub(simd::load_s8(in), z)), s));
  });
}

inline void f16_to_f32(std::size_t n, const half* x, float* y) noexcept {
  map(n, x, y, [](const half* in, float* out) { simd::store(out, simd::load_f16(in)); });
}
inline void f32_to_f16(std::size_t n, const float* x, half* y) noexcept {
  map(n, x, y, [](const float* in, half* out) { simd::store_f16(out, simd::load(in)); });
}
inline void bf16_to_f32(std::size_t n, const bfloat16* x, float* y) noexcept {
  map(n, x, y, [](const bfloat16* in, float* out) { simd::store(out, simd::load_bf16(in)); });
}
inline void f32_to_bf16(std::size_t n, const float* x, bfloat16* y) noexcept {
  map(n, x, y, [](const float* in, bfloat16* out) { simd::store_bf16(out, simd::load(in)); });
}

/// Horner's rule, highest power first.
template <class... Rest>
inline simd::f32 polynomial(simd::f32 x, float highest, Rest... rest) noexcept {
  simd::f32 sum = simd::set1(highest);
  static_cast<void>(((sum = simd::mul_add(sum, x, simd::set1(static_cast<float>(rest)))), ...));
  return sum;
}

/// e^x within 2 ulp; 0 below -87.33 (where the result would be denormal), infinity above 88.72.
/// x = n ln 2 + r with ln 2 in two parts (Cody and Waite, 1980), e^r by a polynomial of degree 7.
inline simd::f32 exp_vector(simd::f32 x) noexcept {
  const simd::f32 least = simd::set1(-87.33654f), most = simd::set1(88.72283f);
  const simd::f32 inside = simd::min(simd::max(x, least), most);
  const simd::i32 n = simd::round(simd::mul(inside, simd::set1(1.44269504f)));
  const simd::f32 f = simd::to_f32(n);
  simd::f32 r = simd::mul_add(f, simd::set1(-0.693359375f), inside);
  r = simd::mul_add(f, simd::set1(2.12194440e-4f), r);
  const simd::f32 p =
      polynomial(r, 1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f);
  // 2^n in two factors: 128 is no exponent of a float.
  const simd::i32 half_n = simd::round(simd::mul(f, simd::set1(0.5f)));
  const simd::f32 y =
      simd::mul(simd::mul(p, simd::exp2_integer(half_n)), simd::exp2_integer(simd::sub(n, half_n)));
  const simd::f32 above =
      simd::select_negative(simd::sub(most, x), simd::set1(__builtin_inff()), y);
  const simd::f32 below = simd::select_negative(simd::sub(x, least), simd::zero(), above);
  return simd::select_nan(x, x, below);
}

/// Takes the sign of x; y >= 0.
inline simd::f32 with_sign(simd::f32 x, simd::f32 y) noexcept {
  return simd::select_negative(x, simd::sub(simd::zero(), y), y);
}

/// 1 / (1 + e^-x), within 4 ulp above -87; 0 below.
inline simd::f32 sigmoid_vector(simd::f32 x) noexcept {
  const simd::f32 one = simd::set1(1.0f);
  return simd::div(one, simd::add(one, exp_vector(simd::sub(simd::zero(), x))));
}

/// Within 4 ulp. Below 0.625 the odd polynomial of Cephes tanhf (S. Moshier, 1989), above it
/// 1 - 2 / (e^2x + 1).
inline simd::f32 tanh_vector(simd::f32 x) noexcept {
  const simd::f32 a = simd::abs(x), z = simd::mul(x, x);
  const simd::f32 p = polynomial(z, -5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f,
                                 1.33314422036e-1f, -3.33332819422e-1f);
  const simd::f32 small = simd::mul_add(simd::mul(p, z), x, x);
  const simd::f32 one = simd::set1(1.0f), two = simd::set1(2.0f);
  const simd::f32 big = simd::sub(one, simd::div(two, simd::add(exp_vector(simd::add(a, a)), one)));
  const simd::f32 y =
      simd::select_negative(simd::sub(a, simd::set1(0.625f)), small, with_sign(x, big));
  return simd::select_nan(x, x, y);
}

/// Within 4 ulp. Polynomials of Cephes ndtrf (S. Moshier, 1989): erf below 1; 1 - erfc above, erfc
/// in 1 / x^2 and e^-x^2.
inline simd::f32 erf_vector(simd::f32 x) noexcept {
  const simd::f32 a = simd::abs(x), z = simd::mul(x, x), one = simd::set1(1.0f);
  const simd::f32 small =
      simd::mul(x, polynomial(z, 7.853861353153693e-5f, -8.010193625184903e-4f,
                              5.188327685732524e-3f, -2.685381193529856e-2f, 1.128358514861418e-1f,
                              -3.761262582423300e-1f, 1.128379165726710e+0f));
  const simd::f32 bounded = simd::min(a, simd::set1(9.0f));  // erf is 1 from 4 on
  const simd::f32 q = simd::div(one, simd::max(bounded, one)), y = simd::mul(q, q);
  const simd::f32 near =
      polynomial(y, 2.326819970068386e-2f, -1.387039388740657e-1f, 3.687424674597105e-1f,
                 -5.824733027278666e-1f, 6.210004621745983e-1f, -4.944515323274145e-1f,
                 3.404879937665872e-1f, -2.741127028184656e-1f, 5.638259427386472e-1f);
  const simd::f32 far =
      polynomial(y, -1.047766399936249e+1f, 1.297719955372516e+1f, -7.495518717768503e+0f,
                 2.921019019210786e+0f, -1.015265279202700e+0f, 4.218463358204948e-1f,
                 -2.820767439740514e-1f, 5.641895067754075e-1f);
  const simd::f32 p = simd::select_negative(simd::sub(bounded, simd::set1(2.0f)), near, far);
  const simd::f32 decay = exp_vector(simd::sub(simd::zero(), simd::mul(bounded, bounded)));
  const simd::f32 big = simd::sub(one, simd::mul(simd::mul(decay, q), p));
  const simd::f32 y_all = simd::select_negative(simd::sub(a, one), small, with_sign(x, big));
  return simd::select_nan(x, x, y_all);
}

/// x / 2 * (1 + erf(x / sqrt 2)): absolute error below 3e-7 * max(1, |x|).
inline simd::f32 gelu_vector(simd::f32 x) noexcept {
  const simd::f32 e = erf_vector(simd::mul(x, simd::set1(0.70710678f)));
  return simd::mul(simd::mul(x, simd::set1(0.5f)), simd::add(simd::set1(1.0f), e));
}

inline simd::f32 relu_vector(simd::f32 x) noexcept {
  return simd::select_negative(x, simd::zero(), x);
}

template <unary_op Op>
inline void unary(std::size_t n, const float* x, float* y) noexcept {
  map(n, x, y, [](const float* in, float* out) {
    const simd::f32 v = simd::load(in);
    if constexpr (Op == unary_op::exp) simd::store(out, exp_vector(v));
    if constexpr (Op == unary_op::tanh) simd::store(out, tanh_vector(v));
    if constexpr (Op == unary_op::sigmoid) simd::store(out, sigmoid_vector(v));
    if constexpr (Op == unary_op::erf) simd::store(out, erf_vector(v));
    if constexpr (Op == unary_op::gelu) simd::store(out, gelu_vector(v));
    if constexpr (Op == unary_op::silu) simd::store(out, simd::mul(v, sigmoid_vector(v)));
    if constexpr (Op == unary_op::relu) simd::store(out, relu_vector(v));
    if constexpr (Op == unary_op::abs) simd::store(out, simd::abs(v));
    if constexpr (Op == unary_op::negate) simd::store(out, simd::mul(v, simd::set1(-1.0f)));
    if constexpr (Op == unary_op::sqrt) simd::store(out, simd::sqrt(v));
  });
}

template <binary_op Op>
inline simd::f32 binary_vector(simd::f32 a, simd::f32 b) noexcept {
  if constexpr (Op == binary_op::add) return simd::add(a, b);
  if constexpr (Op == binary_op::subtract) return simd::sub(a, b);
  if constexpr (Op == binary_op::multiply) return simd::mul(a, b);
  if constexpr (Op == binary_op::divide) return simd::div(a, b);
  // NaN in either operand wins, as in ONNX.
  if constexpr (Op == binary_op::minimum) return simd::select_nan(a, a, simd::min(a, b));
  if constexpr (Op == binary_op::maximum) return simd::select_nan(a, a, simd::max(a, b));
}

template <binary_op Op>
inline void binary(std::size_t n, const float* a, const float* b, float* y) noexcept {
  // [&]: the function pointer of a captureless lambda would return a vector outside the region.
  map2(n, a, b, y, [&](simd::f32 left, simd::f32 right) { return binary_vector<Op>(left, right); });
}

template <binary_op Op>
inline void binary_scalar(std::size_t n, const float* a, float b, float* y) noexcept {
  const simd::f32 right = simd::set1(b);
  map(n, a, y, [&](const float* in, float* out) {
    simd::store(out, binary_vector<Op>(simd::load(in), right));
  });
}

/// activate() of core's epilogue, NaN passing through.
inline simd::f32 activate_vector(const epilogue& e, simd::f32 x) noexcept {
  switch (e.act) {
    case activation::relu:
      return relu_vector(x);
    case activation::leaky_relu:
      return simd::select_negative(x, simd::mul(x, simd::set1(e.alpha)), x);
    case activation::clip:
      return simd::select_nan(x, x, simd::min(simd::max(x, simd::set1(e.lo)), simd::set1(e.hi)));
    case activation::none:
      break;
  }
  return x;
}

inline void activate(std::size_t n, const float* x, const epilogue& e, float* y) noexcept {
  if (e.residual != nullptr)
    map2(n, x, e.residual, y,
         [&](simd::f32 a, simd::f32 b) { return activate_vector(e, simd::add(a, b)); });
  else
    map(n, x, y,
        [&](const float* in, float* out) { simd::store(out, activate_vector(e, simd::load(in))); });
}

/// Sums in double, lane by lane: eight chains of additions, in the same order on every ISA.
inline double sum(std::size_t n, const float* x, double* squares) noexcept {
  double s[8] = {}, q[8] = {};
  const std::size_t body = n - n % 8;
  for (std::size_t i = 0; i < body; i += 8)
    for (std::size_t l = 0; l < 8; ++l) {
      const double v = static_cast<double>(x[i + l]);
      s[l] += v;
      q[l] += v * v;
    }
  for (std::size_t i = body; i < n; ++i) {
    const double v = static_cast<double>(x[i]);
    s[i - body] += v;
    q[i - body] += v * v;
  }
  if (squares != nullptr)
    *squares = ((q[0] + q[1]) + (q[2] + q[3])) + ((q[4] + q[5]) + (q[6] + q[7]));
  return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

/// Of a row of -infinity alone every element is NaN (0 / 0), as its formula says.
inline void softmax(std::size_t n, const float* x, float* y) noexcept {
  if (n == 0) return;
  float lo = 0.0f, hi = 0.0f;
  minmax(n, x, &lo, &hi);
  const simd::f32 top = simd::set1(hi);
  map(n, x, y, [&](const float* in, float* out) {
    simd::store(out, exp_vector(simd::sub(simd::load(in), top)));
  });
  const simd::f32 total = simd::set1(static_cast<float>(sum(n, y, nullptr)));
  map(n, y, y,
      [&](const float* in, float* out) { simd::store(out, simd::div(simd::load(in), total)); });
}

inline constexpr elementwise_kernels make_elementwise(isa target) noexcept {
  return {
      .target = target,
      .minmax = &minmax,
      .quantize_u8 = &quantize_u8,
      .quantize_s8 = &quantize_s8,
      .dequantize_u8 = &dequantize_u8,
      .dequantize_s8 = &dequantize_s8,
      .f16_to_f32 = &f16_to_f32,
      .f32_to_f16 = &f32_to_f16,
      .bf16_to_f32 = &bf16_to_f32,
      .f32_to_bf16 = &f32_to_bf16,
      .unary = {&unary<unary_op::exp>, &unary<unary_op::tanh>, &unary<unary_op::sigmoid>,
                &unary<unary_op::erf>, &unary<unary_op::gelu>, &unary<unary_op::silu>,
                &unary<unary_op::relu>, &unary<unary_op::abs>, &unary<unary_op::negate>,
                &unary<unary_op::sqrt>},
      .binary = {&binary<binary_op::add>, &binary<binary_op::subtract>,
                 &binary<binary_op::multiply>, &binary<binary_op::divide>,
                 &binary<binary_op::minimum>, &binary<binary_op::maximum>},
      .binary_scalar = {&binary_scalar<binary_op::add>, &binary_scalar<binary_op::subtract>,
                        &binary_scalar<binary_op::multiply>, &binary_scalar<binary_op::divide>,
                        &binary_scalar<binary_op::minimum>, &binary_scalar<binary_op::maximum>},
      .activate = &activate,
      .softmax = &softmax,
      .sum = &sum,
  };
}
