#pragma once

/// find_gemm() and what it needs. Kernels and drivers include gemm_types.hpp instead: the
/// definitions come last.
#include "qtk/kernels/gemm_types.hpp"  // IWYU pragma: export

#if !defined(QTK_EXTERN_KERNELS)
#  include "qtk/kernels/all.hpp"  // IWYU pragma: export
#endif
