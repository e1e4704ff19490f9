#pragma once

#include <cstring>
#include <utility>

#include "qtk/kernels/generic/simd.hpp"

#if QTK_HAS_XSIMD
namespace qtk::inline QTK_ABI::generic {
#  include "../plane_body.inl"
}  // namespace qtk::inline QTK_ABI::generic
#endif
