#pragma once

#include <algorithm>
#include <limits>

#include "qtk/ops/conv.hpp"

namespace qtk::inline QTK_ABI {

enum class pool_kind : std::uint8_t { max, average, average_with_padding };

namespace detail {

/// Row i of the largest elements in each window, over taps [first, last) down: tap by tap, so that
/// no output asks where its window ends.
template <class T>
void max_row(const window_2d& w, std::size_t first, std::size_t last, const T* plane, std::size_t i,
             std::size_t width, std::size_t out_width, T* out) {
  using limits = std::numeric_limits<T>;
  std::fill_n(out, out_width, limits::has_infinity ? -limits::infinity() : limits::lowest());
  for (std::size_t a = first; a < last; ++a) {
    const T* row = plane + (i * w.stride_h + a * w.dilation_h - w.pad_top) * width;
    for (std::size_t b = 0; b < w.kernel_w; ++b) {
      const std::size_t tap = b * w.dilation_w;
      if (width + w.pad_left <= tap) break;
      const std::size_t begin = tap < w.pad_left ? ceil_div(w.pad_left - tap, w.stride_w) : 0,
                        end = std::min(out_width, (width - 1 + w.pad_left - tap) / w.stride_w + 1);
      for (std::size_t j = begin; j < end; ++j) {
        const T value = row[j * w.stride_w + tap - w.pad_left];
        out[j] = value > out[j] || value != value ? value : out[j];
      }
    }
  }
}

/// The taps of output `o` that lie inside [0, extent).
struct tap_range {
  std::size_t first, last;
};
[[nodiscard]] inline tap_range taps_inside(std::size_t o, std::size_t stride, std::size_t dilation,
                                           std::size_t kernel, std::size_t pad,
                                           std::size_t extent) noexcept {
  const auto start = static_cast<std::ptrdiff_t>(o * stride) - static_cast<std::ptrdiff_t>(pad);
  const auto step = static_cast<std::ptrdiff_t>(dilation);
  tap_range s{0, kernel};
  while (s.first < kernel && start + static_cast<std::ptrdiff_t>(s.first) * step < 0) ++s.first;
  while (s.last > s.first && start + static_cast<std::ptrdiff_t>(s.last - 1) * step >=
                                 static_cast<std::ptrdiff_t>(extent))
    --s.last;
  return s;
}

}  // namespace detail

/// The maximum of each 2-D window, of floats or of codes: see pool_2d().
template <class T>
void max_pool_2d(const window_2d& w, std::size_t planes, std::size_t height, std::size_t width,
                 std::size_t out_height, std::size_t out_width, const T* x, T* y,
                 executor_ref executor = {}) {
  executor(planes, [&](std::size_t p) {
    T* out = y + p * out_height * out_width;
    for (std::size_t i = 0; i < out_height; ++i, out += out_width) {
      const auto rows =
          detail::taps_inside(i, w.stride_h, w.dilation_h, w.kernel_h, w.pad_top, height);
      detail::max_row(w, rows.first, rows.last, x + p * height * width, i, width, out_width, out);
    }
  });
}

/// 2-D pooling of `planes` planes (batch * channels), x (planes, H, W) to y (planes, OH, OW). The
/// maximum ignores padding; the average divides by the elements inside the input, or, counting the
/// padding, inside the padded input. `ceil_mode` windows may hang over the padded end.
inline void pool_2d(pool_kind kind, const window_2d& w, std::size_t planes, std::size_t height,
                    std::size_t width, std::size_t out_height, std::size_t out_width,
                    const float* x, float* y, executor_ref executor = {}) {
  if (kind == pool_kind::max)
    return max_pool_2d(w, planes, height, width, out_height, out_width, x, y, executor);
  using detail::taps_inside;
  executor(planes, [&](std::size_t p) {
    const float* plane = x + p * height * width;
    float* out = y + p * out_height * out_width;
    for (std::size_t i = 0; i < out_height; ++i) {
      const detail::tap_range v =
          taps_inside(i, w.stride_h, w.dilation_h, w.kernel_h, w.pad_top, height);
      for (std::size_t j = 0; j < out_width; ++j) {
        const detail::tap_range h =
            taps_inside(j, w.stride_w, w.dilation_w, w.kernel_w, w.pad_left, width);
        float sum = 0.0f;
        for (std::size_t a = v.first; a < v.last; ++a) {
          const float* row = plane + (i * w.stride_h + a * w.dilation_h - w.pad_top) * width;
          for (std::size_t b = h.first; b < h.last; ++b)
            sum += row[j * w.stride_w + b * w.dilation_w - w.pad_left];
        }
        std::size_t count = (v.last - v.first) * (h.last - h.first);
        if (kind == pool_kind::average_with_padding) {
          // Taps inside the padded input: a ceil_mode window may hang over it.
          const detail::tap_range pv = taps_inside(i, w.stride_h, w.dilation_h, w.kernel_h, 0,
                                                   height + w.pad_top + w.pad_bottom);
          const detail::tap_range ph = taps_inside(j, w.stride_w, w.dilation_w, w.kernel_w, 0,
                                                   width + w.pad_left + w.pad_right);
          count = (pv.last - pv.first) * (ph.last - ph.first);
        }
        *out++ = count == 0 ? 0.0f : sum / static_cast<float>(count);
      }
    }
  });
}

}  // namespace qtk::inline QTK_ABI
