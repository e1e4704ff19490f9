// Depthwise convolutions. Included once for each ISA, inside its namespace and target region; needs
// `simd` there. Each sum is a chain of multiply-adds in ascending order of the taps.
//
// Functions copy what they need of their arguments: a store of a vector may alias anything, and
// what is behind a reference would be loaded again after each of them.

/// What becomes of the sums of one channel.
struct depthwise_finish {
  clamp_bounds clamp;
  float alpha, scale, bias;
  bool leaky;
  const float* residual;

  depthwise_finish(const depthwise_args& a, std::size_t channel) noexcept {
    clamp = clamp_of(a.out);
    leaky = a.out.act == activation::leaky_relu;
    alpha = a.out.alpha;
    scale = a.scales != nullptr ? a.scales[channel] * a.image_scale : 1.0f;
    bias = a.out.bias != nullptr ? a.out.bias[channel] : -0.0f;  // x + -0 is x for every x
    residual = a.out.residual;
  }

  /// Vectors of sums of `Rows` rows to y[at], y[at + step] ...: whole ones, or `count` lanes.
  template <bool Whole, std::size_t Rows>
  QTK_ALWAYS_INLINE void store(const simd::f32 (&sums)[Rows], float* y, std::size_t at,
                               std::size_t step, std::size_t count) const noexcept {
    // Told apart once: clang moves sums behind branches between the rows, and runs out of
    // registers.
    if (leaky || residual != nullptr)
      store_rows<Whole, false>(sums, y, at, step, count);
    else
      store_rows<Whole, true>(sums, y, at, step, count);
  }

 private:
  template <bool Whole, bool Plain, std::size_t Rows>
  QTK_ALWAYS_INLINE void store_rows(const simd::f32 (&sums)[Rows], float* y, std::size_t at,
                                    std::size_t step, std::size_t count) const noexcept {
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i, at += step) {
      simd::f32 x = simd::rounded(simd::mul(sums[i], simd::set1(scale)));
      x = simd::add(x, simd::set1(bias));
      if (!Plain && residual != nullptr)
        x = simd::add(x,
                      Whole ? simd::load(residual + at) : simd::load_first(residual + at, count));
      x = !Plain && leaky ? simd::select_negative(x, simd::mul(simd::set1(alpha), x), x)
                          : simd::min(simd::set1(clamp.hi), simd::max(simd::set1(clamp.lo), x));
      if constexpr (Whole)
        simd::store(y + at, x);
      else
        simd::store_first(y + at, x, count);
    }
  }
};

inline void depthwise_plane(const depthwise_args& a, std::size_t channel, float* plane) noexcept {
  plane_rows(a.image + channel * a.image_stride, a.height, a.width,
             {a.stride_w, a.phase, a.pad_left}, plane + a.pad_top * a.stride_w * a.phase);
}

/// A vector of pixels of `Rows` rows, 3 x 3: what is loaded serves all of the rows.
template <std::size_t Stride, std::size_t Rows>
QTK_ALWAYS_INLINE void depthwise_3x3_sums(const float* const (&from)[3], std::size_t step,
                                          const simd::f32 (&w)[9],
                                          simd::f32 (&acc)[Rows]) noexcept {
  QTK_UNROLL
  for (std::size_t y = 0; y < Rows; ++y) acc[y] = simd::zero();
  QTK_UNROLL
  for (std::size_t r = 0; r < (Rows - 1) * Stride + 3; ++r) {
    QTK_UNROLL
    for (std::size_t j = 0; j < 3; ++j) {
      // Hidden: g++ would load it again for each multiply-add (AVX-512, 960 x 7 x 7: 45 us, not
      // 28).
      const simd::f32 v = simd::rounded(simd::load(from[j] + r * step));
      QTK_UNROLL
      for (std::size_t y = 0; y < Rows; ++y)
        if (r >= y * Stride && r < y * Stride + 3)
          acc[y] = simd::mul_add(w[(r - y * Stride) * 3 + j], v, acc[y]);
    }
  }
}

/// `Rows` rows of output from `row` on.
template <std::size_t Stride, std::size_t Rows>
inline void depthwise_3x3_rows(const depthwise_args& a, depthwise_finish finish,
                               std::size_t channel, const float* plane, std::size_t row) noexcept {
  const std::size_t step = a.stride_w * a.phase, width = a.out_width;
  const float* const weights = a.weights + channel * 9;
  simd::f32 w[9], acc[Rows];
  QTK_UNROLL
  for (std::size_t k = 0; k < 9; ++k) w[k] = simd::set1(weights[k]);
  plane += row * Stride * step;
  const float* from[3] = {plane + a.offsets[0], plane + a.offsets[1], plane + a.offsets[2]};
  float* const to = a.y;
  std::size_t at = channel * a.y_stride + row * width;
  std::size_t x = width;
  for (; x >= simd::width; x -= simd::width, at += simd::width) {
    depthwise_3x3_sums<Stride, Rows>(from, step, w, acc);
    for (const float*& p : from) p += simd::width;
    finish.template store<true>(acc, to, at, width, simd::width);
  }
  if (x == 0) return;
  depthwise_3x3_sums<Stride, Rows>(from, step, w, acc);
  finish.template store<false>(acc, to, at, width, x);
}

template <std::size_t Stride>
inline void depthwise_3x3(const depthwise_args& a, const depthwise_finish& finish,
                          std::size_t channel, const float* plane) noexcept {
  // 9 weights, a load and an accumulator for each row: of 32 registers, or of the 16 that most ISAs
  // have. Networks are fond of images that are a multiple of 7 high.
  constexpr std::size_t tall = simd::width == 16 ? 7 : 4;
  std::size_t row = 0;
  for (; row + tall <= a.out_height; row += tall)
    depthwise_3x3_rows<Stride, tall>(a, finish, channel, plane, row);
  for (; row + 2 <= a.out_height; row += 2)
    depthwise_3x3_rows<Stride, 2>(a, finish, channel, plane, row);
  if (row < a.out_height) depthwise_3x3_rows<Stride, 1>(a, finish, channel, plane, row);
}

inline void depthwise_any(const depthwise_args& a, const depthwise_finish& finish,
                          std::size_t channel, const float* plane) noexcept {
  const std::size_t step = a.stride_h * a.stride_w * a.phase;
  const float* const w = a.weights + channel * a.taps;
  for (std::size_t row = 0; row < a.out_height; ++row) {
    const std::size_t at = channel * a.y_stride + row * a.out_width;
    for (std::size_t x = 0; x < a.out_width; x += simd::width) {
      const float* const from = plane + row * step + x;
      simd::f32 acc[1] = {simd::zero()};
      for (std::size_t k = 0; k < a.taps; ++k)
        acc[0] = simd::mul_add(simd::set1(w[k]), simd::load(from + a.offsets[k]), acc[0]);
      if (a.out_width - x >= simd::width)
        finish.template store<true>(acc, a.y, at + x, 0, simd::width);
      else
        finish.template store<false>(acc, a.y, at + x, 0, a.out_width - x);
    }
  }
}

inline void run_depthwise(const depthwise_args& a) noexcept {
  const std::size_t size = a.plane_rows * a.stride_w * a.phase + simd::width;
  for (std::size_t i = 0; i < 2 * size; ++i) a.planes[i] = 0.0f;  // padding; it stays from now on
  // A plane is written one channel ahead: loads that cross what was just stored would have to wait.
  float *plane = a.planes, *next = a.planes + size;
  if (a.channels != 0) depthwise_plane(a, 0, plane);
  for (std::size_t c = 0; c < a.channels; ++c) {
    if (c + 1 < a.channels) depthwise_plane(a, c + 1, next);
    const depthwise_finish finish(a, c);
    if (!a.square)
      depthwise_any(a, finish, c, plane);
    else if (a.stride_h == 1)
      depthwise_3x3<1>(a, finish, c, plane);
    else
      depthwise_3x3<2>(a, finish, c, plane);
    float* const done = plane;
    plane = next;
    next = done;
  }
}
