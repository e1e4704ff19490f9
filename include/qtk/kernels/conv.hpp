#pragma once

/// find_conv(), find_depthwise(), find_winograd() and what they need. Kernels and drivers include
/// the types instead.
#include "qtk/kernels/conv_types.hpp"       // IWYU pragma: export
#include "qtk/kernels/depthwise_types.hpp"  // IWYU pragma: export
#include "qtk/kernels/winograd_types.hpp"   // IWYU pragma: export

#if !defined(QTK_EXTERN_KERNELS)
#  include "qtk/kernels/all.hpp"  // IWYU pragma: export
#endif
