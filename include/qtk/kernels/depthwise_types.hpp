#pragma once

#include "qtk/kernels/gemm_types.hpp"

/// Depthwise convolutions: a filter for each channel of an image. Declares only.
///
///   y (channel, pixel) = f(scale * sum over taps of W (channel, tap) * X (channel, pixel, tap)
///                          + bias + residual)
///
/// There is one row of products for each channel, so that nothing is packed: pixels lie along the
/// vectors and taps are loads from the channel's plane. Codes come as floats, less their zero
/// point: their sums are integers below 2^24, and exact.
namespace qtk::inline QTK_ABI {

/// So many taps at most are exact where the operands are codes: 255 * 128 * taps < 2^24.
inline constexpr std::size_t max_depthwise_taps = 514;

struct depthwise_args {
  std::size_t channels = 0;
  const float* image = nullptr;  // (channels, height, width)
  std::size_t height = 0, width = 0;
  std::size_t image_stride = 0;  // elements from one channel to the next, likewise y_stride

  /// A plane is one channel with its padding written out and its columns sorted by their remainder
  /// modulo stride_w, `phase` of each: the pixels of an output row are then neighbors.
  /// Room for two of plane_rows * stride_w * phase + depthwise_kernel::width elements.
  float* planes = nullptr;
  std::size_t plane_rows = 0, phase = 0;
  std::size_t pad_top = 0, pad_left = 0;

  std::size_t stride_h = 1, stride_w = 1;
  std::size_t taps = 0;
  const std::size_t* offsets = nullptr;  // (taps): element of the plane for output pixel 0
  bool square = false;  // 3 x 3 without dilation, stride_h <= 2: offsets by rows of the plane

  const float* weights = nullptr;  // (channels, taps)
  const float* scales = nullptr;   // codes: (channels), times image_scale; null: 1
  float image_scale = 1.0f;
  float* y = nullptr;  // (channels, out_height, out_width)
  std::size_t out_height = 0, out_width = 0, y_stride = 0;
  epilogue out{};  // bias (channels); residual like y
};

struct depthwise_kernel {
  isa target;
  std::size_t width;  // floats of a vector
  const char* name;
  void (*run)(const depthwise_args& args);
};

/// The kernel for `i`, or the best one below where that ISA has none of its own.
[[nodiscard]] QTK_KERNEL_FUNCTION const depthwise_kernel& find_depthwise(isa i);

}  // namespace qtk::inline QTK_ABI
