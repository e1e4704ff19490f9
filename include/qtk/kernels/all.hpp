#pragma once

/// Defines what gemm.hpp, conv.hpp and elementwise.hpp declare: every kernel that this compiler can
/// build. A project with many translation units defines QTK_EXTERN_KERNELS in all of them and
/// QTK_KERNELS_IMPLEMENTATION in one that includes this file.

#include "qtk/kernels/conv_table.hpp"
#include "qtk/kernels/depthwise_table.hpp"
#include "qtk/kernels/elementwise_table.hpp"
#include "qtk/kernels/gemm_table.hpp"
#include "qtk/kernels/winograd_table.hpp"
