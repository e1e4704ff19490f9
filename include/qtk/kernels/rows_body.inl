// Part of elementwise_body.inl: what looks at a whole row before it knows one element.

/// Chains of additions in a sum of doubles: element i of a row goes to chain i % 16 on every ISA.
inline constexpr std::size_t sum_chains = 16;

/// `result`, where not null, is where n floats will be written next: its lines are asked for on the
/// way.
template <bool Squares>
inline double sum_row(std::size_t n, const float* x, double* squares,
                      const float* result = nullptr) noexcept {
  constexpr std::size_t vectors = sum_chains / simd::f64_width;
  simd::f64 s[vectors], q[vectors];
  QTK_UNROLL
  for (std::size_t v = 0; v < vectors; ++v) s[v] = q[v] = simd::zero_f64();
  const auto step = [&](const float* p) {
    QTK_UNROLL
    for (std::size_t v = 0; v < vectors; ++v) {
      const simd::f64 wide = simd::load_f64(p + v * simd::f64_width);
      s[v] = simd::add(s[v], wide);
      // A product of floats is exact in double: fused or not, the same bits.
      if constexpr (Squares) q[v] = simd::mul_add(wide, wide, q[v]);
    }
  };
  const std::size_t body = n - n % sum_chains;
  for (std::size_t i = 0; i < body; i += sum_chains) {
    if (result != nullptr) __builtin_prefetch(result + i, 1);
    step(x + i);
  }
  if (body < n) {
    float rest[sum_chains] = {};
    for (std::size_t i = body; i < n; ++i) rest[i - body] = x[i];
    step(rest);
  }
  const auto total = [&](const simd::f64* chains) {
    double lanes[sum_chains];
    QTK_UNROLL
    for (std::size_t v = 0; v < vectors; ++v) simd::store(lanes + v * simd::f64_width, chains[v]);
    for (std::size_t half = sum_chains / 2; half > 0; half /= 2)
      for (std::size_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
    return lanes[0];
  };
  if constexpr (Squares) *squares = total(q);
  return total(s);
}

/// The same additions in the same order on every ISA: the same bits.
inline double sum(std::size_t n, const float* x, double* squares) noexcept {
  return squares != nullptr ? sum_row<true>(n, x, squares) : sum_row<false>(n, x, nullptr);
}

/// `top` raised to the greatest of each lane of so many vectors.
inline simd::f32 raised(simd::f32 top, std::size_t vectors, const float* x) noexcept {
  simd::f32 even_top = top, odd_top = top;
  const std::size_t even = vectors - vectors % 2;
  for (std::size_t v = 0; v < even; v += 2) {
    even_top = simd::max(simd::load(x + v * simd::width), even_top);
    odd_top = simd::max(simd::load(x + (v + 1) * simd::width), odd_top);
  }
  if (even < vectors) even_top = simd::max(simd::load(x + even * simd::width), even_top);
  return simd::max(odd_top, even_top);
}

/// y = e^(x - top) of whole vectors; returns the sum of each lane of y.
inline simd::f32 exp_piece(std::size_t vectors, const float* x, float* y, simd::f32 top) noexcept {
  const paired::simd::f32 tops{top, top};
  paired::simd::f32 sums = paired::simd::zero();
  const std::size_t even = vectors - vectors % 2;
  for (std::size_t v = 0; v < even; v += 2) {
    const paired::simd::f32 e = paired::exp_minus_near(
        paired::simd::abs(paired::simd::sub(paired::simd::load(x + v * simd::width), tops)));
    paired::simd::store(y + v * simd::width, e);
    sums = paired::simd::add(sums, e);
  }
  const simd::f32 sum = simd::add(sums.a, sums.b);
  if (even == vectors) return sum;
  const simd::f32 e = exp_minus_near(simd::abs(simd::sub(simd::load(x + even * simd::width), top)));
  simd::store(y + even * simd::width, e);
  return simd::add(sum, e);
}

/// A row goes through in pieces, each with the greatest value of each lane so far (Milakov,
/// Gimelshein: Online normalizer calculation for softmax, 2018). The next piece's is looked for
/// while exponentials of this one are formed, a block of each in turn, so that memory is read all
/// the while (0.72 -> 0.82 of bandwidth; what is fetched by prefetches arrives later: 0.56).
/// Relative error within 2^-24 * (32 + |x - max| + n / 64), and what is below 2^-126 may be 0. Of a
/// row of -infinity alone every element is NaN (0 / 0), as its formula says.
inline void softmax(std::size_t n, const float* x, float* y) noexcept {
  constexpr std::size_t most = 64, least_vectors = 64, w = simd::width;
  if (n == 0) return;
  float tops[(most + 1) * w], sums[(most + 1) * w];  // one more for the tail
  const std::size_t vectors = n / w, body = vectors * w;
  const std::size_t shared = (vectors + most - 1) / most;
  const std::size_t piece = shared > least_vectors ? shared : least_vectors;
  simd::f32 top = simd::set1(-3.40282347e+38f);  // finite: -infinity less it is -infinity
  std::size_t pieces = 0;
  const auto piece_at = [&](std::size_t v) { return vectors - v < piece ? vectors - v : piece; };
  constexpr std::size_t block = 128 / w;
  top = raised(top, piece_at(0), x);
  for (std::size_t v = 0; v < vectors; ++pieces) {
    const std::size_t end = v + piece_at(v), ahead = piece_at(end);
    simd::f32 next_top = top, sum = simd::zero();
    for (std::size_t done = 0; v < end; done += block) {
      const std::size_t here = end - v < block ? end - v : block;
      const std::size_t rest = done < ahead ? ahead - done : 0;
      next_top = raised(next_top, rest < block ? rest : block, x + (end + done) * w);
      sum = simd::add(sum, exp_piece(here, x + v * w, y + v * w, top));
      v += here;
    }
    simd::store(tops + pieces * w, top);
    simd::store(sums + pieces * w, sum);
    top = next_top;
  }
  float tail[w];
  if (body < n) {
    for (std::size_t i = 0; i < w; ++i) tail[i] = body + i < n ? x[body + i] : -__builtin_inff();
    top = raised(top, 1, tail);
    simd::store(tops + pieces * w, top);
    simd::store(sums + pieces * w, exp_piece(1, tail, tail, top));
    ++pieces;
  }
  // The last piece's tops are the greatest of each lane.
  float greatest = tops[(pieces - 1) * w];
  for (std::size_t i = (pieces - 1) * w; i < pieces * w; ++i)
    greatest = tops[i] > greatest ? tops[i] : greatest;
  const simd::f32 all = simd::set1(greatest);
  for (std::size_t p = 0; p < pieces; ++p) {
    const simd::f32 factor = exp_minus(simd::abs(simd::sub(simd::load(tops + p * w), all)));
    simd::store(tops + p * w, factor);
    simd::store(sums + p * w, simd::mul(simd::load(sums + p * w), factor));
  }
  const double total = sum_row<false>(pieces * w, sums, nullptr);
  const simd::f32 inverse = simd::set1(static_cast<float>(1.0 / total));
  std::size_t p = 0;
  for (std::size_t v = 0; v < vectors; ++p) {
    const simd::f32 factor = simd::mul(simd::load(tops + p * w), inverse);
    const std::size_t end = vectors - v < piece ? vectors : v + piece;
    for (; v < end; ++v) simd::store(y + v * w, simd::mul(simd::load(y + v * w), factor));
  }
  if (body == n) return;
  const simd::f32 factor = simd::mul(simd::load(tops + p * w), inverse);
  simd::store(tail, simd::mul(simd::load(tail), factor));
  for (std::size_t i = body; i < n; ++i) y[i] = tail[i - body];
}

/// y[i] = f(x[i]) * gamma[i] + beta[i]; without gamma or beta where those are null.
template <class Function>
inline void scale_and_shift(std::size_t n, const float* x, const float* gamma, const float* beta,
                            float* y, const Function& f) noexcept {
  const std::size_t body = n - n % simd::width;
  const auto step = [&](const float* in, const float* g, const float* b, float* out) {
    simd::f32 v = f(simd::load(in));
    if (gamma != nullptr) v = simd::mul(v, simd::load(g));
    if (beta != nullptr) v = simd::add(v, simd::load(b));
    simd::store(out, v);
  };
  for (std::size_t i = 0; i < body; i += simd::width) step(x + i, gamma + i, beta + i, y + i);
  if (body == n) return;
  float in[simd::width] = {}, g[simd::width] = {}, b[simd::width] = {}, out[simd::width];
  for (std::size_t i = body; i < n; ++i) {
    in[i - body] = x[i];
    if (gamma != nullptr) g[i - body] = gamma[i];
    if (beta != nullptr) b[i - body] = beta[i];
  }
  step(in, g, b, out);
  for (std::size_t i = body; i < n; ++i) y[i] = out[i - body];
}

inline void layer_norm(std::size_t n, const float* x, const float* gamma, const float* beta,
                       float epsilon, float* y) noexcept {
  if (n == 0) return;
  double squares = 0.0;
  const double count = static_cast<double>(n), mean = sum_row<true>(n, x, &squares, y) / count;
  const double variance = squares / count - mean * mean;
  const double deviation =
      std::sqrt((variance > 0.0 ? variance : 0.0) + static_cast<double>(epsilon));
  const auto upper = static_cast<float>(mean);
  const simd::f32 high = simd::set1(upper),
                  low = simd::set1(static_cast<float>(mean - static_cast<double>(upper)));
  const simd::f32 inverse = simd::set1(static_cast<float>(1.0 / deviation));
  scale_and_shift(n, x, gamma, beta, y, [&](simd::f32 v) {
    return simd::mul(simd::sub(simd::sub(v, high), low), inverse);
  });
}

inline void rms_norm(std::size_t n, const float* x, const float* gamma, float epsilon,
                     float* y) noexcept {
  if (n == 0) return;
  double squares = 0.0;
  static_cast<void>(sum_row<true>(n, x, &squares, y));
  const double mean = squares / static_cast<double>(n);
  const simd::f32 inverse =
      simd::set1(static_cast<float>(1.0 / std::sqrt(mean + static_cast<double>(epsilon))));
  scale_and_shift(n, x, gamma, nullptr, y, [&](simd::f32 v) { return simd::mul(v, inverse); });
}
