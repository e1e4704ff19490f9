#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <qtk/calibrate.hpp>
#include <random>

#include "support/catch.hpp"

using namespace qtk;

namespace {
constexpr std::int32_t lowest = std::numeric_limits<std::int32_t>::min();
constexpr std::int32_t highest = std::numeric_limits<std::int32_t>::max();

double value(fixed_point m) { return std::ldexp(static_cast<double>(m.mantissa), m.shift - 31); }

/// gemmlowp's two steps as its documentation states them, in long double.
std::int64_t gemmlowp(std::int32_t acc, fixed_point m) {
  const auto saturated = [](long double x) {
    return std::min(std::max(x, static_cast<long double>(lowest)),
                    static_cast<long double>(highest));
  };
  const long double left = m.shift > 0 ? std::ldexp(1.0L, m.shift) : 1.0L;
  const long double high =
      saturated(std::round(static_cast<long double>(acc) * left * m.mantissa / 2147483648.0L));
  return std::llround(m.shift < 0 ? std::ldexp(high, m.shift) : high);
}

float random_scale(std::mt19937& generator) {
  return std::ldexp(1.0f + static_cast<float>(generator() >> 9) * 0x1p-23f,
                    -static_cast<int>(generator() % 16));
}
}  // namespace

TEST_CASE("fixed_point is the nearest of 31 bits", "[quantize]") {
  CHECK(fixed_point::from(0.5) == fixed_point{std::int32_t{1} << 30, 0});
  CHECK(fixed_point::from(1.0) == fixed_point{std::int32_t{1} << 30, 1});
  CHECK(fixed_point::from(3.0) == fixed_point{3 << 29, 2});
  CHECK(fixed_point::from(1.0 - 0x1p-53) == fixed_point{std::int32_t{1} << 30, 1});  // rounds up
  CHECK(fixed_point{} == fixed_point::from(1.0));
  std::mt19937 generator(1);
  for (int i = 0; i < 100000; ++i) {
    const float x = random_scale(generator), w = random_scale(generator),
                y = random_scale(generator);
    const double exact = static_cast<double>(x) * static_cast<double>(w) / static_cast<double>(y);
    const fixed_point m = fixed_point::from(x, w, y);
    REQUIRE(m.mantissa >= std::int32_t{1} << 30);
    REQUIRE(std::fabs(value(m) - exact) <= 0x1p-31 * exact);
  }
  // The extremes of scales.
  const float tiny = std::numeric_limits<float>::min(), huge = std::numeric_limits<float>::max();
  CHECK(value(fixed_point::from(tiny, tiny, huge)) == Approx(0.0).margin(1e-100));
  CHECK(multiply(highest, fixed_point::from(tiny, tiny, huge)) == 0);
  CHECK(multiply(1, fixed_point::from(huge, huge, tiny)) == highest);
  CHECK(multiply(-1, fixed_point::from(huge, huge, tiny)) == lowest);
  CHECK(multiply(0, fixed_point::from(huge, huge, tiny)) == 0);
  for (const double bad : {0.0, -1.0, static_cast<double>(std::nanf("")), HUGE_VAL, 1e-310})
    CHECK_THROWS_AS(fixed_point::from(bad), error);
}

TEST_CASE("multiply rounds as gemmlowp does, within 0.75 of the product", "[quantize]") {
  // Half away from zero, at either step.
  CHECK(multiply(1, fixed_point::from(0.5)) == 1);
  CHECK(multiply(-1, fixed_point::from(0.5)) ==
        0);  // the nudge of SaturatingRoundingDoublingHighMul
  CHECK(multiply(3, fixed_point::from(0.25)) == 1);
  CHECK(multiply(6, fixed_point::from(0.25)) == 2);
  CHECK(multiply(-6, fixed_point::from(0.25)) == -2);
  std::mt19937 generator(2);
  for (int i = 0; i < 400000; ++i) {
    const auto acc = static_cast<std::int32_t>(generator()) >> generator() % 31;
    const fixed_point m{static_cast<std::int32_t>((generator() >> 2) | 0x40000000u),
                        static_cast<int>(generator() % 48) - 40};
    const std::int32_t y = multiply(acc, m);
    const double exact = static_cast<double>(acc) * value(m);
    CAPTURE(acc, m.mantissa, m.shift, exact);
    const double reachable = std::min(std::max(exact, -2147483648.0), 2147483647.0);
    REQUIRE(std::fabs(static_cast<double>(y) - reachable) <= 0.75 + 0x1p-31 * std::fabs(exact));
    // Of halves below zero the first step takes the upper, which std::round does not.
    const auto product = static_cast<long double>(acc) * std::ldexp(1.0L, std::max(m.shift, 0));
    const long double first = product * m.mantissa / 2147483648.0L;
    const bool half = acc < 0 && first - std::floor(first) == 0.5L;
    REQUIRE(std::llabs(y - gemmlowp(acc, m)) <= (half ? 1 : 0));
  }
  CHECK(multiply(3, fixed_point::from(1.5 * 0x1p31)) == highest);
  CHECK(multiply(-3, fixed_point::from(1.5 * 0x1p30)) == lowest);
  CHECK(multiply(-1, fixed_point::from(0x1p31)) == lowest);
  CHECK(multiply(1, fixed_point::from(0x1p30)) == std::int32_t{1} << 30);
  CHECK(multiply(highest, {highest, 0}) == highest - 1);
  CHECK(multiply(lowest, {highest, 0}) == lowest + 1);
  CHECK(multiply(lowest, {std::int32_t{1} << 30, -31}) == -1);  // -0.5
  CHECK(multiply(lowest, {highest, -32}) == 0);
}

TEST_CASE("requantize by float: ONNX, half to even, saturated", "[quantize]") {
  CHECK(requantize(5, 0.5f, 0, codes_of<int8>) == 2);
  CHECK(requantize(7, 0.5f, 0, codes_of<int8>) == 4);
  CHECK(requantize(-5, 0.5f, 3, codes_of<int8>) == 1);  // the zero point comes after the rounding
  CHECK(requantize(5, 0.5f, 3, codes_of<uint8>) == 5);
  CHECK(requantize(1000, 0.5f, 3, codes_of<uint8>) == 255);
  CHECK(requantize(-1000, 0.5f, 3, codes_of<uint8>) == 0);
  CHECK(requantize(lowest, 1e30f, -128, codes_of<int8>) == -128);
  CHECK(requantize(highest, 1e30f, -128, codes_of<int8>) == 127);
  std::mt19937 generator(3);
  for (int i = 0; i < 200000; ++i) {
    const auto acc = static_cast<std::int32_t>(generator()) >> generator() % 31;
    const float m =
        requantize_multiplier(random_scale(generator), random_scale(generator), 1.0f) * 0.01f;
    const auto zero_point = static_cast<std::int32_t>(generator() % 256);
    // A float product rounded by the C library.
    const float product = static_cast<float>(acc) * m;
    const double y = std::nearbyint(static_cast<double>(product)) + zero_point;
    REQUIRE(requantize(acc, m, zero_point, codes_of<uint8>) ==
            static_cast<std::int32_t>(std::min(std::max(y, 0.0), 255.0)));
  }
}

TEST_CASE("requantize by float and by integers differ by at most 1", "[quantize]") {
  std::mt19937 generator(4);
  int differences = 0;
  constexpr int count = 1000000;
  for (int i = 0; i < count; ++i) {
    const float x = random_scale(generator), w = random_scale(generator),
                y = random_scale(generator);
    const double m = static_cast<double>(x) * static_cast<double>(w) / static_cast<double>(y);
    // Codes within and just beyond reach; 16 bits, where the bound ends.
    const double reach = std::min(33000.0 / m, 2147483647.0);
    const auto acc =
        static_cast<std::int32_t>((static_cast<double>(generator()) / 2147483648.0 - 1.0) * reach);
    const code_range codes = i % 2 == 0 ? code_range{-32768, 32767} : codes_of<uint8>;
    const auto zero_point = i % 2 == 0 ? 0 : static_cast<std::int32_t>(generator() % 256);
    const auto by_float = requantize(acc, requantize_multiplier(x, w, y), zero_point, codes);
    const auto by_integer = requantize(acc, fixed_point::from(x, w, y), zero_point, codes);
    REQUIRE(std::abs(by_float - by_integer) <= 1);
    differences += by_float != by_integer;
  }
  CHECK(differences < count / 20);
}

TEST_CASE("requantize is what quantizing the dequantized sum gives", "[quantize]") {
  // From observed ranges to codes: y's code is that of the real sum, within a step.
  const block_scale x = choose_params({0.0f, 6.0f}, codes_of<uint8>, symmetry::asymmetric);
  const block_scale w = choose_params({-1.0f, 1.0f}, codes_of<int8>, symmetry::symmetric);
  const block_scale y = choose_params({-3.0f, 10.0f}, codes_of<uint8>, symmetry::asymmetric);
  const float m = requantize_multiplier(x.scale, w.scale, y.scale);
  for (std::int32_t acc = -40000; acc <= 80000; acc += 7) {
    const float real = static_cast<float>(acc) * x.scale * w.scale;
    const auto expected = quantize_code(real, y.scale, y.zero_point, 0, 255);
    REQUIRE(std::abs(requantize(acc, m, y.zero_point, codes_of<uint8>) - expected) <= 1);
  }
}
