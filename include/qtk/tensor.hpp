#pragma once

/// Tensors over FP32, FP16, BF16, INT8 and INT4 storage.
///
///     #include <qtk/tensor.hpp>
///     qtk::tensor<qtk::fp32> w({2, 3}, {1, 2, 3, 4, 5, 6});       // (rows, columns), owned
///     qtk::tensor_view<const qtk::fp32> v = w;                    // borrowed
///     float x = v.at(1, 2);                                       // 6
///     qtk::tensor<qtk::int4> codes({2, 3});                       // two codes per byte
///     qtk::any_tensor any = codes;                                // any.dtype() ==
///     qtk::dtype::int4
///
/// Misuse raises qtk::error, which says what and where.

#include "qtk/core/executor.hpp"
#include "qtk/core/tensor.hpp"
