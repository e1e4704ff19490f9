#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "qtk/core/numeric.hpp"
#include "qtk/ops/pool_codes.hpp"

namespace qtk::inline QTK_ABI {

enum class pool_kind : std::uint8_t { max, average, average_with_padding };

namespace detail {

using four_floats = float __attribute__((vector_size(16)));
using four_masks = std::int32_t __attribute__((vector_size(16)));

/// p[0], p[stride], p[2 * stride], p[3 * stride], and nothing else is read; `Stride` 0: any.
template <std::size_t Stride>
[[nodiscard]] four_floats load_strided(const float* p, std::size_t stride) noexcept {
  if constexpr (Stride == 1)
    return load_unaligned<four_floats>(p);
  else if constexpr (Stride == 2)
    return __builtin_shufflevector(load_unaligned<four_floats>(p),
                                   load_unaligned<four_floats>(p + 3), 0, 2, 5, 7);
  else if constexpr (Stride == 3)
    return __builtin_shufflevector(load_unaligned<four_floats>(p),
                                   load_unaligned<four_floats>(p + 6), 0, 3, 4, 7);
  else
    return four_floats{p[0], p[stride], p[2 * stride], p[3 * stride]};
}

/// Output pixels whose taps across all lie inside of a row.
struct pixel_range {
  std::size_t begin, end;
};
[[nodiscard]] inline pixel_range whole_windows(const window_2d& w, std::size_t width,
                                               std::size_t out_width) noexcept {
  const std::size_t reach = (w.kernel_w - 1) * w.dilation_w,
                    begin = ceil_div(w.pad_left, w.stride_w);
  if (width + w.pad_left <= reach) return {out_width, out_width};
  const std::size_t end = std::min(out_width, (width - 1 + w.pad_left - reach) / w.stride_w + 1);
  return begin < end ? pixel_range{begin, end} : pixel_range{out_width, out_width};
}

/// Row i of the largest elements in each window, over taps [first, last) down. Floats, where no
/// window leaves the row, four at a time, the last four once more where they are not a multiple (8
/// planes of 28 x 28 by 2 x 2: 2.9 us instead of 6.4).
template <std::size_t Stride, class T>
void max_row(const window_2d& w, std::size_t first, std::size_t last, const T* plane, std::size_t i,
             std::size_t width, std::size_t out_width, T* out) {
  using limits = std::numeric_limits<T>;
  constexpr T least = limits::has_infinity ? -limits::infinity() : limits::lowest();
  if (first == last) return static_cast<void>(std::fill_n(out, out_width, least));
  const auto row = [&](std::size_t a) {
    return plane + (i * w.stride_h + a * w.dilation_h - w.pad_top) * width;
  };
  const auto one = [&](std::size_t j) {
    T most = least;
    for (std::size_t a = first; a < last; ++a)
      for (std::size_t b = 0; b < w.kernel_w; ++b) {
        const std::size_t at = j * w.stride_w + b * w.dilation_w;
        if (at < w.pad_left || at - w.pad_left >= width) continue;
        const T value = row(a)[at - w.pad_left];
        most = value > most || value != value ? value : most;
      }
    out[j] = most;
  };
  // Where no window leaves the row, no tap asks.
  const auto inside = [&](std::size_t j) {
    T most = least;
    const T* from = row(first) + (j * w.stride_w - w.pad_left);
    for (std::size_t a = first; a < last; ++a, from += w.dilation_h * width)
      for (std::size_t b = 0; b < w.kernel_w; ++b) {
        const T value = from[b * w.dilation_w];
        most = value > most || value != value ? value : most;
      }
    out[j] = most;
  };
  const pixel_range whole = whole_windows(w, width, out_width);
  std::size_t j = 0;
  for (; j < whole.begin; ++j) one(j);
  if constexpr (std::is_same_v<T, float>) {
    const auto four = [&](std::size_t from_j) {
      four_floats most = {least, least, least, least};
      four_masks nan = {};
      const float* from = row(first) + (from_j * w.stride_w - w.pad_left);
      for (std::size_t a = first; a < last; ++a, from += w.dilation_h * width)
        for (std::size_t b = 0; b < w.kernel_w; ++b) {
          const four_floats x = load_strided<Stride>(from + b * w.dilation_w, w.stride_w);
          most = x > most ? x : most;
          nan |= x != x;
        }
      nan |= reinterpret_cast<four_masks>(most);  // all ones are a NaN
      std::memcpy(out + from_j, &nan, sizeof nan);
    };
    if (whole.end - whole.begin >= 4) {
      for (; j + 4 <= whole.end; j += 4) four(j);
      if (j < whole.end) four(whole.end - 4);
      j = whole.end;
    }
  }
  for (; j < whole.end; ++j) inside(j);
  for (; j < out_width; ++j) one(j);
}

}  // namespace detail

/// The maximum of each 2-D window, of floats or of codes: see pool_2d().
template <class T>
void max_pool_2d(const window_2d& w, std::size_t planes, std::size_t height, std::size_t width,
                 std::size_t out_height, std::size_t out_width, const T* x, T* y) {
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    detail::code_pool codes(w, height, width, out_width);
    if (codes.serves()) return codes.run(planes, out_height, x, y);
  }
  const auto max_row = w.stride_w == 1   ? detail::max_row<1, T>
                       : w.stride_w == 2 ? detail::max_row<2, T>
                       : w.stride_w == 3 ? detail::max_row<3, T>
                                         : detail::max_row<0, T>;
  for (std::size_t p = 0; p < planes; ++p, x += height * width)
    for (std::size_t i = 0; i < out_height; ++i, y += out_width) {
      const auto rows =
          detail::taps_inside(i, w.stride_h, w.dilation_h, w.kernel_h, w.pad_top, height);
      max_row(w, rows.first, rows.last, x, i, width, out_width, y);
    }
}

/// 2-D pooling of `planes` planes (batch * channels), x (planes, H, W) to y (planes, OH, OW). The
/// maximum ignores padding; the average divides by the elements inside the input, or, counting the
/// padding, inside the padded input. `ceil_mode` windows may hang over the padded end.
inline void pool_2d(pool_kind kind, const window_2d& w, std::size_t planes, std::size_t height,
                    std::size_t width, std::size_t out_height, std::size_t out_width,
                    const float* x, float* y) {
  if (kind == pool_kind::max)
    return max_pool_2d(w, planes, height, width, out_height, out_width, x, y);
  using detail::taps_inside;
  for (std::size_t p = 0; p < planes; ++p) {
    const float* plane = x + p * height * width;
    float* out = y + p * out_height * out_width;
    for (std::size_t i = 0; i < out_height; ++i) {
      const auto v = taps_inside(i, w.stride_h, w.dilation_h, w.kernel_h, w.pad_top, height);
      for (std::size_t j = 0; j < out_width; ++j) {
        const auto h = taps_inside(j, w.stride_w, w.dilation_w, w.kernel_w, w.pad_left, width);
        float sum = 0.0f;
        for (std::size_t a = v.first; a < v.last; ++a) {
          const float* row = plane + (i * w.stride_h + a * w.dilation_h - w.pad_top) * width;
          for (std::size_t b = h.first; b < h.last; ++b)
            sum += row[j * w.stride_w + b * w.dilation_w - w.pad_left];
        }
        std::size_t count = (v.last - v.first) * (h.last - h.first);
        if (kind == pool_kind::average_with_padding) {
          // Taps inside the padded input: a ceil_mode window may hang over it.
          const auto pv = taps_inside(i, w.stride_h, w.dilation_h, w.kernel_h, 0,
                                      height + w.pad_top + w.pad_bottom);
          const auto ph = taps_inside(j, w.stride_w, w.dilation_w, w.kernel_w, 0,
                                      width + w.pad_left + w.pad_right);
          count = (pv.last - pv.first) * (ph.last - ph.first);
        }
        *out++ = count == 0 ? 0.0f : sum / static_cast<float>(count);
      }
    }
  }
}

}  // namespace qtk::inline QTK_ABI
