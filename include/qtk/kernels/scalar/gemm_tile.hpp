#pragma once

#include "qtk/kernels/scalar/simd.hpp"
#include "qtk/kernels/tile.hpp"

/// What the GEMM kernels of this ISA share: the epilogue.
namespace qtk::inline QTK_ABI::scalar {
#include "../gemm_finish_body.inl"
}  // namespace qtk::inline QTK_ABI::scalar
