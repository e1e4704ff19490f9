// Part of elementwise_body.inl: floats to codes and back.

/// NaN loses every comparison against the bound so far, which is the second operand.
inline void minmax(std::size_t n, const float* x, float* lo, float* hi) noexcept {
  constexpr std::size_t unroll = 4;  // hides the latency of min and max
  constexpr float none = __builtin_inff();
  simd::f32 low[unroll], high[unroll];
  QTK_UNROLL
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
  QTK_UNROLL
  for (std::size_t u = 1; u < unroll; ++u)
    low[0] = simd::min(low[u], low[0]), high[0] = simd::max(high[u], high[0]);
  float least = none, most = -none, lanes[simd::width];
  simd::store(lanes, low[0]);
  for (const float v : lanes) least = v < least ? v : least;
  simd::store(lanes, high[0]);
  for (const float v : lanes) most = v > most ? v : most;
  for (std::size_t i = body; i < n; ++i) {
    least = x[i] < least ? x[i] : least;
    most = x[i] > most ? x[i] : most;
  }
  const bool any = least <= most;
  *lo = any ? least : 0.0f;
  *hi = any ? most : 0.0f;
}

/// quantize_code() on vectors, four at a time: a store of codes packs as many.
template <class Code>
inline void quantize(std::size_t n, const float* x, float scale, std::int32_t zero_point,
                     Code* y) noexcept {
  const auto codes = [&](const auto& quotient) {
    map<4 * simd::width>(n, x, y, [&](const float* in, Code* out) {
      const auto at = [&](std::size_t v) { return quotient(simd::load(in + v * simd::width)); };
      simd::store_codes(out, at(0), at(1), at(2), at(3), zero_point);
    });
  };
  constexpr float beyond = 512.0f;  // all codes, whatever the zero point
  const simd::f32 s = simd::set1(scale);
  if (scale < 0x1p-100f || scale > 0x1p100f)
    return codes([&](simd::f32 v) { return simd::min(simd::set1(beyond), simd::div(v, s)); });
  const simd::f32 most = simd::set1(beyond * scale), inverse = simd::set1(1.0f / scale);
  codes([&](simd::f32 v) { return simd::quotient(simd::min(most, v), s, inverse); });
}

inline void quantize_u8(std::size_t n, const float* x, float scale, std::int32_t zero_point,
                        std::uint8_t* y) noexcept {
  quantize(n, x, scale, zero_point, y);
}

inline void quantize_s8(std::size_t n, const float* x, float scale, std::int32_t zero_point,
                        std::int8_t* y) noexcept {
  quantize(n, x, scale, zero_point, y);
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
