#pragma once

#include <cmath>
#include <cstdint>
#include <qtk/tensor.hpp>
#include <random>

#include "support/random.hpp"

/// Weights and inputs as calibration meets them. Whole numbers and single products, so that no
/// compiler can change a bit.
namespace qtk_test {

/// (M, K): sums of 16 neighbours of white noise, so that channels near each other are alike.
inline qtk::tensor<qtk::fp32> correlated_inputs(std::size_t M, std::size_t K, std::uint32_t seed) {
  std::mt19937 generator(seed);
  qtk::tensor<qtk::fp32> x({M, K});
  int recent[16] = {};
  int sum = 0;
  for (std::size_t i = 0; i < M * K; ++i) {
    int& oldest = recent[i % 16];
    sum -= oldest;
    oldest = static_cast<int>(generator() >> 25) - 64;
    sum += oldest;
    x.data()[i] = static_cast<float>(sum) / 256.0f;
  }
  return x;
}

/// Every `every`-th column times `factor`.
inline void scale_columns(qtk::tensor<qtk::fp32>& x, std::size_t every, float factor) {
  for (std::size_t i = 0; i < x.elements(); ++i)
    if (i % x.cols() % every == 0) x.data()[i] *= factor;
}

/// Most are below 1, a few up to 20.
inline qtk::tensor<qtk::fp32> heavy_tailed(const qtk::shape& s, std::uint32_t seed) {
  auto w = random_tensor(s, seed);
  for (float& v : w.span()) v /= 1.05f - std::fabs(v);
  return w;
}

/// Sums of four uniform values: close to normal.
inline qtk::tensor<qtk::fp32> bell_shaped(const qtk::shape& s, std::uint32_t seed) {
  auto w = random_tensor(s, seed);
  for (std::uint32_t i = 1; i < 4; ++i) {
    const auto more = random_tensor(s, seed + 1000 * i);
    for (std::size_t k = 0; k < w.elements(); ++k) w.data()[k] += more.data()[k];
  }
  return w;
}

}  // namespace qtk_test
