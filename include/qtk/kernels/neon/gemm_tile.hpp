#pragma once

#include "qtk/kernels/neon/simd.hpp"
#include "qtk/kernels/tile.hpp"

#if QTK_AARCH64
/// What the GEMM kernels of this ISA share: the epilogue and the shape of the register tile.
namespace qtk::inline QTK_ABI::neon {

/// Panels of 16 columns, four registers wide, that `rows` rows take at once: 24 accumulators at
/// most leave 8 of the 32 registers for weights and broadcast.
constexpr std::size_t panels_for(std::size_t rows) { return rows <= 3 ? 2 : 1; }

#  include "../gemm_finish_body.inl"

}  // namespace qtk::inline QTK_ABI::neon
#endif
