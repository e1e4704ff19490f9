#include <cmath>
#include <qtk/prune.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qtk;
using indices = std::vector<std::size_t>;

TEST_CASE("L1 and L2 rank rows and columns", "[prune]") {
  const tensor<fp32> x({3, 2}, {3.0f, -4.0f, 6.0f, 0.0f, 0.0f, 0.0f});
  CHECK(slice_norms(x, 0, slice_norm::l1) == std::vector<double>{7.0, 6.0, 0.0});
  CHECK(slice_norms(x, 0, slice_norm::l2) == std::vector<double>{5.0, 6.0, 0.0});
  CHECK(slice_norms(x, 1, slice_norm::l1) == std::vector<double>{9.0, 4.0});
  CHECK(channels_to_keep(x, 2.0 / 3, 0, slice_norm::l1) == indices{0});
  CHECK(channels_to_keep(x, 2.0 / 3, 0, slice_norm::l2) == indices{1});
  CHECK(channels_to_keep(x, 1.0 / 3) == indices{0, 1});
  CHECK(channels_to_keep(x, 0.5, 1) == indices{0});
  CHECK(channels_to_keep(x, 0.0) == indices{0, 1, 2});
  CHECK(channels_to_keep(x, 1.0) == indices{0});  // one always stays
}

TEST_CASE("of equal norms the first go first; indices come back ascending", "[prune]") {
  CHECK(strongest(std::vector<double>{1.0, 3.0, 1.0, 2.0, 1.0}, 3) == indices{1, 3, 4});
  CHECK(strongest(std::vector<double>{1.0}, 0).empty());
  CHECK_THROWS_AS(strongest(std::vector<double>{1.0}, 2), error);
}

TEST_CASE("norms of every axis of a convolution against the definition", "[prune]") {
  const shape s{4, 3, 2, 5};
  const auto x = qtk_test::random_tensor(s, 6);
  for (std::size_t axis = 0; axis < 4; ++axis) {
    std::vector<double> l1(s[axis]), l2(s[axis]);
    std::size_t i = 0, at[4] = {};
    for (at[0] = 0; at[0] < 4; ++at[0])
      for (at[1] = 0; at[1] < 3; ++at[1])
        for (at[2] = 0; at[2] < 2; ++at[2])
          for (at[3] = 0; at[3] < 5; ++at[3], ++i) {
            const double w = static_cast<double>(x.data()[i]);
            l1[at[axis]] += std::fabs(w);
            l2[at[axis]] += w * w;
          }
    const auto a = static_cast<std::ptrdiff_t>(axis);
    const auto n1 = slice_norms(x, a, slice_norm::l1), n2 = slice_norms(x, a - 4, slice_norm::l2);
    for (std::size_t c = 0; c < s[axis]; ++c) {
      CHECK(n1[c] == Approx(l1[c]));
      CHECK(n2[c] == Approx(std::sqrt(l2[c])));
    }
  }
}

TEST_CASE("take removes neurons, inputs and channels", "[prune]") {
  const tensor<fp32> x({3, 2}, {1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f});
  const auto rows = take(x, 0, indices{0, 2});
  CHECK(rows.shape() == shape{2, 2});
  CHECK(std::vector<float>(rows.span().begin(), rows.span().end()) ==
        std::vector<float>{1.0f, 2.0f, 5.0f, 6.0f});
  const auto cols = take(x, -1, indices{1});
  CHECK(cols.shape() == shape{3, 1});
  CHECK(std::vector<float>(cols.span().begin(), cols.span().end()) ==
        std::vector<float>{2.0f, 4.0f, 6.0f});
  const tensor<int64> bias({4}, {10, 11, 12, 13});
  CHECK(take(bias, 0, indices{3, 3, 0}).span()[1] == 13);  // any order, repeats too
  CHECK(take(x, 0, indices{}).shape() == shape{0, 2});
  CHECK_THROWS_WITH(take(x, 1, indices{2}), Catch::Contains("index 2 of axis 1 in [3, 2]"));
  CHECK_THROWS_AS(take(x, 2, indices{0}), error);
}

TEST_CASE("take on each axis of a view with gaps", "[prune]") {
  const shape s{3, 4, 2, 3};
  std::vector<float> wide(24 * 5, -1.0f);
  for (std::size_t i = 0; i < 72; ++i) wide[i / 3 * 5 + i % 3] = static_cast<float>(i);
  const tensor_view<const fp32> x(wide.data(), s, 5, nullptr);
  for (std::size_t axis = 0; axis < 4; ++axis) {
    const indices kept{1, s[axis] - 1};
    const auto y = take(x, static_cast<std::ptrdiff_t>(axis), kept);
    shape expected = s;
    expected[axis] = 2;
    REQUIRE(y.shape() == expected);
    for (std::size_t i = 0; i < y.elements(); ++i) {
      std::size_t rest = i, flat = 0, stride = 1;
      for (std::size_t d = 4; d-- > 0; rest /= expected[d], stride *= s[d]) {
        const std::size_t index = rest % expected[d];
        flat += (d == axis ? kept[index] : index) * stride;
      }
      REQUIRE(y.data()[i] == static_cast<float>(flat));
    }
  }
}

TEST_CASE("removing dead neurons leaves a chain of layers as it was", "[prune]") {
  // y = W2 relu(W1 x): rows of W1 that are zero, and the columns of W2 they feed, contribute
  // nothing.
  auto w1 = qtk_test::random_tensor({8, 5}, 1);
  const auto w2 = qtk_test::random_tensor({3, 8}, 2), x = qtk_test::random_tensor({5}, 3);
  for (const std::size_t dead : {2u, 3u, 6u})
    for (std::size_t k = 0; k < 5; ++k) w1.view().set(dead, k, 0.0f);
  const auto chain = [&](const tensor<fp32>& a, const tensor<fp32>& b) {
    std::vector<double> y(3);
    for (std::size_t n = 0; n < a.rows(); ++n) {
      double h = 0.0;
      for (std::size_t k = 0; k < 5; ++k)
        h += static_cast<double>(a.at(n, k)) * static_cast<double>(x.data()[k]);
      for (std::size_t o = 0; o < 3; ++o)
        y[o] += static_cast<double>(b.at(o, n)) * (h > 0.0 ? h : 0.0);
    }
    return y;
  };
  const auto kept = channels_to_keep(w1, 3.0 / 8);
  CHECK(kept == indices{0, 1, 4, 5, 7});
  CHECK(chain(take(w1, 0, kept), take(w2, 1, kept)) == chain(w1, w2));
}

TEST_CASE("spread turns channels into the columns after a Flatten", "[prune]") {
  CHECK(spread(indices{0, 2}, 3) == indices{0, 1, 2, 6, 7, 8});
  CHECK(spread(indices{}, 3).empty());
}
