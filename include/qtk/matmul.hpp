#pragma once

/// Matrix products on weights packed for the CPU that the program finds itself on.
///
///     #include <qtk/matmul.hpp>
///     #include <qtk/quantize.hpp>
///     qtk::tensor<qtk::fp32> w({256, 1024}), x({8, 1024}), y({8, 256});  // (N, K), (M, K), (M, N)
///     auto w8 = qtk::quantize<qtk::int8>(w, qtk::per_channel(0));
///     qtk::linear layer(w8);                       // packs once
///     layer(x, y);                                 // y = x * w^T, rows of x quantized on the fly
///     layer(x, y, {.act = qtk::activation::relu});
///     std::puts(layer.weights().explain().c_str());  // which kernel, and how many bytes
///
/// The kernel is chosen at run time (AVX-512-VNNI, AVX2, NEON, portable); no -m flag is needed.
/// Integer products are exact: u8 x s8 never saturates, on any CPU.

#include "qtk/ops/linear.hpp"
