#include <qtk/ops/pool.hpp>

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
