#include <algorithm>
#include <cmath>
#include <limits>
#include <qtk/prune.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qtk;
using qtk_test::random_tensor;
using flags = std::vector<std::uint8_t>;

TEST_CASE("the smallest magnitudes go, the sign does not matter", "[prune]") {
  const tensor<fp32> x({2, 3}, {0.5f, -0.1f, 3.0f, -4.0f, 0.2f, -1.0f});
  CHECK(magnitude_mask(x, 0.0).keep == flags{1, 1, 1, 1, 1, 1});
  CHECK(magnitude_mask(x, 1.0 / 6).keep == flags{1, 0, 1, 1, 1, 1});
  CHECK(magnitude_mask(x, 0.5).keep == flags{0, 0, 1, 1, 0, 1});
  CHECK(magnitude_mask(x, 5.0 / 6).keep == flags{0, 0, 0, 1, 0, 0});
  CHECK(magnitude_mask(x, 1.0).keep == flags{0, 0, 0, 0, 0, 0});
}

TEST_CASE("of equal magnitudes the first go first, so that the count is exact", "[prune]") {
  const tensor<fp32> x({6}, {1.0f, -1.0f, 1.0f, -1.0f, 1.0f, 0.5f});
  CHECK(magnitude_mask(x, 0.5).keep == flags{0, 0, 1, 1, 1, 0});
  const tensor<fp32> zeros({4}, {0.0f, -0.0f, 0.0f, -0.0f});
  CHECK(magnitude_mask(zeros, 0.5).keep == flags{0, 0, 1, 1});
}

TEST_CASE("global pruning has one threshold, per-layer pruning one for each", "[prune]") {
  const tensor<fp32> a({2, 2}, {0.1f, 0.2f, 0.3f, 0.4f}), b({1, 4}, {1.0f, 2.0f, 3.0f, 0.35f});
  const std::vector<tensor_view<const fp32>> both{a, b};
  const auto global = global_magnitude_masks(both, 0.5);
  REQUIRE(global.size() == 2);
  CHECK(global[0].shape == a.shape());
  CHECK(global[1].shape == b.shape());
  CHECK(global[0].keep == flags{0, 0, 0, 1});
  CHECK(global[1].keep == flags{1, 1, 1, 0});
  CHECK(magnitude_mask(a, 0.5).keep == flags{0, 0, 1, 1});
  CHECK(magnitude_mask(b, 0.5).keep == flags{0, 1, 1, 0});
  // Ties across tensors: the first tensor gives first.
  const std::vector<tensor_view<const fp32>> twice{a, a};
  const auto tied = global_magnitude_masks(twice, 3.0 / 8);
  CHECK(tied[0].keep == flags{0, 0, 1, 1});
  CHECK(tied[1].keep == flags{0, 1, 1, 1});
  CHECK(global_magnitude_masks({}, 0.5).empty());
}

TEST_CASE("masks agree with a full sort", "[prune]") {
  for (const std::uint32_t seed : {1u, 2u, 3u})
    for (const std::size_t n : {1u, 2u, 7u, 100u, 3001u})
      for (const double sparsity : {0.0, 0.1, 0.5, 0.77, 0.999, 1.0}) {
        auto x = random_tensor({n}, seed);
        // Few distinct values for seed 2, magnitudes down to denormals for seed 3.
        for (std::size_t i = 0; i < n; ++i) {
          float& v = x.data()[i];
          if (seed == 2) v = std::nearbyint(v * 4.0f);
          if (seed == 3) v = std::ldexp(v, -static_cast<int>(i % 148));
        }
        std::vector<std::size_t> order(n);
        for (std::size_t i = 0; i < n; ++i) order[i] = i;
        std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
          return std::fabs(x.data()[a]) < std::fabs(x.data()[b]);
        });
        flags expected(n, 1);
        for (std::size_t i = 0; i < prune_count(n, sparsity); ++i) expected[order[i]] = 0;
        REQUIRE(magnitude_mask(x, sparsity).keep == expected);
      }
}

TEST_CASE("a view with gaps is masked by its own elements", "[prune]") {
  float wide[] = {1.0f, 4.0f, 0.0f, 3.0f, 2.0f, 0.0f};
  CHECK(magnitude_mask(tensor_view<fp32>(wide, {2, 2}, 3, nullptr), 0.5).keep == flags{0, 1, 1, 0});
}

TEST_CASE("NaN weights and impossible sparsities are errors", "[prune]") {
  auto x = random_tensor({3, 4}, 1);
  CHECK_THROWS_AS(magnitude_mask(x, 1.5), error);
  x.view().set(1, 2, std::numeric_limits<float>::quiet_NaN());
  CHECK_THROWS_WITH(magnitude_mask(x, 0.5), Catch::Contains("nan at row 1, column 2"));
  CHECK_THROWS_AS(nm_mask(x, 2, 4), error);
  CHECK_THROWS_AS(slice_norms(x, 0), error);
  CHECK_THROWS_AS(histogram(x, 4), error);
}
