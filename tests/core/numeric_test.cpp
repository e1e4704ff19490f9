#include <cmath>
#include <limits>
#include <qtk/core/numeric.hpp>
#include <random>

#include "support/catch.hpp"

using namespace qtk;

TEST_CASE("round_half_even agrees with nearbyint", "[core]") {
  for (const auto& [x, y] : {std::pair{0.5f, 0.0f},
                             {1.5f, 2.0f},
                             {2.5f, 2.0f},
                             {-0.5f, 0.0f},
                             {-1.5f, -2.0f},
                             {-2.5f, -2.0f},
                             {0.49999997f, 0.0f},
                             {4194303.5f, 4194304.0f}})
    CHECK(round_half_even(x) == y);
  std::mt19937 random(1);
  int different = 0;
  for (int i = 0; i < 1000000; ++i) {
    const float x =
        (static_cast<float>(random()) / 4294967296.0f - 0.5f) * std::ldexp(1.0f, i % 23);
    different += round_half_even(x) != std::nearbyint(x);
  }
  CHECK(different == 0);
}

TEST_CASE("quantize_code saturates, adds the zero point as an integer and takes NaN to the end",
          "[core]") {
  CHECK(quantize_code(1.0f, 0.5f, 0, -128, 127) == 2);
  CHECK(quantize_code(0.25f, 0.5f, 0, -128, 127) == 0);  // a tie goes to even
  CHECK(quantize_code(0.75f, 0.5f, 0, -128, 127) == 2);
  CHECK(quantize_code(1e30f, 0.5f, 0, -128, 127) == 127);
  CHECK(quantize_code(-1e30f, 0.5f, 0, -128, 127) == -128);
  CHECK(quantize_code(std::numeric_limits<float>::infinity(), 1.0f, 7, 0, 255) == 255);
  CHECK(quantize_code(-std::numeric_limits<float>::infinity(), 1.0f, 7, 0, 255) == 0);
  CHECK(quantize_code(std::numeric_limits<float>::quiet_NaN(), 1.0f, 7, 0, 255) == 0);
  CHECK(quantize_code(-3.0f, 1.0f, 10, 0, 255) == 7);
  CHECK(quantize_code(-20.0f, 1.0f, 10, 0, 255) == 0);
  static_assert(quantize_code(3.0f, 2.0f, 0, -8, 7) == 2);  // 1.5 is a tie
}

TEST_CASE("sizes that overflow are errors", "[core]") {
  const std::size_t huge = std::numeric_limits<std::size_t>::max();
  CHECK(checked_mul(3, 4) == 12);
  CHECK_THROWS_AS(checked_mul(huge, 2), error);
  CHECK_THROWS_AS(checked_add(huge, 1), error);
  CHECK(ceil_div(huge, 2) == huge / 2 + 1);
  CHECK(round_up(65, 64) == 128);
}

TEST_CASE("saturate_cast keeps the nearest value", "[core]") {
  CHECK(saturate_cast<std::int8_t>(300) == 127);
  CHECK(saturate_cast<std::int8_t>(-300) == -128);
  CHECK(saturate_cast<std::uint8_t>(-1) == 0);
  CHECK(saturate_cast<std::int32_t>(std::uint64_t{1} << 40) ==
        std::numeric_limits<std::int32_t>::max());
}
