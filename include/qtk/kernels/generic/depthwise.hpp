#pragma once

#include "qtk/kernels/depthwise_types.hpp"
#include "qtk/kernels/generic/plane.hpp"

#if QTK_HAS_XSIMD
namespace qtk::inline QTK_ABI::generic {
#  include "../depthwise_body.inl"
}  // namespace qtk::inline QTK_ABI::generic
#endif
