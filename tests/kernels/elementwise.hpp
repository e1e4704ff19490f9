#pragma once

#include <cmath>
#include <cstddef>
#include <qtk/kernels/elementwise.hpp>
#include <vector>

#include "kernels/exact.hpp"
#include "support/catch.hpp"

namespace elementwise_tests {

using namespace qtk;
using qtk_test::exact;

/// The kernels of every ISA under test.
inline std::vector<const elementwise_kernels*> tables() {
  std::vector<const elementwise_kernels*> all;
  for (const isa i : qtk_test::isas_under_test()) all.push_back(&find_elementwise(i));
  return all;
}

/// n samples, or fewer where tests run under an emulator or a sanitizer.
inline std::size_t light(std::size_t n) { return qtk_test::light() ? n / 20 : n; }

/// |got - exact_value| in units of the last place of the float nearest to the exact value.
inline double ulps(float got, double exact_value) {
  if (std::isnan(exact_value)) return std::isnan(got) ? 0.0 : 1e9;
  const auto nearest = static_cast<float>(exact_value);
  if (got == nearest) return 0.0;
  const double ulp = std::max(std::ldexp(1.0, std::ilogb(nearest) - 23), 0x1p-149);
  return std::fabs(static_cast<double>(got) - exact_value) / ulp;
}

}  // namespace elementwise_tests
