#pragma once

#include "qtk/kernels/conv_types.hpp"
#include "qtk/kernels/scalar/plane.hpp"

namespace qtk::inline QTK_ABI::scalar {
#include "../conv_rows_body.inl"
}  // namespace qtk::inline QTK_ABI::scalar
