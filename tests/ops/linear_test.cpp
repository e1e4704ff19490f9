#include <qtk/core/thread_pool.hpp>
#include <qtk/matmul.hpp>
#include <qtk/ops/packed_filters.hpp>
#include <qtk/quantize.hpp>

#include "naive.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qtk;
using qtk_test::distance;
using qtk_test::naive_linear;
using qtk_test::random_tensor;

namespace {

tensor<fp32> run(const linear& layer, const tensor<fp32>& x, const epilogue& e = {},
                 executor_ref executor = {}) {
  tensor<fp32> y({x.rows(), layer.weights().N()});
  layer(x, y, e, executor);
  return y;
}

/// Rows of x as an integer layer sees them.
template <class F>
tensor<fp32> as_quantized(const tensor<fp32>& x) {
  return dequantize(quantize<F>(x, per_token()));
}

}  // namespace

TEST_CASE("linear equals the formula, for every format of weights", "[ops]") {
  for (const auto& [M, N, K] : {std::tuple{1u, 10u, 42u}, {7u, 33u, 65u}, {13u, 64u, 128u}}) {
    const auto x = random_tensor({M, K}, 1), w = random_tensor({N, K}, 2);
    const auto bias = random_tensor({N}, 3), residual = random_tensor({M, N}, 4);
    const epilogue e{.bias = bias.data(), .residual = residual.data(), .act = activation::relu};
    const double bound = 1e-6 * K;
    CHECK(distance(run(linear(w), x, e), naive_linear(x, w, e)) < bound);
    const auto w16 = quantize<fp16>(w);
    CHECK(distance(run(linear(w16), x, e), naive_linear(x, dequantize(w16), e)) < bound);
    const auto wb16 = quantize<bf16>(w);
    CHECK(distance(run(linear(wb16), x, e), naive_linear(x, dequantize(wb16), e)) < bound);
    const auto w8 = quantize<int8>(w, per_channel(0));
    CHECK(distance(run(linear(w8, compute::real), x, e), naive_linear(x, dequantize(w8), e)) <
          bound);
    const auto x8 = as_quantized<uint8>(x);
    CHECK(distance(run(linear(w8), x, e), naive_linear(x8, dequantize(w8), e)) < bound);
    for (const std::size_t group : {16u, 32u, 100000u}) {
      const auto w4 = quantize<int4>(w, per_group(group));
      CHECK(distance(run(linear(w4, compute::real), x, e), naive_linear(x, dequantize(w4), e)) <
            bound);
      const auto xs8 = as_quantized<int8>(x);
      CHECK(distance(run(linear(w4), x, e), naive_linear(xs8, dequantize(w4), e)) < bound);
      const auto wu4 = quantize<uint4>(w, per_group(group));
      CHECK(distance(run(linear(wu4), x, e), naive_linear(xs8, dequantize(wu4), e)) < bound);
    }
  }
}

TEST_CASE("per-tensor scales reach every row of the weights", "[ops]") {
  const auto x = random_tensor({5, 40}, 1), w = random_tensor({12, 40}, 2);
  const auto w8 = quantize<int8>(w, per_tensor());
  REQUIRE(w8.quantization().scales.size() == 1);
  CHECK(distance(run(linear(w8, compute::real), x), naive_linear(x, dequantize(w8))) < 1e-5);
}

TEST_CASE("the number of threads does not change a result", "[ops]") {
  const auto w = random_tensor({700, 512}, 2);  // worth seven threads, even in one row
  for (const std::size_t M : {1u, 5u, 64u, 131u}) {
    const auto x = random_tensor({M, 512}, 1);
    for (const linear& layer : {linear(w), linear(quantize<int8>(w, per_channel(0))),
                                linear(quantize<int4>(w, per_group(32)))}) {
      const auto once = run(layer, x);
      for (const std::size_t threads : {2u, 3u, 7u}) {
        thread_pool pool(threads);
        CHECK(distance(run(layer, x, {}, pool), once) == 0.0);
      }
    }
  }
}

TEST_CASE("integer sums are exact as far as K may reach, and no further", "[ops]") {
  const auto extreme = [](std::size_t K) {
    tensor<int8> w({3, K});
    std::fill(w.span().begin(), w.span().end(), std::int8_t{-128});
    w.set_quantization({.block = {1, K}, .scales = {1, 1, 1}, .zero_points = {}});
    return w;
  };
  constexpr std::size_t most = 65793;  // 255 * 128 * most < 2^31
  tensor<fp32> x({1, most}), y({1, 3});
  std::fill(x.span().begin(), x.span().end(), 1.0f);  // code 255 of [0, 1]
  linear{extreme(most)}(x, y);
  for (const float v : y.span()) CHECK(v == Approx(-128.0 * most).epsilon(1e-6));
  CHECK_THROWS_WITH(packed_weights(extreme(most + 1)),
                    Catch::StartsWith("packed_weights: integer sums over 65794 products"));
  CHECK_THROWS_WITH(packed_filters(extreme(most + 1)), Catch::StartsWith("packed_filters: "));
  CHECK_NOTHROW(packed_weights(extreme(most + 1), compute::real));
}

TEST_CASE("misuse of weights says what and where", "[ops]") {
  const auto message = [](auto&& f) -> std::string {
    try {
      f();
    } catch (const error& e) {
      return e.what();
    }
    return "no error";
  };
  const auto w = random_tensor({4, 8}, 1);
  CHECK(message([] {
          packed_weights(tensor<fp32>({2, 2, 2}));
        }) == "packed_weights: weights [2, 2, 2] are not (N, K)");
  CHECK(message([&] { packed_weights(w, compute::integer); }) ==
        "packed_weights: integer products of fp32");
  CHECK(message([&] { packed_weights(quantize<int8>(w, per_group(4))); }) ==
        "packed_weights: int8 x int8 takes symmetric scales per tensor or per channel");
  CHECK(message([&] {
          tensor<fp32> y({3, 4});
          linear{w}(random_tensor({3, 7}, 1), y);
        }) == "linear: x [3, 7] * W (4, 8)^T -> y [3, 4]");
}

TEST_CASE("packed weights explain themselves", "[ops]") {
  const packed_weights p(quantize<int8>(random_tensor({32, 64}, 1), per_channel(0)));
  CHECK(p.explain().find(p.kernel().name) != std::string::npos);
  CHECK(p.size_bytes() >= 32 * 64);
}
