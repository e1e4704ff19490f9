#include <cmath>
#include <limits>
#include <qtk/core/half.hpp>

#include "support/catch.hpp"

using namespace qtk;

namespace {

/// The value of binary16 bits by its definition.
double value_of(unsigned bits) {
  const int sign = (bits & 0x8000) != 0 ? -1 : 1;
  const int exponent = static_cast<int>((bits >> 10) & 31);
  const double fraction = bits & 1023;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

}  // namespace

TEST_CASE("every half converts to its value and back", "[core]") {
  int wrong = 0;
  for (unsigned i = 0; i < 65536; ++i) {
    const half h{static_cast<std::uint16_t>(i)};
    const float f = to_float(h);
    if (((i >> 10) & 31) == 31) {
      wrong += (i & 1023) != 0 ? !std::isnan(f) : !std::isinf(f);
      wrong += (i & 1023) != 0 ? !std::isnan(to_float(to_half(f))) : !(to_half(f) == h);
    } else {
      wrong += static_cast<double>(f) != value_of(i);
      wrong += !(to_half(f) == h);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("between two halves the nearer wins, a tie goes to even", "[core]") {
  int wrong = 0;
  for (unsigned i = 0; i < 0x7bff; ++i) {  // every finite positive half and its successor
    const double a = value_of(i), b = value_of(i + 1);
    const auto middle = static_cast<float>((a + b) / 2);  // exact
    wrong += to_half(middle).bits != (i % 2 == 0 ? i : i + 1);
    wrong += to_half(std::nextafter(middle, 0.0f)).bits != i;
    wrong += to_half(std::nextafter(middle, 1e9f)).bits != i + 1;
    wrong += to_half(-middle).bits != (0x8000u | (i % 2 == 0 ? i : i + 1));
  }
  CHECK(wrong == 0);
  CHECK(to_half(65519.996f).bits == 0x7bff);
  CHECK(to_half(65520.0f).bits == 0x7c00);
  CHECK(to_half(1e30f).bits == 0x7c00);
  CHECK(to_half(1e-30f).bits == 0);
}

TEST_CASE("bfloat16 rounds to nearest even and keeps NaN", "[core]") {
  int wrong = 0;
  for (unsigned i = 0; i < 0x7f7f; ++i) {
    const float a = to_float(bfloat16{static_cast<std::uint16_t>(i)});
    const auto middle = std::bit_cast<float>((i << 16) | 0x8000u);
    wrong += to_bfloat16(a).bits != i;
    wrong += to_bfloat16(middle).bits != (i % 2 == 0 ? i : i + 1);
    wrong += to_bfloat16(std::nextafter(middle, 0.0f)).bits != i;
  }
  CHECK(wrong == 0);
  CHECK(std::isnan(to_float(to_bfloat16(std::numeric_limits<float>::signaling_NaN()))));
  CHECK(std::isinf(to_float(to_bfloat16(std::numeric_limits<float>::max()))));
}
