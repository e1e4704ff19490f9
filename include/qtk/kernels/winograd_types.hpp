#pragma once

#include "qtk/kernels/conv_types.hpp"

/// 3 x 3 convolutions of fp32 with stride 1 by Winograd's F(2 x 2, 3 x 3) (Lavin and Gray, "Fast
/// algorithms for convolutional neural networks", 2015). Declares only.
///
///   y (o) = A^T [sum over c of (G g (o, c) G^T) * (B^T d (c) B)] A
///
/// for each tile of 2 x 2 output pixels and the 4 x 4 pixels d of the image under it: 16
/// multiplications instead of 36. For each of the 16 places they are a product of matrices, filters
/// by tiles, and the microkernels of GEMM compute it.
///
/// G has entries of 1/2 and 1, A and B of 1; filters are transformed in double. With u = G g G^T,
///   |error| <= (C + 16) * 2^-24 * |A^T| [sum over c of |u| * (|B^T| |d| |B|)] |A|
/// which is more than a sum of products has where neighbors cancel; measured, errors are smaller
/// (64 channels of uniform numbers: at most 2e-6 where that has 5e-6). An infinity or a NaN reaches
/// all pixels of the tiles that it lies under, and pixels from a quarter of the largest float on
/// may become infinite.
namespace qtk::inline QTK_ABI {

/// Tiles [tile_begin, tile_end) of one image, counted by rows, and filters by tiles of mr. Nothing
/// is allocated.
struct winograd_args {
  std::size_t tile_begin = 0, tile_end = 0;
  std::size_t filter_begin = 0, filter_end = ~std::size_t{0};  // as many as there are
  const float* image = nullptr;                                // (C, height, width)
  std::size_t height = 0, width = 0, pad_top = 0, pad_left = 0;
  std::size_t image_stride = 0;   // elements from one channel to the next, likewise y_stride
  const void* filters = nullptr;  // packed by the same kernel
  float* y = nullptr;             // (O, out_height, out_width)
  std::size_t out_height = 0, out_width = 0, y_stride = 0;
  epilogue out{};             // bias (O); residual like y
  void* workspace = nullptr;  // winograd_kernel::workspace_bytes, 64-byte aligned
};

struct winograd_kernel {
  isa target;
  const char* name;
  std::size_t mr, nr;  // filters and tiles at once
  std::size_t (*packed_bytes)(std::size_t O, std::size_t C);
  /// Filters (O, C * 9), row-major.
  void (*pack)(std::size_t O, std::size_t C, const float* filters, void* packed);
  std::size_t (*workspace_bytes)(std::size_t O, std::size_t C, std::size_t out_height,
                                 std::size_t out_width);
  void (*run)(const winograd_args& args);
};

/// The kernel for `i`, or the best one below where that ISA has none of its own.
[[nodiscard]] QTK_KERNEL_FUNCTION const winograd_kernel& find_winograd(isa i);

}  // namespace qtk::inline QTK_ABI
