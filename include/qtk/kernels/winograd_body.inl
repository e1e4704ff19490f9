// The transforms of Winograd's F(2 x 2, 3 x 3). Included once for each ISA, inside its namespace
// and target region; needs `simd` and plane_body.inl there. Lanes are tiles of a row.

struct winograd_transforms {
  /// Rows of the image with their even columns, then the odd ones.
  static void arrange(const float* image, std::size_t height, std::size_t width, std::size_t phase,
                      std::size_t left, float* row) noexcept {
    plane_rows(image, height, width, {2, phase, left}, row);
  }

  /// B^T d B of `tiles` tiles, whole vectors: place p of tile t to v[p * step + t]. `even` are the
  /// even columns of the first row, the odd ones `phase` behind.
  static void input(const float* even, std::size_t phase, std::size_t tiles, float* v,
                    std::size_t step) noexcept {
    for (std::size_t t = 0; t < tiles; t += simd::width) {
      simd::f32 d[4][4];
      QTK_UNROLL
      for (std::size_t i = 0; i < 4; ++i) {
        const float* const row = even + i * 2 * phase + t;
        d[i][0] = simd::load(row);
        d[i][1] = simd::load(row + phase);
        d[i][2] = simd::load(row + 1);
        d[i][3] = simd::load(row + phase + 1);
      }
      QTK_UNROLL
      for (std::size_t j = 0; j < 4; ++j) {
        const simd::f32 a = d[0][j], b = d[1][j], c = d[2][j];
        d[0][j] = simd::sub(a, c);
        d[1][j] = simd::add(b, c);
        d[2][j] = simd::sub(c, b);
        d[3][j] = simd::sub(b, d[3][j]);
      }
      float* to = v + t;
      QTK_UNROLL
      for (std::size_t i = 0; i < 4; ++i, to += 4 * step) {
        simd::store(to, simd::sub(d[i][0], d[i][2]));
        simd::store(to + step, simd::add(d[i][1], d[i][2]));
        simd::store(to + 2 * step, simd::sub(d[i][2], d[i][1]));
        simd::store(to + 3 * step, simd::sub(d[i][1], d[i][3]));
      }
    }
  }

  /// A^T m A of `tiles` tiles, whole vectors: place p of tile t at m[p * step + t]; the pixels of a
  /// tile side by side in `upper` and `lower`.
  static void output(const float* m, std::size_t step, std::size_t tiles, float* upper,
                     float* lower) noexcept {
    for (std::size_t t = 0; t < tiles; t += simd::width) {
      simd::f32 high[4], low[4];
      QTK_UNROLL
      for (std::size_t j = 0; j < 4; ++j) {
        const float* const from = m + j * step + t;
        const simd::f32 a = simd::load(from), b = simd::load(from + 4 * step),
                        c = simd::load(from + 8 * step), d = simd::load(from + 12 * step);
        high[j] = simd::add(simd::add(a, b), c);
        low[j] = simd::sub(simd::sub(b, c), d);
      }
      store_pairs(upper + 2 * t, high);
      store_pairs(lower + 2 * t, low);
    }
  }

  /// `count` pixels of a row: y = f(sums + bias + residual).
  static void finish(const float* sums, std::size_t count, const epilogue& out, float bias,
                     const float* residual, float* y) noexcept {
    const clamp_bounds clamp = clamp_of(out);
    const simd::f32 lo = simd::set1(clamp.lo), hi = simd::set1(clamp.hi);
    const simd::f32 alpha = simd::set1(out.alpha), offset = simd::set1(bias);
    const bool leaky = out.act == activation::leaky_relu;
    const std::size_t rest = count % simd::width, body = count - rest;
    const auto value = [&](std::size_t i, const simd::f32& r) {
      const simd::f32 x = simd::add(simd::add(simd::load(sums + i), offset), r);
      return leaky ? simd::select_negative(x, simd::mul(alpha, x), x)
                   : simd::min(hi, simd::max(lo, x));
    };
    const simd::f32 none = simd::set1(-0.0f);  // x + -0 is x for every x
    for (std::size_t i = 0; i < body; i += simd::width)
      simd::store(y + i, value(i, residual == nullptr ? none : simd::load(residual + i)));
    if (rest != 0)
      simd::store_first(
          y + body,
          value(body, residual == nullptr ? none : simd::load_first(residual + body, rest)), rest);
  }

 private:
  /// The columns of A: two pixels of each tile, side by side.
  static void store_pairs(float* to, const simd::f32 (&m)[4]) noexcept {
    const simd::f32 left = simd::add(simd::add(m[0], m[1]), m[2]),
                    right = simd::sub(simd::sub(m[1], m[2]), m[3]);
    plane_lanes a, b;
    std::memcpy(&a, &left, sizeof a);
    std::memcpy(&b, &right, sizeof b);
    interleave(to, a, b, std::make_index_sequence<simd::width>{});
  }
  template <std::size_t... I>
  static void interleave(float* to, const plane_lanes& a, const plane_lanes& b,
                         std::index_sequence<I...>) noexcept {
    constexpr int width = simd::width;
    constexpr auto at = [](int i) { return i % 2 * width + i / 2; };
    const plane_lanes low = __builtin_shufflevector(a, b, at(static_cast<int>(I))...);
    const plane_lanes high = __builtin_shufflevector(a, b, at(static_cast<int>(I) + width)...);
    std::memcpy(to, &low, sizeof low);
    std::memcpy(to + width, &high, sizeof high);
  }
};
