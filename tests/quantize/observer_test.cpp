#include <algorithm>
#include <cmath>
#include <limits>
#include <qtk/quantize.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qtk;

TEST_CASE("min_max sees every value of every length", "[quantize]") {
  const auto values = qtk_test::random_tensor({100}, 3);
  for (std::size_t n = 0; n <= 40; ++n)
    for (std::size_t at = 0; at < n; ++at) {
      std::vector<float> x(values.data(), values.data() + n);
      for (const float peak : {7.0f, -9.0f}) {
        x[at] = peak;
        min_max o;
        o.observe(x);
        REQUIRE(o.range().hi == std::max(0.0f, *std::max_element(x.begin(), x.end())));
        REQUIRE(o.range().lo == std::min(0.0f, *std::min_element(x.begin(), x.end())));
      }
    }
}

TEST_CASE("min_max in pieces is min_max of the whole", "[quantize]") {
  const auto x = qtk_test::random_tensor({1000}, 4, -3.0f, 2.0f);
  min_max whole, pieces;
  whole.observe(x.span());
  for (std::size_t i = 0; i < 1000; i += 7)
    pieces.observe(x.span().subspan(i, std::min<std::size_t>(7, 1000 - i)));
  CHECK(pieces.range() == whole.range());
}

TEST_CASE("min_max without values, and one-sided values, hold 0", "[quantize]") {
  min_max none, positive;
  CHECK(none.range() == value_range{0.0f, 0.0f});
  const float x[] = {3.0f, 2.0f};
  positive.observe(x);
  CHECK(positive.range() == value_range{0.0f, 3.0f});
}

namespace {
/// Clips to a fixed magnitude: an observer with an option, as calibration will have.
struct clip {
  float limit = 1.0f;
  min_max seen;
  void observe(std::span<const float> values) { seen.observe(values); }
  value_range range() const {
    return {std::max(seen.range().lo, -limit), std::min(seen.range().hi, limit)};
  }
};
static_assert(observer<clip>);
struct no_range {
  void observe(std::span<const float>) {}
};
static_assert(!observer<no_range>);
}  // namespace

TEST_CASE("another observer decides the range; what lies outside saturates", "[quantize]") {
  const tensor<fp32> x({2, 3}, {0.5f, -4.0f, 0.25f, 0.125f, 4.0f, -0.5f});
  const quantization q = choose_quantization<int8>(x, per_tensor(), symmetry::symmetric, {},
                                                   clip{.limit = 1.27f, .seen = {}});
  CHECK(q.scales == std::vector<float>{1.27f / 127.0f});
  const auto codes = quantize<int8>(x, q);
  const std::vector<int> expected{50, -128, 25, 12, 127, -50};  // 12.5 goes to the even code
  for (std::size_t i = 0; i < 6; ++i) CHECK(codes.data()[i] == expected[i]);
}

TEST_CASE("values that are not finite are named by place", "[quantize]") {
  const float bad[] = {
      std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(),
      std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
      std::numeric_limits<float>::signaling_NaN()};
  tensor<fp32> x({2, 3, 5});
  CHECK_NOTHROW(check_finite(x, "test"));
  for (std::size_t r = 0; r < 6; ++r)
    for (std::size_t c = 0; c < 5; ++c)
      for (const float v : bad) {
        x.view().set(r, c, v);
        x.view().set(5, 4, v);  // the first one is named
        try {
          check_finite(x, "weights");
          FAIL("no error");
        } catch (const error& e) {
          REQUIRE(e.where() == "weights");
          REQUIRE(e.message().find(cat(" at row ", r, ", column ", c, " of [2, 3, 5]")) !=
                  std::string::npos);
          REQUIRE(e.message().find(std::isnan(v) ? "nan" : "inf") != std::string::npos);
        }
        x.view().set(r, c, 0.0f);
        x.view().set(5, 4, 0.0f);
      }
  x.view().set(0, 0, std::numeric_limits<float>::max());
  CHECK_NOTHROW(check_finite(x, "test"));
}
