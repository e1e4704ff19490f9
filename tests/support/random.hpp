#pragma once

#include <cstdint>
#include <qtk/tensor.hpp>
#include <random>

namespace qtk_test {

/// Uniform floats in [lo, hi), the same on every platform (std:: distributions are not).
inline qtk::tensor<qtk::fp32> random_tensor(const qtk::shape& s, std::uint32_t seed,
                                            float lo = -1.0f, float hi = 1.0f) {
  std::mt19937 generator(seed);
  qtk::tensor<qtk::fp32> t(s);
  for (float& x : t.span())
    x = lo + (hi - lo) * static_cast<float>(generator() >> 8) * (1.0f / 16777216.0f);
  return t;
}

}  // namespace qtk_test
