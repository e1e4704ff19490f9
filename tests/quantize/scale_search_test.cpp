#include <cmath>
#include <limits>
#include <qtk/core/thread_pool.hpp>
#include <qtk/quantize.hpp>
#include <vector>

#include "support/calibration.hpp"
#include "support/catch.hpp"

using namespace qtk;

namespace {

template <class F>
tensor<fp32> rounded(const tensor<fp32>& w, const quantization& q, code_range range) {
  return dequantize(quantize<F>(w, q, {}, range));
}

/// sum importance |w - wq|^p.
double loss(const tensor<fp32>& w, const tensor<fp32>& wq, double p = 2.0,
            std::span<const float> importance = {}) {
  double sum = 0.0;
  for (std::size_t i = 0; i < w.elements(); ++i)
    sum += std::pow(std::fabs(static_cast<double>(w.data()[i]) - wq.data()[i]), p) *
           (importance.empty() ? 1.0 : importance[i % w.cols()]);
  return sum;
}

bool same(const quantization& a, const quantization& b) {
  return a.scales == b.scales && a.zero_points == b.zero_points && a.block == b.block;
}

}  // namespace

TEMPLATE_TEST_CASE("clipped scales never have the larger weighted error", "[quantize]", int4, uint4,
                   int8) {
  const auto how = GENERATE(symmetry::symmetric, symmetry::asymmetric);
  for (const bool heavy : {false, true}) {
    const auto w = heavy ? qtk_test::heavy_tailed({12, 80}, 3) : qtk_test::bell_shaped({12, 80}, 3);
    const auto importance = qtk_test::random_tensor({80}, 4, 0.0f, 3.0f);
    for (const granularity& g : {per_channel(0), per_group(32)})
      for (const int bits : {2, 3, TestType::bits})
        for (const auto weights : {std::span<const float>{}, importance.span()}) {
          const code_range codes = codes_of_bits<TestType>(bits);
          const auto plain = choose_quantization<TestType>(w, g, how, {}, min_max{}, codes);
          const scale_search r = clip_quantization<TestType>(
              w, g, {.how = how, .codes = codes, .importance = weights});
          const double before = loss(w, rounded<TestType>(w, plain, codes), 2.0, weights);
          const double after = loss(w, rounded<TestType>(w, r.scales, codes), 2.0, weights);
          CHECK(r.error_before == Approx(before).epsilon(1e-5));
          CHECK(r.error_after == Approx(after).epsilon(1e-5));
          CHECK(after <= before * 1.000001);
          CHECK(r.mean_ratio <= 1.0);
          if (heavy && bits == 2 && weights.empty()) CHECK(after < 0.9 * before);
        }
  }
}

TEST_CASE("clipping without steps is min-max", "[quantize]") {
  const auto w = qtk_test::heavy_tailed({5, 40}, 7);
  const auto r = clip_quantization<int4>(w, per_group(16), {.steps = 0});
  CHECK(same(r.scales, choose_quantization<int4>(w, per_group(16))));
  CHECK(r.mean_ratio == 1.0);
  CHECK(r.error_after == r.error_before);
}

TEST_CASE("an input that does not matter lets its weight saturate", "[quantize]") {
  tensor<fp32> w({1, 8}, {9.0f, 1.0f, -1.0f, 0.7f, 0.3f, -0.4f, 0.2f, 0.9f});
  const float importance[] = {0.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f};
  const auto r = clip_quantization<int4>(w, per_channel(0), {.importance = importance});
  CHECK(r.scales.scales[0] * 8.0f < 3.0f);
  CHECK(r.error_after < 0.1 * r.error_before);
}

TEMPLATE_TEST_CASE("HQQ beats min-max scales on heavy tails", "[quantize]", int4, uint4) {
  const auto w = qtk_test::heavy_tailed({64, 256}, 8);
  for (const granularity& g : {per_channel(0), per_group(64)})
    for (const int bits : {2, 3, 4}) {
      const code_range codes = codes_of_bits<TestType>(bits);
      const auto plain =
          choose_quantization<TestType>(w, g, symmetry::asymmetric, {}, min_max{}, codes);
      const auto r = hqq_quantization<TestType>(w, g, {.codes = codes});
      const auto before = rounded<TestType>(w, plain, codes);
      const auto after = rounded<TestType>(w, r.scales, codes);
      CAPTURE(bits, loss(w, after) / loss(w, before), loss(w, after, 0.7) / loss(w, before, 0.7));
      const double least = bits == 2 ? 0.95 : 0.99;
      CHECK(r.error_after < least * r.error_before);
      CHECK(loss(w, after, 0.7) < least * loss(w, before, 0.7));
      CHECK(loss(w, after) < least * loss(w, before));  // measured 0.73 to 0.97
    }
}

TEST_CASE("HQQ of scaled weights is scaled", "[quantize]") {
  const auto w = qtk_test::heavy_tailed({4, 64}, 9);
  tensor<fp32> larger = w;
  for (float& x : larger.span()) x *= 1024.0f;
  const auto a = hqq_quantization<uint4>(w, per_group(32));
  const auto b = hqq_quantization<uint4>(larger, per_group(32));
  CHECK(a.scales.zero_points == b.scales.zero_points);
  for (std::size_t i = 0; i < a.scales.scales.size(); ++i)
    CHECK(b.scales.scales[i] == 1024.0f * a.scales.scales[i]);
}

TEST_CASE("searches: all zeros, single columns, one value", "[quantize]") {
  for (const shape& s : {shape{3, 1}, shape{3, 17}, shape{0, 4}}) {
    const tensor<fp32> zero(s);
    const auto c = clip_quantization<int4>(zero, per_group(8));
    const auto h = hqq_quantization<int4>(zero, per_group(8));
    CHECK(same(c.scales, choose_quantization<int4>(zero, per_group(8))));
    CHECK(same(h.scales, choose_quantization<int4>(zero, per_group(8), symmetry::asymmetric)));
    CHECK(c.error_after == 0.0);
    CHECK(h.error_after == 0.0);
  }
  const tensor<fp32> one({2, 1}, {3.0f, -0.25f});
  CHECK(dequantize(quantize<int4>(one, clip_quantization<int4>(one, per_channel(0)).scales))
            .at(1, 0) == -0.25f);
  const auto h = hqq_quantization<uint4>(one, per_channel(0)).scales;
  CHECK(dequantize(quantize<uint4>(one, h)).at(0, 0) == Approx(3.0f));
}

TEST_CASE("searches name what they cannot take", "[quantize]") {
  auto w = qtk_test::random_tensor({4, 8}, 1);
  CHECK_THROWS_AS(clip_quantization<int4>(w, per_channel(1)), error);
  CHECK_THROWS_AS(hqq_quantization<int4>(w, per_tensor()), error);
  CHECK_THROWS_AS(clip_quantization<int4>(tensor<fp32>({2, 2, 2}), per_channel(0)), error);
  const float few[] = {1.0f}, negative[] = {1, 1, 1, -1, 1, 1, 1, 1};
  CHECK_THROWS_AS(clip_quantization<int4>(w, per_channel(0), {.importance = few}), error);
  CHECK_THROWS_AS(clip_quantization<int4>(w, per_channel(0), {.importance = negative}), error);
  CHECK_THROWS_AS(clip_quantization<int4>(w, per_channel(0), {.smallest = 0.0f}), error);
  CHECK_THROWS_AS(hqq_quantization<int4>(w, per_channel(0), {.p = 0.0}), error);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    w.view().set(2, 5, bad);
    CHECK_THROWS_WITH(clip_quantization<int4>(w, per_group(4)), Catch::Contains("row 2, column 5"));
    CHECK_THROWS_WITH(hqq_quantization<int4>(w, per_group(4)), Catch::Contains("row 2, column 5"));
  }
}

TEST_CASE("clipped weights have the same bytes on every compiler and CPU", "[quantize]") {
  const auto w = qtk_test::heavy_tailed({50, 333}, 9);
  const auto importance = qtk_test::random_tensor({333}, 10, 0.0f, 3.0f);
  const auto codes = quantize<int4>(
      w, clip_quantization<int4>(w, per_group(32), {.importance = importance.span()}).scales);
  std::uint64_t hash = 14695981039346656037u;
  for (const std::uint8_t byte : codes.span()) hash = (hash ^ byte) * 1099511628211u;
  CHECK(hash == 0xa491bd8c71f0f31du);
}

TEST_CASE("searches do not depend on the executor", "[quantize]") {
  const auto w = qtk_test::heavy_tailed({37, 100}, 11);
  const auto clipped = clip_quantization<uint4>(w, per_group(32));
  const auto hqq = hqq_quantization<uint4>(w, per_group(32));
  for (const std::size_t threads : {2u, 3u, 7u}) {
    thread_pool pool(threads);
    const auto c = clip_quantization<uint4>(w, per_group(32), {}, pool);
    CHECK(same(c.scales, clipped.scales));
    CHECK(c.error_after == clipped.error_after);
    CHECK(same(hqq_quantization<uint4>(w, per_group(32), {}, pool).scales, hqq.scales));
  }
}
