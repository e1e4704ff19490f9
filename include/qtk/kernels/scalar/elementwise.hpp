#pragma once

#include "qtk/kernels/elementwise_types.hpp"
#include "qtk/kernels/scalar/simd.hpp"

namespace qtk::inline QTK_ABI::scalar {
#include "../elementwise_body.inl"
}  // namespace qtk::inline QTK_ABI::scalar
