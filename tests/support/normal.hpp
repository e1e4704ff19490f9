#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace qtk_test {

/// n values of the normal distribution (Box and Muller).
inline std::vector<float> normal(std::size_t n, std::uint32_t seed, float deviation = 1.0f) {
  std::mt19937 generator(seed);
  const auto uniform = [&] { return (static_cast<double>(generator()) + 0.5) / 4294967296.0; };
  std::vector<float> x(n);
  for (float& v : x)
    v = deviation * static_cast<float>(std::sqrt(-2.0 * std::log(uniform())) *
                                       std::cos(6.283185307179586 * uniform()));
  return x;
}

}  // namespace qtk_test
