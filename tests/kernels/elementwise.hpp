#pragma once

#include <cmath>
#include <cstdlib>
#include <memory>
#include <qtk/kernels/elementwise.hpp>
#include <vector>

#include "support/catch.hpp"

namespace elementwise_tests {

using namespace qtk;

/// The kernels of every ISA that this CPU runs, or of the one that QTK_ISA forces.
inline std::vector<const elementwise_kernels*> tables() {
  std::vector<const elementwise_kernels*> all;
  for (const isa i : all_isas)
    if (supported(i) && (std::getenv("QTK_ISA") == nullptr || i == active_isa()))
      all.push_back(&find_elementwise(i));
  return all;
}

/// A heap buffer of exactly n elements, so that a sanitizer traps the first one past the end.
template <class T>
struct exact {
  explicit exact(std::size_t n) : size(n), data(new T[n]()) {}
  std::size_t size;
  std::unique_ptr<T[]> data;
  T* get() { return data.get(); }
  T& operator[](std::size_t i) { return data[i]; }
};

/// Fewer samples where tests run under an emulator or a sanitizer.
inline std::size_t light(std::size_t n) {
  return std::getenv("QTK_TEST_LIGHT") != nullptr ? n / 20 : n;
}

/// |got - exact_value| in units of the last place of the float nearest to the exact value.
inline double ulps(float got, double exact_value) {
  if (std::isnan(exact_value)) return std::isnan(got) ? 0.0 : 1e9;
  const auto nearest = static_cast<float>(exact_value);
  if (got == nearest) return 0.0;
  const double ulp = std::max(std::ldexp(1.0, std::ilogb(nearest) - 23), 0x1p-149);
  return std::fabs(static_cast<double>(got) - exact_value) / ulp;
}

}  // namespace elementwise_tests
