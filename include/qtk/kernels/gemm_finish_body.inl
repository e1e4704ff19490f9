// The epilogue: sums on their way to memory. Included once for each ISA, inside its namespace and
// target region; needs `gemm_simd` there. simd::rounded() keeps a product from being contracted
// with the addition that follows: the floats of integer products are the same on every ISA.

template <std::size_t Nr, class Sum>
inline void gemm_finish_run(const gemm_finish<Sum>& f) {
  using simd = gemm_simd;
  using vec = simd::vec;
  constexpr std::size_t width = simd::width;
  static_assert(Nr % width == 0);
  const epilogue& out = *f.out;
  const vec zero = simd::zero();
  const vec alpha = simd::set1(out.alpha), lo = simd::set1(out.lo), hi = simd::set1(out.hi);
  for (std::size_t i = 0; i < f.rows; ++i) {
    const vec a_scale = simd::set1(f.a_scales == nullptr ? 1.0f : f.a_scales[i * f.a_scale_stride]);
    QTK_UNROLL
    for (std::size_t j = 0; j < Nr; j += width) {
      const Sum* const sum = f.sums + i * f.sums_stride + j;
      vec x;
      if constexpr (std::is_same_v<Sum, std::int32_t>) {
        auto s = simd::load_integers(sum);
        if (f.column_sums != nullptr)
          s = simd::subtract_product(s, f.a_zero_points[i * f.a_scale_stride],
                                     simd::load_integers(f.column_sums + j));
        x = simd::rounded(
            simd::mul(simd::to_float(s), simd::mul(a_scale, simd::load(f.scales + j))));
      } else {
        x = simd::load(sum);
        if (f.a_scales != nullptr) x = simd::rounded(simd::mul(x, a_scale));
      }
      if (f.bias != nullptr) x = simd::add(x, simd::load(f.bias + j));
      if (f.residual != nullptr)
        x = simd::add(x, simd::load(f.residual + i * f.residual_stride + j));
      switch (out.act) {  // operands in the order that lets NaN pass
        case activation::none:
          break;
        case activation::relu:
          x = simd::max(zero, x);
          break;
        case activation::leaky_relu:
          x = simd::if_negative(x, simd::mul(alpha, x));
          break;
        case activation::clip:
          x = simd::min(hi, simd::max(lo, x));
          break;
      }
      simd::store(f.y + i * f.y_stride + j, x);
    }
  }
}
