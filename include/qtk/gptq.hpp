#pragma once

/// Weights rounded to what matters to the layer's output, from samples of its inputs: GPTQ, AWQ.
///
///     #include <cstdio>
///     #include <qtk/gptq.hpp>
///     int main() {
///       qtk::tensor<qtk::fp32> w({16, 64}), x({256, 64});               // (N, K), (M, K)
///       qtk::hessian h(64);
///       h.add(x);                                                       // any number of batches
///       auto r = qtk::gptq<qtk::int4>(w, h, qtk::per_group(32), {.act_order = true});
///       std::printf("%g -> %g of the output\n", r.error_before, r.error_after);
///       auto a = qtk::awq<qtk::int4>(w, h, qtk::per_group(32));         // x must be divided by
///       a.scales
///     }
///
/// What needs no kernels (clipping, HQQ, SmoothQuant) is behind qtk/quantize.hpp, included here.

#include "qtk/quantize.hpp"
#include "qtk/quantize/awq.hpp"
#include "qtk/quantize/gptq.hpp"
