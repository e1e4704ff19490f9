#pragma once

#include <algorithm>

#include "qtk/core/shape.hpp"

namespace qtk::inline QTK_ABI {

/// Geometry of a 2-D convolution or pooling (ONNX Conv, Pool): all in elements.
struct window_2d {
  std::size_t kernel_h = 1, kernel_w = 1;
  std::size_t stride_h = 1, stride_w = 1;
  std::size_t dilation_h = 1, dilation_w = 1;
  std::size_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;

  /// out = floor((in + pads - dilation * (kernel - 1) - 1) / stride) + 1; qtk::error where the
  /// window is larger than the padded input.
  [[nodiscard]] std::size_t out_height(std::size_t in) const {
    return extent(in, pad_top + pad_bottom, kernel_h, stride_h, dilation_h);
  }
  [[nodiscard]] std::size_t out_width(std::size_t in) const {
    return extent(in, pad_left + pad_right, kernel_w, stride_w, dilation_w);
  }

  [[nodiscard]] static std::size_t extent(std::size_t in, std::size_t pads, std::size_t kernel,
                                          std::size_t stride, std::size_t dilation) {
    const std::size_t reach = checked_add(checked_mul(dilation, kernel - 1), 1, "window");
    const std::size_t padded = checked_add(in, pads, "window");
    QTK_CHECK(kernel > 0 && stride > 0 && dilation > 0, "window", "kernel ", kernel, ", stride ",
              stride, ", dilation ", dilation);
    QTK_CHECK(reach <= padded, "window", "spans ", reach, " of an input of ", padded);
    return (padded - reach) / stride + 1;
  }
};

struct row_range {
  std::size_t begin, end;
  [[nodiscard]] constexpr std::size_t size() const noexcept { return end - begin; }
};

/// Where rows of an image are: row r >= first_row of channel c begins c * stride + (r - first_row)
/// * width elements after the first.
struct row_layout {
  std::size_t first_row = 0;
  std::size_t stride = 0;
  std::size_t size = 0;  // elements that may be read, from there on; of what is read
};

/// Some output rows of a window over an image, as those of a smaller image: the rows that it reads,
/// padded above and below where it reaches over the ends of the whole one.
struct window_band {
  row_range rows;    // of the image
  window_2d window;  // over them

  window_band(const window_2d& w, std::size_t height, row_range out) noexcept : window(w) {
    const std::size_t begin = out.begin * w.stride_h,
                      end = (out.end - 1) * w.stride_h + reach(w);  // of the padded image
    const auto inside = [&](std::size_t r) { return std::min(r - std::min(r, w.pad_top), height); };
    rows = {inside(begin), inside(end)};
    window.pad_top = std::min(w.pad_top - std::min(w.pad_top, begin), end - begin);
    window.pad_bottom = end - begin - std::min(end - begin, window.pad_top + rows.size());
  }
  /// Rows that a window spans.
  [[nodiscard]] static std::size_t reach(const window_2d& w) noexcept {
    return (w.kernel_h - 1) * w.dilation_h + 1;
  }
};

namespace detail {

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

}  // namespace qtk::inline QTK_ABI
