// An image with its padding written out and its columns sorted for a convolution. Included once for
// each ISA, inside its namespace and target region; needs `simd` there.

/// Columns of a plane by their remainder modulo `stride`, `phase` of each; `left` come before those
/// of the image.
struct plane_columns {
  std::size_t stride, phase, left;
};

using plane_lanes = float __attribute__((vector_size(simd::width * sizeof(float))));

/// Lanes Begin, Begin + 2, ... of two vectors.
template <int Begin, std::size_t... I>
inline simd::f32 plane_split(const simd::f32& first, const simd::f32& second,
                             std::index_sequence<I...>) noexcept {
  plane_lanes a, b;
  std::memcpy(&a, &first, sizeof a);
  std::memcpy(&b, &second, sizeof b);
  a = __builtin_shufflevector(a, b, (Begin + 2 * static_cast<int>(I))...);
  simd::f32 out;
  std::memcpy(&out, &a, sizeof out);
  return out;
}

/// min(count, width) elements, not by the calls that g++ makes of such a memcpy: zeros follow, and
/// nothing is written elsewhere.
inline simd::f32 plane_load(const float* from, std::size_t count) noexcept {
  return count == 0            ? simd::zero()
         : count < simd::width ? simd::load_first(from, count)
                               : simd::load(from);
}
inline void plane_store(float* to, const simd::f32& x, std::size_t count) noexcept {
  if (count < simd::width)
    simd::store_first(to, x, count);
  else
    simd::store(to, x);
}

/// Rows of the image to their places in the plane, columns in order. Zeros follow the last vector
/// of each: rows come in ascending order, and what lies behind is padding or not yet written.
inline void plane_copy(const float* from, float* row, std::size_t height, std::size_t width,
                       std::size_t step) noexcept {
  const std::size_t rest = width % simd::width, body = width - rest;
  for (; height != 0; --height, from += width, row += step) {
    for (std::size_t i = 0; i < body; i += simd::width) simd::store(row + i, simd::load(from + i));
    if (rest != 0) simd::store(row + body, simd::load_first(from + body, rest));
  }
}

/// The same with every other column in `even`, the rest in `odd`.
inline void plane_halve(const float* from, float* even, float* odd, std::size_t height,
                        std::size_t width, std::size_t step) noexcept {
  constexpr auto all = std::make_index_sequence<simd::width>{};
  constexpr std::size_t pair = 2 * simd::width;
  const std::size_t rest = width % pair, body = width - rest;
  for (; height != 0; --height, from += width, even += step, odd += step) {
    for (std::size_t i = 0; i < body; i += pair) {
      const simd::f32 a = simd::load(from + i), b = simd::load(from + i + simd::width);
      simd::store(even + i / 2, plane_split<0>(a, b, all));
      simd::store(odd + i / 2, plane_split<1>(a, b, all));
    }
    if (rest == 0) continue;
    const simd::f32 a = plane_load(from + body, rest);
    const simd::f32 b = rest < simd::width
                            ? simd::zero()
                            : plane_load(from + body + simd::width, rest - simd::width);
    plane_store(even + body / 2, plane_split<0>(a, b, all), (rest + 1) / 2);
    plane_store(odd + body / 2, plane_split<1>(a, b, all), rest / 2);
  }
}

/// The same with columns sorted by their remainder modulo any stride.
inline void plane_sort(const float* from, float* row, std::size_t height, std::size_t width,
                       const plane_columns& c) noexcept {
  const std::size_t stride = c.stride, phase = c.phase, left = c.left, step = stride * phase;
  for (; height != 0; --height, from += width, row += step)
    for (std::size_t r = 0; r < stride; ++r) {
      std::size_t at = (left + r) % stride * phase + (left + r) / stride;
      for (std::size_t i = r; i < width; i += stride) row[at++] = from[i];
    }
}

/// Rows of an image to those of a plane. Padding is left as it is; vectors of zeros may run over
/// the end of the last row.
inline void plane_rows(const float* from, std::size_t height, std::size_t width,
                       const plane_columns& c, float* row) noexcept {
  if (c.stride == 1)
    plane_copy(from, row + c.left, height, width, c.phase);
  else if (c.stride == 2)
    plane_halve(from, row + c.left % 2 * c.phase + c.left / 2,
                row + (c.left + 1) % 2 * c.phase + (c.left + 1) / 2, height, width, 2 * c.phase);
  else
    plane_sort(from, row, height, width, c);
}
