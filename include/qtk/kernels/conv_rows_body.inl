// The image of a convolution as its microkernel reads it without packing. Included once for each
// ISA, inside its namespace and target region; needs `simd` and plane_body.inl there.

struct conv_rows {
  /// conv_kernel::spread.
  static void spread(const conv_spread& s) noexcept {
    const plane_columns columns{s.stride_w, s.phase, s.pad_left};
    spread_planes(s, 0.0f, [&](std::size_t c, std::size_t row, std::size_t count, float* plane) {
      plane_rows(s.image + c * s.image_stride + row * s.width, count, s.width, columns, plane);
    });
  }

  /// The same for what fill(channel, row of the image, rows, where they begin in its plane) makes.
  template <class Fill>
  static void spread_planes(const conv_spread& s, float padding, const Fill& fill_rows) noexcept {
    const std::size_t step = s.stride_w * s.phase, high = (s.rows - 1) * s.stride_h + s.phases;
    // Rows of the image among those of the plane.
    const std::size_t begin = s.first_row > s.pad_top ? s.first_row - s.pad_top : 0,
                      at = begin + s.pad_top - s.first_row;
    const std::size_t count =
        begin < s.height && at < high ? at_most(s.height - begin, high - at) : 0;
    const std::size_t size = high * step + simd::width;
    fill_padding(s.scratch, 2 * size, padding);
    const auto fill = [&](std::size_t c, float* plane) {
      fill_rows(c, begin, count, plane + at * step);
    };
    // A plane is written one channel ahead: loads that cross what was just stored would have to
    // wait.
    float *plane = s.scratch, *next = s.scratch + size, *to = s.planes;
    if (s.channels != 0 && count != 0) fill(0, plane);
    for (std::size_t c = 0; c < s.channels; ++c) {
      if (c + 1 < s.channels && count != 0) fill(c + 1, next);
      for (std::size_t j = 0; j < s.kernel_w; ++j) {
        const std::size_t column = j * s.dilation_w;
        const float* const tap = plane + column % s.stride_w * s.phase + column / s.stride_w;
        for (std::size_t p = 0; p < s.phases; ++p)
          to = rows(tap + p * step, s.stride_h * step, s.rows, s.out_width, to);
      }
      float* const done = plane;
      plane = next;
      next = done;
    }
  }

 private:
  static std::size_t at_most(std::size_t a, std::size_t b) noexcept { return a < b ? a : b; }

  /// It stays where no row is written. By vectors: g++ -O2 stores single floats in the plain loop
  /// (half of the time that 16 channels of 32 x 32 codes took).
  static void fill_padding(float* to, std::size_t n, float padding) noexcept {
    const std::size_t body = n - n % simd::width;
    for (std::size_t i = 0; i < body; i += simd::width) simd::store(to + i, simd::set1(padding));
    for (std::size_t i = body; i < n; ++i) to[i] = padding;
  }

  /// Whole vectors: what runs over the end of a row is corrected by the next.
  static float* rows(const float* from, std::size_t step, std::size_t count, std::size_t width,
                     float* to) noexcept {
    for (; count != 0; --count, from += step, to += width)
      for (std::size_t i = 0; i < width; i += simd::width)
        simd::store(to + i, simd::load(from + i));
    return to;
  }
};
