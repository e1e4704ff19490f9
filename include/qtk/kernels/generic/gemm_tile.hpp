#pragma once

#include "qtk/kernels/generic/simd.hpp"
#include "qtk/kernels/tile.hpp"

#if QTK_HAS_XSIMD
/// What the GEMM kernels of this ISA share: the epilogue.
namespace qtk::inline QTK_ABI::generic {
#  include "../gemm_finish_body.inl"
}  // namespace qtk::inline QTK_ABI::generic
#endif
