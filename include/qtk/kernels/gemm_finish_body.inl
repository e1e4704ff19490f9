// The epilogue: sums on their way to memory. Included once for each ISA, inside its namespace and
// target region; needs `simd` there. simd::rounded() keeps a product from being contracted
// with the addition that follows: the floats of integer products are the same on every ISA.

template <class Simd, std::size_t Nr, class Sum>
inline void gemm_finish_run(const gemm_finish<Sum>& finish) {
  using vec = typename Simd::f32;
  constexpr std::size_t width = Simd::width;
  static_assert(Nr % width == 0);
  const gemm_finish<Sum> f = finish;  // a copy: stores to y might change what a reference names
  const epilogue& out = *f.out;
  // All but leaky_relu are a clamp, with the operands in the order that lets NaN pass.
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const bool leaky = out.act == activation::leaky_relu, clip = out.act == activation::clip;
  const vec lo = Simd::set1(clip ? out.lo : out.act == activation::relu ? 0.0f : -infinity);
  const vec hi = Simd::set1(clip ? out.hi : infinity), alpha = Simd::set1(out.alpha);
  const vec one = Simd::set1(1.0f);
  QTK_UNROLL
  for (std::size_t j = 0; j < Nr; j += width) {  // what belongs to columns stays in registers
    const vec b_scale = f.scales == nullptr ? one : Simd::load(f.scales + j);
    const vec bias = f.bias == nullptr ? one : Simd::load(f.bias + j);
    const auto numbers = [&](const std::int32_t* p) {
      if constexpr (std::is_same_v<Sum, std::int32_t>)
        return p == nullptr ? Simd::set1(std::int32_t{0}) : Simd::load(p + j);
      else
        return p;
    };
    const auto column_sums = numbers(f.column_sums), b_zero_points = numbers(f.b_zero_points);
    for (std::size_t i = 0; i < f.rows; ++i) {
      const vec a_scale =
          f.a_scales == nullptr ? one : Simd::set1(f.a_scales[i * f.a_scale_stride]);
      const Sum* const sum = f.sums + i * f.sums_stride + j;
      vec x;
      if constexpr (std::is_same_v<Sum, std::int32_t>) {
        auto s = Simd::load(sum);
        if (f.column_sums != nullptr)
          s = Simd::sub(s, Simd::mul(Simd::set1(f.a_zero_points[i * f.a_scale_stride]),
                                     column_sums));
        if (f.b_zero_points != nullptr)
          s = Simd::sub(s, Simd::mul(Simd::set1(f.a_sums[i]), b_zero_points));
        if (f.row_offsets != nullptr) s = Simd::sub(s, Simd::set1(f.row_offsets[i]));
        const vec scale = f.scales == nullptr ? a_scale : Simd::mul(a_scale, b_scale);
        x = Simd::rounded(Simd::mul(Simd::to_f32(s), scale));
      } else {
        x = Simd::load(sum);
        if (f.a_scales != nullptr) x = Simd::rounded(Simd::mul(x, a_scale));
      }
      if (f.bias != nullptr) x = Simd::add(x, bias);
      if (f.row_bias != nullptr) x = Simd::add(x, Simd::set1(f.row_bias[i]));
      if (f.residual != nullptr)
        x = Simd::add(x, Simd::load(f.residual + i * f.residual_stride + j));
      x = leaky ? Simd::select_negative(x, Simd::mul(alpha, x), x)
                : Simd::min(hi, Simd::max(lo, x));
      Simd::store(f.y + i * f.y_stride + j, x);
    }
  }
}
