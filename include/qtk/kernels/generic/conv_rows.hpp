#pragma once

#include "qtk/kernels/conv_types.hpp"
#include "qtk/kernels/generic/plane.hpp"

#if QTK_HAS_XSIMD
namespace qtk::inline QTK_ABI::generic {
#  include "../conv_rows_body.inl"
}  // namespace qtk::inline QTK_ABI::generic
#endif
