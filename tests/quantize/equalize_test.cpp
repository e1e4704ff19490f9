#include <algorithm>
#include <cmath>
#include <limits>
#include <qtk/calibrate.hpp>
#include <random>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qtk;
using qtk_test::random_tensor;

namespace {
/// y (M, N) = x (M, K) w (N, K)^T + b, in double.
tensor<fp32> dense(const tensor<fp32>& x, const tensor<fp32>& w, std::span<const float> b = {}) {
  tensor<fp32> y({x.rows(), w.rows()});
  for (std::size_t m = 0; m < x.rows(); ++m)
    for (std::size_t n = 0; n < w.rows(); ++n) {
      double sum = b.empty() ? 0.0 : static_cast<double>(b[n]);
      for (std::size_t k = 0; k < w.cols(); ++k)
        sum += static_cast<double>(x.at(m, k)) * static_cast<double>(w.at(n, k));
      y.view().set(m, n, static_cast<float>(sum));
    }
  return y;
}

/// Stride 1, no padding: (B, I, H, W) with (O, I / groups, kh, kw).
tensor<fp32> conv(const tensor<fp32>& x, const tensor<fp32>& w, std::span<const float> b,
                  std::size_t groups) {
  const shape& i = x.shape();
  const shape& f = w.shape();
  const std::size_t height = i[2] - f[2] + 1, width = i[3] - f[3] + 1;
  tensor<fp32> y({i[0], f[0], height, width});
  for (std::size_t n = 0; n < i[0]; ++n)
    for (std::size_t o = 0; o < f[0]; ++o)
      for (std::size_t p = 0; p < height; ++p)
        for (std::size_t q = 0; q < width; ++q) {
          double sum = b.empty() ? 0.0 : static_cast<double>(b[o]);
          for (std::size_t c = 0; c < f[1]; ++c)
            for (std::size_t r = 0; r < f[2]; ++r)
              for (std::size_t s = 0; s < f[3]; ++s) {
                const std::size_t channel = o / (f[0] / groups) * f[1] + c;
                sum += static_cast<double>(x.at((n * i[1] + channel) * i[2] + p + r, q + s)) *
                       static_cast<double>(w.at((o * f[1] + c) * f[2] + r, s));
              }
          y.view().set((n * f[0] + o) * height + p, q, static_cast<float>(sum));
        }
  return y;
}

tensor<fp32> activated(tensor<fp32> x, float slope) {
  for (float& v : x.span()) v = v < 0.0f ? slope * v : v;
  return x;
}

tensor<fp32> int8_per_tensor(const tensor<fp32>& w) {
  return dequantize(quantize<int8>(w, per_tensor()));
}

/// Scales output i of w by 4^-(i % 7): what batch normalization leaves in MobileNets.
void spoil(tensor<fp32>& w) {
  for (std::size_t i = 0; i < w.elements(); ++i)
    w.data()[i] *= std::pow(4.0f, -static_cast<float>(i / (w.elements() / w.shape()[0]) % 7));
}
}  // namespace

TEST_CASE("equalize keeps the function and makes ranges equal", "[quantize]") {
  const auto x = random_tensor({16, 24}, 1);
  for (const float slope : {0.0f, 0.25f, 1.0f}) {  // ReLU, leaky, none
    tensor<fp32> w1 = random_tensor({32, 24}, 2), b1 = random_tensor({32}, 3);
    tensor<fp32> w2 = random_tensor({10, 32}, 4);
    spoil(w1);
    const auto before = dense(activated(dense(x, w1, b1.span()), slope), w2);
    const tensor<fp32> old1 = w1;
    const auto s = equalize(w1, b1.span(), w2);
    const auto after = dense(activated(dense(x, w1, b1.span()), slope), w2);
    CHECK(compare(before, after).sqnr_db > 120.0);
    for (std::size_t i = 0; i < 32; ++i) {
      float r1 = 0.0f, r2 = 0.0f;
      for (std::size_t k = 0; k < 24; ++k) r1 = std::max(r1, std::fabs(w1.at(i, k)));
      for (std::size_t n = 0; n < 10; ++n) r2 = std::max(r2, std::fabs(w2.at(n, i)));
      CHECK(r1 == Approx(r2).epsilon(1e-6));
      CHECK(w1.at(i, 5) == old1.at(i, 5) / s.data()[i]);
    }
    const auto again = equalize(w1, b1.span(), w2);  // nothing left to do
    for (const float f : again.span()) CHECK(f == Approx(1.0).epsilon(1e-6));
  }
}

TEST_CASE("equalize: one scale a tensor is enough on badly scaled channels", "[quantize]") {
  const auto x = random_tensor({64, 64}, 5);
  tensor<fp32> w1 = random_tensor({64, 64}, 6), b1 = random_tensor({64}, 7, -0.01f, 0.01f);
  tensor<fp32> w2 = random_tensor({32, 64}, 8);
  spoil(w1);
  for (std::size_t n = 0; n < 32; ++n)  // the network compensates
    for (std::size_t i = 0; i < 64; ++i)
      w2.view().set(n, i, w2.at(n, i) * std::pow(4.0f, static_cast<float>(i % 7)));
  const auto exact = dense(activated(dense(x, w1, b1.span()), 0.0f), w2);
  const auto error = [&] {
    return compare(exact, dense(activated(dense(x, int8_per_tensor(w1), b1.span()), 0.0f),
                                int8_per_tensor(w2)));
  };
  const double before = error().sqnr_db;
  equalize(w1, b1.span(), w2);
  const double after = error().sqnr_db;
  CAPTURE(before, after);
  CHECK(before < 15.0);
  CHECK(after > 35.0);
}

TEST_CASE("equalize: convolutions, grouped and depthwise", "[quantize]") {
  const auto x = random_tensor({2, 6, 9, 8}, 9);
  for (const std::size_t groups : {1u, 2u, 4u, 12u}) {
    CAPTURE(groups);
    tensor<fp32> w1 = random_tensor({12, 3, 3, 2}, 10), b1 = random_tensor({12}, 11);  // 2 groups
    tensor<fp32> w2 = random_tensor({12, 12 / groups, 2, 3}, 12);
    spoil(w1);
    const auto before = conv(activated(conv(x, w1, b1.span(), 2), 0.0f), w2, {}, groups);
    const auto s = equalize(w1, b1.span(), w2, groups);
    const auto after = conv(activated(conv(x, w1, b1.span(), 2), 0.0f), w2, {}, groups);
    CHECK(compare(before, after).sqnr_db > 120.0);
    CHECK(*std::max_element(s.span().begin(), s.span().end()) >
          10.0f * *std::min_element(s.span().begin(), s.span().end()));
  }
}

TEST_CASE("equalize leaves dead channels, and what would overflow", "[quantize]") {
  tensor<fp32> w1({5, 1}, {0.0f, 1.0f, 4.0f, 1e-30f, 1e-44f}), b1({5}, {1, 2, 4, 1e30f, 0});
  tensor<fp32> w2({1, 5}, {1.0f, 0.0f, 1.0f, 1e30f, 1e38f});
  const auto s = equalize(w1, b1.span(), w2);
  const std::vector<float> expected{1, 1, 2, 1, 1};
  CHECK(std::vector<float>(s.span().begin(), s.span().end()) == expected);
  CHECK(w1.at(2, 0) == 2.0f);
  CHECK(b1.at(0, 2) == 2.0f);
  CHECK(w2.at(0, 2) == 2.0f);
  CHECK(b1.at(0, 3) == 1e30f);
  // Without biases.
  tensor<fp32> a({1, 1}, {4.0f}), b({1, 1}, {1.0f});
  CHECK(equalize(a, {}, b).at(0, 0) == 2.0f);
}

TEST_CASE("equalize and expected_shift say what does not fit", "[quantize]") {
  tensor<fp32> w1({4, 3}), b({4}), w2({2, 4}), wrong({2, 5}), vector({4}), grouped({4, 2, 1, 1});
  CHECK_THROWS_AS(equalize(w1, b.span(), wrong), error);
  CHECK_THROWS_AS(equalize(w1, b.span().first(3), w2), error);
  CHECK_THROWS_AS(equalize(vector, {}, w2), error);
  CHECK_THROWS_AS(equalize(w1, {}, grouped, 3), error);
  CHECK_THROWS_AS(equalize(w1, {}, grouped, 0), error);
  CHECK_NOTHROW(equalize(w1, {}, grouped, 2));
  const std::vector<float> mean(4);
  CHECK_THROWS_AS(expected_shift(w2, wrong, mean), error);
  CHECK_THROWS_AS(expected_shift(wrong, wrong, mean), error);
  CHECK_THROWS_AS(expected_shift(grouped, grouped, mean, 3), error);
  CHECK_NOTHROW(expected_shift(grouped, grouped, mean, 2));
  CHECK_THROWS_AS(correct_bias(mean, b.span().first(3)), error);
}

TEST_CASE("bias correction takes the mean error away", "[quantize]") {
  const auto x = activated(random_tensor({4096, 40}, 20, -0.5f, 2.0f), 0.0f);  // behind a ReLU
  const auto w = random_tensor({24, 40}, 21), b = random_tensor({24}, 22);
  const auto q = dequantize(quantize<int4>(w, per_tensor()));
  channel_mean inputs;
  inputs.observe(x);
  const auto shift = expected_shift(w, q, inputs.mean().span());
  const auto corrected = correct_bias(b.span(), shift.span());

  channel_mean exact, raw, repaired;
  exact.observe(dense(x, w, b.span()));
  raw.observe(dense(x, q, b.span()));
  repaired.observe(dense(x, q, corrected.span()));
  double before = 0.0, after = 0.0;
  for (std::size_t o = 0; o < 24; ++o) {
    before = std::max(before, std::fabs(static_cast<double>(raw.mean().data()[o]) -
                                        static_cast<double>(exact.mean().data()[o])));
    after = std::max(after, std::fabs(static_cast<double>(repaired.mean().data()[o]) -
                                      static_cast<double>(exact.mean().data()[o])));
  }
  CAPTURE(before, after);
  CHECK(before > 0.05);
  CHECK(after < 1e-5);
  CHECK(compare(dense(x, w, b.span()), dense(x, q, corrected.span())).mse <
        0.7 * compare(dense(x, w, b.span()), dense(x, q, b.span())).mse);
  // No bias: the correction is the bias.
  CHECK(correct_bias({}, shift.span()).data()[3] == -shift.data()[3]);
}

TEST_CASE("bias correction of convolutions, grouped too", "[quantize]") {
  // Constant planes: every window sees the mean.
  for (const std::size_t groups : {1u, 2u, 6u}) {
    tensor<fp32> x({3, 6, 5, 5});
    for (std::size_t i = 0; i < x.elements(); ++i)
      x.data()[i] = 0.1f * static_cast<float>(i / 25 % 6) + static_cast<float>(i / 150);
    const auto w = random_tensor({6, 6 / groups, 3, 2}, 30);
    const auto q = dequantize(quantize<int4>(w, per_tensor()));
    channel_mean inputs;
    inputs.observe(x);
    CHECK(inputs.mean().data()[2] == Approx(1.2));
    const auto shift = expected_shift(w, q, inputs.mean().span(), groups);
    channel_mean exact, raw;
    exact.observe(conv(x, w, {}, groups));
    raw.observe(conv(x, q, {}, groups));
    for (std::size_t o = 0; o < 6; ++o)
      CHECK(shift.data()[o] == Approx(raw.mean().data()[o] - exact.mean().data()[o]).margin(1e-5));
  }
}

TEST_CASE("channel_mean: batches, axes, parts", "[quantize]") {
  const auto x = random_tensor({6, 3, 4}, 40);
  channel_mean all, top, bottom, last(-1);
  all.observe(x);
  top.observe(tensor_view<const fp32>(x.data(), {1, 3, 4}));
  bottom.observe(tensor_view<const fp32>(x.data() + 12, {5, 3, 4}));
  top.merge(bottom);
  top.merge(channel_mean());
  last.observe(x);
  CHECK(channel_mean().mean().elements() == 0);
  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0.0;
    for (std::size_t i = 0; i < 72; ++i)
      if (i / 4 % 3 == c) sum += static_cast<double>(x.data()[i]);
    CHECK(all.mean().data()[c] == Approx(sum / 24.0));
    CHECK(top.mean().data()[c] == Approx(sum / 24.0));
  }
  CHECK(last.mean().elements() == 4);
  CHECK_THROWS_AS(all.observe(tensor<fp32>({2, 4, 1})), error);
  tensor<fp32> bad({1, 3, 1});
  bad.data()[1] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_AS(all.observe(bad), error);
}
