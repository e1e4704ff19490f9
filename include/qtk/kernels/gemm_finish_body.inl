// The epilogue: sums on their way to memory. Included once for each ISA, inside its namespace and
// target region; needs `simd` there. simd::rounded() keeps a product from being contracted
// with the addition that follows: the floats of integer products are the same on every ISA.

template <class Simd>
struct finish_constants {
  typename Simd::f32 b_scale, bias;  // of one vector of columns
  typename Simd::i32 column_sums, b_zero_points;
  float lo, hi, alpha;  // of the activation
  activation act;
};

/// Those of the activation; the others are of columns.
template <class Simd>
QTK_ALWAYS_INLINE finish_constants<Simd> finish_constants_of(const epilogue& out) {
  const clamp_bounds clamp = clamp_of(out);
  finish_constants<Simd> c;
  c.act = out.act;
  c.lo = clamp.lo;
  c.hi = clamp.hi;
  c.alpha = out.alpha;
  return c;
}

/// Scaled sums `x`, `Rows` rows of one vector of columns, to y from (i, j) on: what is absent is
/// asked for once.
template <class Simd, std::size_t Rows, class Sum>
QTK_ALWAYS_INLINE void gemm_finish_scaled(const gemm_finish<Sum>& f,
                                          const finish_constants<Simd>& c, std::size_t i,
                                          std::size_t j, typename Simd::f32 (&x)[Rows]) {
  if (f.bias != nullptr) {
    QTK_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) x[r] = Simd::add(x[r], c.bias);
  }
  if (f.row_bias != nullptr) {
    QTK_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) x[r] = Simd::add(x[r], Simd::set1(f.row_bias[i + r]));
  }
  if (f.residual != nullptr) {
    QTK_UNROLL
    for (std::size_t r = 0; r < Rows; ++r)
      x[r] = Simd::add(x[r], Simd::load(f.residual + (i + r) * f.residual_stride + j));
  }
  if (c.act == activation::leaky_relu) {
    QTK_UNROLL
    for (std::size_t r = 0; r < Rows; ++r)
      x[r] = Simd::select_negative(x[r], Simd::mul(Simd::set1(c.alpha), x[r]), x[r]);
  } else if (c.act != activation::none) {
    QTK_UNROLL
    for (std::size_t r = 0; r < Rows; ++r)
      x[r] = Simd::min(Simd::set1(c.hi), Simd::max(Simd::set1(c.lo), x[r]));
  }
  QTK_UNROLL
  for (std::size_t r = 0; r < Rows; ++r) Simd::store(f.y + (i + r) * f.y_stride + j, x[r]);
}

/// The same of sums in memory.
template <class Simd, std::size_t Rows, class Sum>
QTK_ALWAYS_INLINE void gemm_finish_rows(const gemm_finish<Sum>& f, const finish_constants<Simd>& c,
                                        std::size_t i, std::size_t j) {
  using vec = typename Simd::f32;
  const Sum* const sums = f.sums + i * f.sums_stride + j;
  vec x[Rows];
  if constexpr (std::is_same_v<Sum, std::int32_t>) {
    typename Simd::i32 s[Rows];
    QTK_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) s[r] = Simd::load(sums + r * f.sums_stride);
    if (f.column_sums != nullptr) {
      const std::int32_t* const zero_points = f.a_zero_points + i * f.a_scale_stride;
      QTK_UNROLL
      for (std::size_t r = 0; r < Rows; ++r)
        s[r] = Simd::sub(s[r],
                         Simd::mul(Simd::set1(zero_points[r * f.a_scale_stride]), c.column_sums));
    }
    if (f.b_zero_points != nullptr) {
      QTK_UNROLL
      for (std::size_t r = 0; r < Rows; ++r)
        s[r] = Simd::sub(s[r], Simd::mul(Simd::set1(f.a_sums[i + r]), c.b_zero_points));
    }
    if (f.row_offsets != nullptr) {
      QTK_UNROLL
      for (std::size_t r = 0; r < Rows; ++r)
        s[r] = Simd::sub(s[r], Simd::set1(f.row_offsets[i + r]));
    }
    QTK_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) x[r] = Simd::to_f32(s[r]);
  } else {
    QTK_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) x[r] = Simd::load(sums + r * f.sums_stride);
  }
  if (f.a_scales != nullptr) {
    const float* const a_scales = f.a_scales + i * f.a_scale_stride;
    QTK_UNROLL
    for (std::size_t r = 0; r < Rows; ++r)
      x[r] = Simd::rounded(
          Simd::mul(x[r], Simd::mul(Simd::set1(a_scales[r * f.a_scale_stride]), c.b_scale)));
  } else if (f.scales != nullptr) {
    QTK_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) x[r] = Simd::rounded(Simd::mul(x[r], c.b_scale));
  }
  gemm_finish_scaled<Simd, Rows>(f, c, i, j, x);
}

template <class Simd, std::size_t Nr, class Sum>
inline void gemm_finish_run(const gemm_finish<Sum>& finish) {
  static_assert(Nr % Simd::width == 0);
  const gemm_finish<Sum> f = finish;  // a copy: stores to y might change what a reference names
  finish_constants<Simd> c = finish_constants_of<Simd>(*f.out);
  QTK_UNROLL
  for (std::size_t j = 0; j < Nr; j += Simd::width) {
    c.b_scale = f.scales == nullptr ? Simd::set1(1.0f) : Simd::load(f.scales + j);
    c.bias = f.bias == nullptr ? Simd::zero() : Simd::load(f.bias + j);
    if constexpr (std::is_same_v<Sum, std::int32_t>) {
      const auto numbers = [&](const std::int32_t* p) {
        return p == nullptr ? Simd::set1(std::int32_t{0}) : Simd::load(p + j);
      };
      c.column_sums = numbers(f.column_sums);
      c.b_zero_points = numbers(f.b_zero_points);
    }
    constexpr std::size_t rows = 4;
    const std::size_t body = f.rows - f.rows % rows;
    for (std::size_t i = 0; i < body; i += rows) gemm_finish_rows<Simd, rows>(f, c, i, j);
    for (std::size_t i = body; i < f.rows; ++i) gemm_finish_rows<Simd, 1>(f, c, i, j);
  }
}
