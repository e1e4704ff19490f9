#pragma once

/// find_elementwise(), find_probe() and what they need. Kernels include elementwise_types.hpp
/// instead: the definitions come last.
#include "qtk/kernels/elementwise_types.hpp"  // IWYU pragma: export

#if !defined(QTK_EXTERN_KERNELS)
#  include "qtk/kernels/all.hpp"  // IWYU pragma: export
#endif
