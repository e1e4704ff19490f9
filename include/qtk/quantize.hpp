#pragma once

/// FP32 to FP16, BF16, INT8 and INT4 and back, and what it cost.
///
///     #include <cstdio>
///     #include <qtk/quantize.hpp>
///     int main() {
///       qtk::tensor<qtk::fp32> w({2, 4}, {0.1f, -0.7f, 0.3f, 0.9f, 4.0f, -2.0f, 1.0f, 3.0f});
///       auto w8 = qtk::quantize<qtk::int8>(w, qtk::per_channel(0));     // one scale per row
///       auto w4 = qtk::quantize<qtk::int4>(w, qtk::per_group(32));      // two codes per byte
///       auto wh = qtk::quantize<qtk::fp16>(w);
///       std::printf("code %d, scale %g\n", w8.at(0, 1), w8.quantization().scales[0]);
///       qtk::error_metrics e = qtk::compare(w, qtk::dequantize(w4));
///       std::printf("int4: %.1f dB, %zu bytes\n", e.sqnr_db, w4.size_bytes());
///     }
///
/// real = scale * (code - zero_point). Equal bytes on every CPU, compiler and number of threads;
/// NaN and infinities raise qtk::error with their place. Ranges chosen from data:
/// qtk/calibrate.hpp.

#include "qtk/quantize/clip.hpp"
#include "qtk/quantize/hqq.hpp"
#include "qtk/quantize/metrics.hpp"
#include "qtk/quantize/mixed_precision.hpp"
#include "qtk/quantize/quantize.hpp"
#include "qtk/quantize/smoothquant.hpp"
#include "qtk/tensor.hpp"
