#include <cmath>
#include <limits>
#include <qtk/tensor.hpp>

#include "support/catch.hpp"

using namespace qtk;

namespace {

/// All codes keep their value over float; what lies between two numbers goes to the nearer one, and
/// from the middle to the even code.
template <class T>
void check_rounding(float largest) {
  float previous = 0;
  for (std::uint32_t code = 0; code <= T::largest; ++code) {
    const T x{static_cast<std::uint8_t>(code)};
    const float value = to_float(x);
    CAPTURE(code, value);
    REQUIRE(T::of(value) == x);
    if (code != 0) {
      REQUIRE(value > previous);
      const float middle = previous + (value - previous) / 2;
      const auto even = static_cast<std::uint8_t>(code % 2 == 0 ? code : code - 1);
      CHECK(T::of(middle).bits == even);
      CHECK(T::of(std::nextafter(middle, 1e9f)).bits == code);
      CHECK(T::of(std::nextafter(middle, -1e9f)).bits == code - 1);
      CHECK(to_float(T::of(-value)) == -value);
    }
    previous = value;
  }
  CHECK(previous == largest);
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const float x : {infinity, largest * 1.5f, 3e38f}) {
    CHECK(to_float(T::of(x)) == largest);
    CHECK(to_float(T::of(-x)) == -largest);
  }
  CHECK(T::of(1e-30f).bits == 0);
  CHECK(T::of(1e-45f).bits == 0);
}

}  // namespace

TEST_CASE("floats of 8 and 4 bits round to nearest even and saturate", "[core]") {
  check_rounding<e4m3fn>(448);
  check_rounding<e4m3fnuz>(240);
  check_rounding<e5m2>(57344);
  check_rounding<e5m2fnuz>(57344);
  check_rounding<e2m1>(6);
}

TEST_CASE("what no small float holds", "[core]") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(e4m3fn::of(nan).bits == 0x7f);
  CHECK(e4m3fn::of(1e9f, false).bits == 0x7f);
  CHECK(e5m2::of(infinity, false).bits == 0x7c);
  CHECK(e5m2::of(-1e9f, false).bits == 0xfc);
  CHECK(std::isinf(to_float(e5m2{0x7c})));
  CHECK(std::isnan(to_float(e5m2{0x7d})));
  CHECK(e4m3fnuz::of(nan).bits == 0x80);
  CHECK(e5m2fnuz::of(-infinity, false).bits == 0x80);
  CHECK(e5m2fnuz::of(-0.0f).bits == 0);
  CHECK(std::isnan(to_float(e4m3fnuz{0x80})));
  CHECK(std::signbit(to_float(e4m3fn::of(-0.0f))));
  CHECK(e2m1::of(nan).bits == 8);
}

TEST_CASE("powers of two round as asked", "[core]") {
  using enum e8m0::rounding;
  CHECK(to_float(e8m0::of(1.1f, true, up)) == 2);
  CHECK(to_float(e8m0::of(1.9f, true, down)) == 1);
  CHECK(to_float(e8m0::of(1.4f, true, nearest)) == 1);
  CHECK(to_float(e8m0::of(1.5f, true, nearest)) == 2);
  CHECK(to_float(e8m0::of(0.0f)) == 0x1p-127f);
  CHECK(to_float(e8m0::of(3e38f)) == 0x1p127f);
  CHECK(std::isnan(to_float(e8m0::of(3e38f, false))));
  for (int code = 0; code < 255; ++code) {
    const e8m0 x{static_cast<std::uint8_t>(code)};
    for (const auto how : {up, down, nearest}) CHECK(e8m0::of(to_float(x), true, how) == x);
  }
}

TEST_CASE("formats of 2 and 4 bits share bytes", "[core]") {
  const tensor<int2> a({2, 5}, {-2, -1, 0, 1, -2, 1, 1, 0, -1, -2});
  CHECK(a.span().size() == 4);
  CHECK(a.at(0, 0) == -2);
  CHECK(a.at(0, 4) == -2);
  CHECK(a.at(1, 3) == -1);
  const tensor<uint2> b({3}, {3, 0, 2});
  CHECK(b.data()[0] == 0b100011);
  tensor<float4e2m1> c({3});
  c.view().set(0, 1, e2m1::of(-6));
  CHECK(c.data()[0] == 0xf0);
  CHECK(to_float(c.at(0, 1)) == -6);
}
