#include <cstdint>
#include <limits>
#include <qtk/ops/pool.hpp>
#include <random>
#include <vector>

#include "support/catch.hpp"

using namespace qtk;

namespace {
std::vector<float> pool(pool_kind kind, const window_2d& w, std::size_t h, std::size_t width,
                        std::size_t oh, std::size_t ow, const std::vector<float>& x) {
  std::vector<float> y(x.size() / (h * width) * oh * ow);
  pool_2d(kind, w, x.size() / (h * width), h, width, oh, ow, x.data(), y.data());
  return y;
}
}  // namespace

TEST_CASE("maximum ignores padding, averages count as asked", "[ops]") {
  const std::vector<float> x{-1, -2, -3, -4};  // 2 x 2
  const window_2d w{2, 2, 1, 1, 1, 1, 1, 1, 0, 0};
  CHECK(pool(pool_kind::max, w, 2, 2, 2, 2, x) == std::vector<float>{-1, -1, -1, -1});
  CHECK(pool(pool_kind::average, w, 2, 2, 2, 2, x) == std::vector<float>{-1, -1.5f, -2, -2.5f});
  CHECK(pool(pool_kind::average_with_padding, w, 2, 2, 2, 2, x) ==
        std::vector<float>{-0.25f, -0.75f, -1, -2.5f});
}

TEST_CASE("a window that hangs over the end counts what is there", "[ops]") {
  const std::vector<float> x{1, 2, 3};  // 1 x 3, kernel 2, stride 2, ceil_mode: two outputs
  const window_2d w{1, 2, 1, 2};
  CHECK(pool(pool_kind::max, w, 1, 3, 1, 2, x) == std::vector<float>{2, 3});
  CHECK(pool(pool_kind::average, w, 1, 3, 1, 2, x) == std::vector<float>{1.5f, 3});
}

TEST_CASE("dilation spreads the taps", "[ops]") {
  const std::vector<float> x{5, 9, 1, 8, 2};
  const window_2d w{1, 3, 1, 1, 1, 2};
  CHECK(pool(pool_kind::max, w, 1, 5, 1, 1, x) == std::vector<float>{5});
}

TEST_CASE("the largest of each window, NaN where one is in it", "[ops]") {
  std::mt19937 random(3);
  const auto pick = [&](std::size_t from, std::size_t to) { return from + random() % (to - from); };
  for (int round = 0; round < 500; ++round) {
    const window_2d w{pick(1, 5), pick(1, 5), pick(1, 5), pick(1, 6), pick(1, 3),
                      pick(1, 4), pick(0, 2), pick(0, 3), pick(0, 2), pick(0, 3)};
    const std::size_t h = pick(8, 14), width = pick(10, 27);
    const std::size_t oh = w.out_height(h), ow = w.out_width(width);
    std::vector<float> x(2 * h * width);
    for (float& v : x)
      v = random() % 60 == 0 ? std::numeric_limits<float>::quiet_NaN()
                             : static_cast<float>(random() % 100);
    const auto y = pool(pool_kind::max, w, h, width, oh, ow, x);
    std::size_t wrong = 0;
    for (std::size_t at = 0; at < y.size(); ++at) {
      float most = -std::numeric_limits<float>::infinity();
      for (std::size_t a = 0; a < w.kernel_h; ++a)
        for (std::size_t b = 0; b < w.kernel_w; ++b) {
          const std::size_t row = at / ow % oh * w.stride_h + a * w.dilation_h - w.pad_top,
                            col = at % ow * w.stride_w + b * w.dilation_w - w.pad_left;
          if (row >= h || col >= width) continue;  // also what wraps around
          const float v = x[(at / (oh * ow) * h + row) * width + col];
          if (v > most || v != v) most = v;
        }
      if (most != y[at] && (most == most || y[at] == y[at])) ++wrong;
    }
    CAPTURE(w.kernel_h, w.kernel_w, w.stride_w, w.dilation_w, w.pad_left, width);
    CHECK(wrong == 0);
  }
}

TEST_CASE("the largest code of each window is that of floats", "[ops]") {
  std::mt19937 random(4);
  const auto pick = [&](std::size_t from, std::size_t to) { return from + random() % (to - from); };
  for (std::size_t round = 0; round < 600; ++round) {
    const window_2d w{pick(1, 5), pick(1, 5), pick(1, 4), pick(1, 5), pick(1, 3),
                      pick(1, 4), pick(0, 3), pick(0, 4), pick(0, 3), pick(0, 4)};
    // Widths around those of vectors, a row too long for vectors, planes of many rows.
    const std::size_t h = pick(8, round % 9 == 0 ? 200 : 14);
    const std::size_t width =
        round % 50 == 0 ? pick(2000, 2100) : pick(10, round % 3 == 0 ? 120 : 40);
    // As ceil_mode has it: windows that hang over the end.
    const std::size_t oh = w.out_height(h) + round % 2, ow = w.out_width(width) + round % 2;
    std::vector<std::uint8_t> x(3 * h * width), y(3 * oh * ow);
    for (auto& v : x)
      v = static_cast<std::uint8_t>(random() % 4 == 0 ? 255 * (random() % 2) : random());
    const std::vector<float> reals(x.begin(), x.end());
    max_pool_2d(w, 3, h, width, oh, ow, x.data(), y.data());
    const auto expected = pool(pool_kind::max, w, h, width, oh, ow, reals);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < y.size(); ++i)
      if (y[i] != (expected[i] < 0.0f ? 0.0f : expected[i])) ++wrong;  // a window of padding only
    CAPTURE(w.kernel_h, w.kernel_w, w.stride_w, w.dilation_w, w.pad_left, h, width);
    CHECK(wrong == 0);
  }
}
