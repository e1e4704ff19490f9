#include <cmath>
#include <limits>
#include <qtk/quantize.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qtk;

TEST_CASE("metrics of values known by hand", "[quantize]") {
  const tensor<fp32> x({2, 2}, {3.0f, 0.0f, -4.0f, 0.0f});
  const tensor<fp32> y({2, 2}, {3.0f, 0.5f, -4.0f, 0.0f});
  const error_metrics e = compare(x, y);
  CHECK(e.mse == 0.0625);
  CHECK(e.sqnr_db == Approx(20.0));  // 25 / 0.25
  CHECK(e.max_abs == 0.5);
  CHECK(e.cosine == Approx(25.0 / std::sqrt(25.0 * 25.25)));
  CHECK(compare(x, tensor<fp32>({2, 2}, {-3.0f, 0.0f, 4.0f, 0.0f})).cosine == Approx(-1.0));
}

TEST_CASE("metrics at the edges", "[quantize]") {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto x = qtk_test::random_tensor({5, 7}, 1);
  const tensor<fp32> zero({5, 7});
  const error_metrics same = compare(x, x);
  CHECK(same.mse == 0.0);
  CHECK(same.sqnr_db == infinity);
  CHECK(same.max_abs == 0.0);
  CHECK(same.cosine == Approx(1.0));
  CHECK(compare(zero, zero).sqnr_db == infinity);
  CHECK(compare(zero, zero).cosine == 1.0);
  CHECK(compare(zero, x).sqnr_db == -infinity);
  CHECK(compare(zero, x).cosine == 0.0);
  CHECK(compare(x, zero).sqnr_db == Approx(0.0));
  const error_metrics none = compare(tensor<fp32>({0, 4}), tensor<fp32>({0, 4}));
  CHECK(none.mse == 0.0);
  CHECK(none.sqnr_db == infinity);
  // No overflow: squares are formed in double.
  const tensor<fp32> huge({1}, {3e38f}), less({1}, {-3e38f});
  CHECK(compare(huge, less).max_abs == Approx(6e38));
  CHECK(compare(huge, less).cosine == Approx(-1.0));
}

TEST_CASE("a NaN on either side makes every metric NaN", "[quantize]") {
  auto y = qtk_test::random_tensor({3, 3}, 2);
  const auto x = y;
  y.view().set(1, 1, std::numeric_limits<float>::quiet_NaN());
  for (const error_metrics& e : {compare(x, y), compare(y, x)}) {
    CHECK(std::isnan(e.mse));
    CHECK(std::isnan(e.sqnr_db));
    CHECK(std::isnan(e.max_abs));
    CHECK(std::isnan(e.cosine));
  }
}

TEST_CASE("compare skips the gap between rows and refuses other shapes", "[quantize]") {
  const tensor<fp32> x({2, 2}, {1.0f, 2.0f, 3.0f, 4.0f});
  float wide[] = {1.0f, 2.0f, 99.0f, 3.0f, 4.0f, 99.0f};
  CHECK(compare(x, tensor_view<fp32>(wide, {2, 2}, 3, nullptr)).mse == 0.0);
  CHECK_THROWS_AS(compare(x, tensor<fp32>({4})), error);
}

TEST_CASE("one bit more is 6 dB more", "[quantize]") {
  const auto x = qtk_test::random_tensor({64, 256}, 5);
  // Uniform noise of step s under a uniform signal in [-1, 1]: 10 log10((1/3) / (s^2/12)).
  const double expected8 = 20.0 * std::log10(2.0 * 127.0), expected4 = 20.0 * std::log10(14.0);
  CHECK(compare(x, dequantize(quantize<int8>(x, per_tensor()))).sqnr_db ==
        Approx(expected8).margin(0.1));
  CHECK(compare(x, dequantize(quantize<int4>(x, per_tensor()))).sqnr_db ==
        Approx(expected4).margin(0.3));
}
