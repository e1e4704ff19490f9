#include <cmath>
#include <limits>
#include <qtk/core/thread_pool.hpp>
#include <qtk/gptq.hpp>
#include <vector>

#include "support/calibration.hpp"
#include "support/catch.hpp"

using namespace qtk;

TEST_CASE("H is 2 X^T X, in any number of batches", "[quantize]") {
  for (const std::size_t K : {1u, 2u, 17u, 64u, 65u, 130u}) {
    const auto x = qtk_test::correlated_inputs(700, K, 5);
    hessian h(K);
    std::size_t at = 0;
    for (const std::size_t rows : {0u, 1u, 99u, 600u}) {
      h.add(tensor_view<const fp32>(x.data() + at * K, {rows, K}));
      at += rows;
    }
    CHECK(h.samples() == 700);
    for (std::size_t i = 0; i < K; ++i)
      for (std::size_t j = 0; j < K; ++j) {
        double sum = 0.0, bound = 0.0;
        for (std::size_t m = 0; m < 700; ++m) {
          const double p = static_cast<double>(x.at(m, i)) * x.at(m, j);
          sum += p;
          bound += std::fabs(p);
        }
        REQUIRE(h(i, j) == h(j, i));
        REQUIRE(std::fabs(h(i, j) - 2.0 * sum) <= 2.0 * bound * 520 * 0x1p-24);
      }
    for (std::size_t k = 0; k < K; ++k) {
      double sum = 0.0;
      float largest = 0.0f;
      for (std::size_t m = 0; m < 700; ++m) {
        sum += std::fabs(x.at(m, k));
        largest = std::max(largest, std::fabs(x.at(m, k)));
      }
      REQUIRE(h.mean_abs()[k] == Approx(sum / 700));
      REQUIRE(h.max_abs()[k] == largest);
      REQUIRE(h.second_moments()[k] == Approx(h(k, k) / 1400));
    }
  }
}

TEST_CASE("H does not depend on the executor", "[quantize]") {
  const auto x = qtk_test::random_tensor({600, 150}, 2);
  hessian serial(150);
  serial.add(x);
  for (const std::size_t threads : {2u, 3u, 7u}) {
    thread_pool pool(threads);
    hessian h(150);
    h.add(x, pool);
    for (std::size_t i = 0; i < 150; ++i)
      for (std::size_t j = 0; j <= i; ++j) REQUIRE(h(i, j) == serial(i, j));
    CHECK(h.mean_abs() == serial.mean_abs());
  }
}

TEST_CASE("H of divided inputs", "[quantize]") {
  auto x = qtk_test::random_tensor({40, 6}, 3);
  const std::vector<float> scales{2.0f, 0.5f, 1.0f, 4.0f, 8.0f, 0.25f};
  hessian h(6), divided(6);
  h.add(x);
  h.divide_channels(scales);
  for (std::size_t i = 0; i < x.elements(); ++i) x.data()[i] /= scales[i % 6];
  divided.add(x);
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t j = 0; j < 6; ++j) CHECK(h(i, j) == Approx(divided(i, j)));
  CHECK(h.max_abs() == divided.max_abs());
  CHECK_THROWS_AS(h.divide_channels(std::vector<float>(6)), error);
}

TEST_CASE("H names what it cannot take, and is as before", "[quantize]") {
  CHECK_THROWS_AS(hessian(0), error);
  hessian h(5);
  CHECK_THROWS_AS(h.add(tensor<fp32>({3, 4})), error);
  auto x = qtk_test::random_tensor({7, 5}, 1);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity(), 1e18f}) {
    x.view().set(6, 3, bad);
    CHECK_THROWS_WITH(h.add(x), Catch::Contains("row 6, column 3"));
  }
  CHECK(h.samples() == 0);
  CHECK(h(0, 0) == 0.0);
  CHECK(h.mean_abs()[0] == 0.0f);
}

TEST_CASE("the output error is that of the outputs", "[quantize]") {
  const auto x = qtk_test::correlated_inputs(200, 90, 4);
  const auto w = qtk_test::random_tensor({70, 90}, 5);
  const auto w4 = quantize<int4>(w, per_channel(0));
  const auto back = dequantize(w4);
  hessian h(90);
  h.add(x);
  double lost = 0.0, whole = 0.0;
  for (std::size_t m = 0; m < 200; ++m)
    for (std::size_t n = 0; n < 70; ++n) {
      double y = 0.0, yq = 0.0;
      for (std::size_t k = 0; k < 90; ++k) {
        y += static_cast<double>(x.at(m, k)) * w.at(n, k);
        yq += static_cast<double>(x.at(m, k)) * back.at(n, k);
      }
      lost += (y - yq) * (y - yq);
      whole += y * y;
    }
  const double serial = layer_output_error(w, back, h);
  CHECK(serial == Approx(lost / whole).epsilon(1e-4));
  CHECK(output_error(w, h)(w4) == serial);
  thread_pool pool(3);
  CHECK(layer_output_error(w, back, h, pool) == serial);
  CHECK(layer_output_error(w, w, h) == 0.0);
  CHECK(layer_output_error(w, tensor<fp32>({70, 90}), h) == Approx(1.0));
  CHECK(std::isinf(layer_output_error(tensor<fp32>({70, 90}), w, h)));
  CHECK_THROWS_AS(layer_output_error(w, tensor<fp32>({70, 91}), h), error);
  CHECK_THROWS_AS(layer_output_error(tensor<fp32>({3, 4}), tensor<fp32>({3, 4}), h), error);
}

TEST_CASE("Cholesky factors of every size", "[quantize]") {
  for (const std::size_t K : {1u, 2u, 31u, 32u, 33u, 63u, 64u, 65u, 97u, 128u, 200u}) {
    const auto x = qtk_test::correlated_inputs(3 * K + 20, K, 6);
    hessian h(K);
    h.add(x);
    const auto fill = [&](detail::cholesky& u) {
      for (std::size_t i = 0; i < K; ++i) {
        for (std::size_t j = i; j < K; ++j) u.row(i)[j] = h(i, j);
        u.row(i)[i] += 0.01 * h(0, 0);
      }
    };
    detail::cholesky u(K), split(K);
    fill(u);
    fill(split);
    REQUIRE(u.factor());
    thread_pool pool(3);
    REQUIRE(split.factor(pool));
    for (std::size_t i = 0; i < K; ++i)
      for (std::size_t j = i; j < K; ++j) {
        double sum = 0.0;
        for (std::size_t k = 0; k <= i; ++k) sum += u.row(k)[i] * u.row(k)[j];
        const double expected = h(i, j) + (i == j ? 0.01 * h(0, 0) : 0.0);
        REQUIRE(std::fabs(sum - expected) <= 1e-12 * h(0, 0));
        REQUIRE(u.row(i)[j] == split.row(i)[j]);
      }
  }
}

TEST_CASE("what is not positive definite has no Cholesky factor", "[quantize]") {
  detail::cholesky u(40);  // rank 1
  for (std::size_t i = 0; i < 40; ++i)
    for (std::size_t j = i; j < 40; ++j) u.row(i)[j] = 3.0;
  CHECK_FALSE(u.factor());
}
