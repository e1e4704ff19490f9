#pragma once

#include "qtk/kernels/elementwise_types.hpp"
#include "qtk/kernels/generic/simd.hpp"

#if QTK_HAS_XSIMD
namespace qtk::inline QTK_ABI::generic {
#  include "../elementwise_body.inl"
}  // namespace qtk::inline QTK_ABI::generic
#endif
