#pragma once

#include "qtk/kernels/epilogue.hpp"
#include "qtk/kernels/scalar/plane.hpp"

namespace qtk::inline QTK_ABI::scalar {
#include "../winograd_body.inl"
}  // namespace qtk::inline QTK_ABI::scalar
