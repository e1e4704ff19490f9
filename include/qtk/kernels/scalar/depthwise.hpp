#pragma once

#include "qtk/kernels/depthwise_types.hpp"
#include "qtk/kernels/scalar/plane.hpp"

namespace qtk::inline QTK_ABI::scalar {
#include "../depthwise_body.inl"
}  // namespace qtk::inline QTK_ABI::scalar
