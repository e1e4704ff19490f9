#pragma once

#include "qtk/kernels/epilogue.hpp"
#include "qtk/kernels/generic/plane.hpp"

#if QTK_HAS_XSIMD
namespace qtk::inline QTK_ABI::generic {
#  include "../winograd_body.inl"
}  // namespace qtk::inline QTK_ABI::generic
#endif
