#pragma once

/// Static post-training quantization: from the values that a layer meets to the scales it runs
/// with.
///
///     #include <cstdio>
///     #include <qtk/calibrate.hpp>
///     int main() {
///       qtk::any_observer how(qtk::parse_calibration("entropy"), qtk::codes_of<qtk::uint8>,
///                             qtk::symmetry::asymmetric);
///       qtk::tensor_observer seen(qtk::per_tensor(), how);
///       for (int batch = 0; batch < 10; ++batch)
///         seen.observe(qtk::tensor<qtk::fp32>({1, 4}, {0.1f, 0.7f, 0.3f, 1.9f}));  // activations
///       qtk::block_scale x = seen.params<qtk::uint8>()[0];
///       float m = qtk::requantize_multiplier(x.scale, 0.02f, 0.1f);               // s_x s_w / s_y
///       std::printf("code %d\n", qtk::requantize(1000, m, 0, qtk::codes_of<qtk::uint8>));
///     }
///
///   how a range is chosen    min_max, moving_average, percentile, entropy, mse; any_observer: by
///                            name at run time. All but moving_average see the data as a set.
///   for a tensor             tensor_observer, one observer for it or for each channel
///   on the way back to codes requantize
///   repairs of weights       equalize before quantization, correct_bias after it

#include "qtk/quantize.hpp"
#include "qtk/quantize/bias_correction.hpp"
#include "qtk/quantize/calibration.hpp"
#include "qtk/quantize/equalize.hpp"
#include "qtk/quantize/requantize.hpp"
#include "qtk/quantize/tensor_observer.hpp"
