#include <cmath>
#include <limits>
#include <qtk/core/thread_pool.hpp>
#include <qtk/quantize.hpp>

#include "support/calibration.hpp"
#include "support/catch.hpp"

using namespace qtk;

namespace {

/// x (M, K) * w (N, K)^T in double.
tensor<fp32> product(const tensor<fp32>& x, const tensor<fp32>& w) {
  tensor<fp32> y({x.rows(), w.rows()});
  for (std::size_t m = 0; m < x.rows(); ++m)
    for (std::size_t n = 0; n < w.rows(); ++n) {
      double sum = 0.0;
      for (std::size_t k = 0; k < x.cols(); ++k)
        sum += static_cast<double>(x.at(m, k)) * w.at(n, k);
      y.view().set(m, n, static_cast<float>(sum));
    }
  return y;
}

/// 8 bits for both: SQNR of the outputs.
double w8a8_db(const tensor<fp32>& x, const tensor<fp32>& w, const tensor<fp32>& exact) {
  return compare(exact, product(dequantize(quantize<uint8>(x, per_token())),
                                dequantize(quantize<int8>(w, per_channel(0)))))
      .sqnr_db;
}

}  // namespace

TEST_CASE("SmoothQuant makes outlier channels easy", "[quantize]") {
  auto x = qtk_test::random_tensor({64, 128}, 1);
  qtk_test::scale_columns(x, 32, 100.0f);
  const auto w = qtk_test::bell_shaped({48, 128}, 2);
  const auto exact = product(x, w);
  const smoothquant_result r = smoothquant(w, channel_max_abs(x), 0.5);
  tensor<fp32> smoothed = x;
  for (std::size_t i = 0; i < x.elements(); ++i) smoothed.data()[i] /= r.scales[i % 128];
  CHECK(compare(exact, product(smoothed, r.weights)).sqnr_db > 120.0);  // the same function
  // It cannot be free of cost: measured 33 and 44 dB.
  CHECK(w8a8_db(smoothed, r.weights, exact) > w8a8_db(x, w, exact) + 6.0);
  // Both sides end with the same range in each channel.
  const auto max_x = channel_max_abs(smoothed), max_w = channel_max_abs(r.weights);
  for (std::size_t k = 0; k < 128; ++k) CHECK(max_x[k] == Approx(max_w[k]));
}

TEST_CASE("SmoothQuant's ends, and dead channels", "[quantize]") {
  const float max_x[] = {4.0f, 0.0f, 2.0f}, max_w[] = {0.5f, 3.0f, 0.0f};
  CHECK(smoothquant_scales(max_x, max_w, 1.0) == std::vector<float>{4.0f, 1.0f, 1.0f});
  CHECK(smoothquant_scales(max_x, max_w, 0.0) == std::vector<float>{2.0f, 1.0f, 1.0f});
  CHECK(smoothquant_scales(max_x, max_w)[0] == Approx(std::sqrt(8.0f)));
  const tensor<fp32> one({2, 1}, {3.0f, -1.0f});
  const auto r = smoothquant(one, std::vector<float>{3.0f});
  CHECK(r.scales[0] == 1.0f);
  CHECK(r.weights.at(1, 0) == -1.0f);
}

TEST_CASE("SmoothQuant names what it cannot take", "[quantize]") {
  auto w = qtk_test::random_tensor({4, 3}, 1);
  const std::vector<float> few{1.0f}, bad{1.0f, std::numeric_limits<float>::quiet_NaN(), 1.0f},
      good{1.0f, 1.0f, 1.0f};
  CHECK_THROWS_AS(smoothquant(w, few), error);
  CHECK_THROWS_WITH(smoothquant(w, bad), Catch::Contains("channel 1"));
  CHECK_THROWS_AS(smoothquant(w, good, 1.5), error);
  w.view().set(3, 2, std::numeric_limits<float>::infinity());
  CHECK_THROWS_WITH(smoothquant(w, good), Catch::Contains("row 3, column 2"));
}
