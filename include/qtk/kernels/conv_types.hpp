#pragma once

#include "qtk/kernels/gemm_types.hpp"
#include "qtk/kernels/k_layout.hpp"

/// The table of convolution kernels, as gemm_types.hpp is for products. Declares only.
///
///   y (O, pixels) = f(W (O, K) * X (K, pixels) + bias + residual)
///
/// Row k of X is one tap of the window as it slides over the image. It is never written out: where
/// the output pixels of a row are neighbors in the image, a piece of row k is a piece of the image,
/// `offsets[k]` elements away. So pixels lie along the vectors, weights are what is broadcast, and
/// y is stored in NCHW as it comes.
namespace qtk::inline QTK_ABI {

///   f32     fp32 weights and image
///   int8    an image of 8-bit codes with one scale and zero point, int8 weights with a scale for
///           each filter or for each group along K; int32 within a group, exact, fp32 across groups
///           in ascending order
enum class conv_op : std::uint8_t { f32, int8 };

inline constexpr std::size_t conv_op_count = 2;

[[nodiscard]] constexpr const char* name(conv_op op) noexcept {
  return op == conv_op::f32 ? "f32" : "int8";
}

/// Filters as the packer reads them: (O, K), row-major.
struct conv_filters {
  std::size_t O = 0, K = 0;
  const void* data = nullptr;     // float or int8
  std::size_t group_size = 0;     // int8: elements of K that share a scale; K for per channel
  const float* scales = nullptr;  // int8: (O, ceil(K / group_size))
};

/// Pixels [pixel_begin, pixel_end) of one image, filters by tiles of mr. Nothing is allocated.
struct conv_args {
  std::size_t pixel_begin = 0, pixel_end = 0;
  std::size_t tile_begin = 0, tile_end = ~std::size_t{0};  // as many as there are
  std::size_t out_width = 0;             // pixels of an output row, neighbors in `image`
  std::size_t row_step = 0;              // elements of `image` from one output row to the next
  const void* image = nullptr;           // float or codes; padding written out
  std::size_t image_size = 0;            // elements that may be read
  const std::size_t* offsets = nullptr;  // (packed_k): element of row k for pixel 0, by
                                         // k_layout::position; 0 where k is padding
  bool steps = false;                    // int8: `image` is one of steps, kr codes for a pixel, as
                                         // conv_kernel::spread makes them; they are the elements,
                                         // and `offsets` are (packed_k / kr)
  float image_scale = 1.0f;              // int8: real = scale * (code - zero_point)
  std::int32_t image_zero_point = 0;
  const void* filters = nullptr;  // packed by the same kernel
  float* y = nullptr;             // element (o, pixel) is y[o * y_stride + pixel]
  std::size_t y_stride = 0;
  epilogue out{};             // bias (O); residual like y
  epilogue_codes codes{};     // residual and y like y, in its place
  void* workspace = nullptr;  // conv_kernel::workspace_bytes, 64-byte aligned, one for each thread
};

/// An image spread out for one convolution: a plane for each column of the window, its rows as long
/// as those of the output, so that each tap meets a run of output pixels as a run of its plane,
/// over the ends of rows too. Planes (channels, kernel_w, phases, rows, out_width): plane row r of
/// phase p is row first_row + r * stride_h + p of the padded image.
/// Of codes, so many that are a float's size are moved as one: a channel is that many of them, and
/// a pixel of a plane their codes.
struct conv_spread {
  const float* image = nullptr;         // (channels, height, width)
  const std::uint8_t* codes = nullptr;  // (channels, sizeof(float), height, width), in its place
  std::uint8_t padding = 0;             // of codes
  bool integer = false;
  std::size_t channels = 0, height = 0, width = 0;
  std::size_t image_stride = 0;  // elements from one channel of floats or of codes to the next
  std::size_t kernel_w = 1, dilation_w = 1, stride_h = 1, stride_w = 1;
  std::size_t pad_top = 0, pad_left = 0;
  std::size_t first_row = 0;
  std::size_t phases = 1, rows = 0, out_width = 0;
  std::size_t phase = 0;     // columns of the padded image with one remainder modulo stride_w
  float* planes = nullptr;   // and room for nr more
  float* scratch = nullptr;  // spread_scratch() elements
};

/// Elements of conv_spread::scratch: two channels as image_arrangement has them; of codes, also one
/// as it is.
[[nodiscard]] constexpr std::size_t spread_scratch(const conv_spread& s, std::size_t nr) noexcept {
  const std::size_t rows = (s.rows - 1) * s.stride_h + s.phases;
  return 2 * (rows * s.stride_w * s.phase + nr) + (s.integer ? rows * s.width + 4 * nr : 0);
}

/// One kernel: the tile of a GEMM kernel, mr filters x nr pixels, with k in steps of kr.
struct conv_kernel {
  conv_op op;
  isa target;
  const char* name;
  std::size_t mr, nr, kr;
  bool signed_image;  // int8: codes of the image are int8, else uint8
  /// Bytes of the filters packed, 64-byte aligned storage expected.
  std::size_t (*packed_bytes)(std::size_t O, std::size_t K, std::size_t group_size);
  void (*pack)(const conv_filters& filters, void* packed);
  /// The filters again: weights or their codes (O, K), scales (O, groups) where there are some.
  void (*unpack)(const void* packed, float* weights, float* scales);
  /// For a call with so many pixels, or fewer.
  std::size_t (*workspace_bytes)(std::size_t O, std::size_t K, std::size_t group_size,
                                 std::size_t pixels);
  void (*run)(const conv_args& args);
  /// run() doesn't pack the pixels of an image that this has spread out. Null: no such way. Codes
  /// (kr = 4) want filters whose K is (channels / kr, taps, kr).
  void (*spread)(const conv_spread& image);
};

/// The kernel of `op` for `i`, or the best one below where that ISA has none of its own.
[[nodiscard]] QTK_KERNEL_FUNCTION const conv_kernel& find_conv(conv_op op, isa i);

}  // namespace qtk::inline QTK_ABI
