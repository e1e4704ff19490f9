#pragma once

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
