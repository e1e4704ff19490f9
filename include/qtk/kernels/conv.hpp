#pragma once

/// find_conv() and what it needs. Kernels and drivers include conv_types.hpp instead.
#include "qtk/kernels/conv_types.hpp"  // IWYU pragma: export

#if !defined(QTK_EXTERN_KERNELS)
#  include "qtk/kernels/all.hpp"  // IWYU pragma: export
#endif
