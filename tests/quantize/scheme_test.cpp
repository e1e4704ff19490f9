#include <cmath>
#include <limits>
#include <qtk/quantize.hpp>

#include "support/catch.hpp"

using namespace qtk;

namespace {
constexpr float largest = std::numeric_limits<float>::max();
constexpr float smallest = std::numeric_limits<float>::min();
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr auto sym = symmetry::symmetric, asym = symmetry::asymmetric;
}  // namespace

TEST_CASE("symmetric: the largest magnitude gets the highest code", "[quantize]") {
  CHECK(choose_params({-1.0f, 127.0f}, codes_of<int8>, sym) == block_scale{1.0f, 0});
  CHECK(choose_params({-254.0f, 3.0f}, codes_of<int8>, sym) == block_scale{2.0f, 0});
  CHECK(choose_params({-7.0f, 7.0f}, codes_of<int4>, sym) == block_scale{1.0f, 0});
  CHECK(choose_params({-1.0f, 0.0f}, codes_of<int4>, sym) == block_scale{1.0f / 7.0f, 0});
  CHECK(choose_params({-127.0f, 1.0f}, codes_of<uint8>, sym) == block_scale{1.0f, 128});
  CHECK(choose_params({0.0f, 14.0f}, codes_of<uint4>, sym) == block_scale{2.0f, 8});
}

TEST_CASE("asymmetric: the range fills all codes and 0 is one of them", "[quantize]") {
  CHECK(choose_params({0.0f, 255.0f}, codes_of<uint8>, asym) == block_scale{1.0f, 0});
  CHECK(choose_params({-255.0f, 0.0f}, codes_of<uint8>, asym) == block_scale{1.0f, 255});
  CHECK(choose_params({-5.0f, 10.0f}, codes_of<uint4>, asym) == block_scale{1.0f, 5});
  CHECK(choose_params({-5.0f, 10.0f}, codes_of<int4>, asym) == block_scale{1.0f, -3});
  CHECK(choose_params({-128.0f, 127.0f}, codes_of<int8>, asym) == block_scale{1.0f, 0});
  // A range on one side of 0 is widened to it.
  CHECK(choose_params({100.0f, 255.0f}, codes_of<uint8>, asym) == block_scale{1.0f, 0});
  CHECK(choose_params({-30.0f, -15.0f}, codes_of<uint4>, asym) == block_scale{2.0f, 15});
  // A zero point between two codes goes to the even one: 0.5, 1.5 and 2.5 of 15 steps.
  CHECK(choose_params({-0.5f, 14.5f}, codes_of<uint4>, asym) == block_scale{1.0f, 0});
  CHECK(choose_params({-1.5f, 13.5f}, codes_of<uint4>, asym) == block_scale{1.0f, 2});
  CHECK(choose_params({-2.5f, 12.5f}, codes_of<uint4>, asym) == block_scale{1.0f, 2});
}

TEST_CASE("signed formats default to symmetric, unsigned to asymmetric", "[quantize]") {
  STATIC_REQUIRE(default_symmetry<int8> == sym);
  STATIC_REQUIRE(default_symmetry<int4> == sym);
  STATIC_REQUIRE(default_symmetry<uint8> == asym);
  STATIC_REQUIRE(default_symmetry<uint4> == asym);
}

TEST_CASE("zeros have scale 1", "[quantize]") {
  CHECK(choose_params({0.0f, 0.0f}, codes_of<int8>, sym) == block_scale{1.0f, 0});
  CHECK(choose_params({-0.0f, -0.0f}, codes_of<int8>, sym) == block_scale{1.0f, 0});
  CHECK(choose_params({-0.0f, 0.0f}, codes_of<uint8>, asym) == block_scale{1.0f, 0});
  CHECK(choose_params({0.0f, 0.0f}, codes_of<int4>, asym) == block_scale{1.0f, -8});
  CHECK(choose_params({0.0f, 0.0f}, codes_of<uint8>, sym) == block_scale{1.0f, 128});
}

TEST_CASE("every range gives a scale that divides", "[quantize]") {
  const float ends[] = {0.0f,        -0.0f,        1e-45f,  -1e-45f, 1e-40f,  -1e-40f,
                        smallest,    -smallest,    1e-37f,  -2e-37f, 1e-20f,  -1.0f,
                        1.0f,        3.0f,         1e20f,   -1e30f,  largest, -largest,
                        largest / 2, -largest / 2, 0.0019f, -7.7f,   255.0f,  -1e-6f};
  for (const float a : ends)
    for (const float b : ends)
      for (const symmetry how : {sym, asym})
        for (const code_range codes :
             {codes_of<int8>, codes_of<uint8>, codes_of<int4>, codes_of<uint4>}) {
          const float lo = a < b ? a : b, hi = a < b ? b : a;
          const block_scale p = choose_params({lo, hi}, codes, how);
          CAPTURE(lo, hi, codes.min, p.scale, p.zero_point);
          REQUIRE(std::isnormal(p.scale));
          REQUIRE(p.scale > 0.0f);
          REQUIRE(p.zero_point >= codes.min);
          REQUIRE(p.zero_point <= codes.max);
          REQUIRE(std::isfinite(lo / p.scale));
          REQUIRE(std::isfinite(hi / p.scale));
          // Both ends come back within half a step, and a rounding error of the ends.
          for (const float x : {lo, hi, 0.0f}) {
            const auto code = quantize_code(x, p.scale, p.zero_point, codes.min, codes.max);
            const double real = static_cast<double>(p.scale) * (code - p.zero_point);
            REQUIRE(std::fabs(real - static_cast<double>(x)) <=
                    static_cast<double>(p.scale) * (0.5 + 1e-4));
          }
          REQUIRE(quantize_code(0.0f, p.scale, p.zero_point, codes.min, codes.max) == p.zero_point);
        }
}

TEST_CASE("what is not a range is an error", "[quantize]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const symmetry how : {sym, asym}) {
    CHECK_THROWS_AS(choose_params({nan, 1.0f}, codes_of<int8>, how), error);
    CHECK_THROWS_AS(choose_params({0.0f, nan}, codes_of<int8>, how), error);
    CHECK_THROWS_AS(choose_params({0.0f, infinity}, codes_of<int8>, how), error);
    CHECK_THROWS_AS(choose_params({-infinity, 0.0f}, codes_of<int8>, how), error);
    CHECK_THROWS_AS(choose_params({1.0f, -1.0f}, codes_of<int8>, how), error);
    CHECK_THROWS_AS(choose_params({0.0f, 1.0f}, {3, 3}, how), error);
  }
}
