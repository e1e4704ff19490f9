#pragma once

#include "qtk/kernels/elementwise.hpp"
#include "qtk/ops/window.hpp"
#include "qtk/quantize/quantize.hpp"

namespace qtk::inline QTK_ABI {

/// How an image lies in memory for a convolution: rows with their padding written out, columns
/// sorted by their remainder modulo the stride, so that the pixels of an output row are neighbors.
struct image_arrangement {
  std::size_t height, phase, width, plane;  // rows, columns of one remainder, of all; elements

  image_arrangement(const shape& x, const window_2d& w) noexcept
      : height(x[2] + w.pad_top + w.pad_bottom),
        phase(ceil_div(x[3] + w.pad_left + w.pad_right, w.stride_w)),
        width(phase * w.stride_w),
        plane(height * width) {}

  /// Where tap (i, j) of a channel lies for output pixel 0.
  [[nodiscard]] std::size_t tap(const window_2d& w, std::size_t i, std::size_t j) const noexcept {
    const std::size_t column = j * w.dilation_w;
    return i * w.dilation_h * width + column % w.stride_w * phase + column / w.stride_w;
  }
};

/// Scale and zero point of an image that is quantized to uint8 on the way in (ONNX
/// DynamicQuantizeLinear).
[[nodiscard]] inline block_scale image_codes(const elementwise_kernels& k, std::size_t elements,
                                             const float* image) {
  value_range range;
  k.minmax(elements, image, &range.lo, &range.hi);
  return choose_params(range, codes_of<uint8>, symmetry::asymmetric);
}

}  // namespace qtk::inline QTK_ABI
