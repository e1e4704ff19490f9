#pragma once

#include <cstring>
#include <utility>

#include "qtk/kernels/scalar/simd.hpp"

namespace qtk::inline QTK_ABI::scalar {
#include "../plane_body.inl"
}  // namespace qtk::inline QTK_ABI::scalar
