#include <limits>
#include <numeric>
#include <qtk/prune.hpp>
#include <qtk/quantize.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qtk;

TEST_CASE("zeros are counted, -0 too, gaps not", "[prune]") {
  float wide[] = {0.0f, 1.0f, 0.0f, -0.0f, 1e-45f, 0.0f};
  const zero_count n = count_zeros(tensor_view<fp32>(wide, {2, 2}, 3, nullptr));
  CHECK(n.zeros == 2);
  CHECK(n.elements == 4);
  CHECK(n.sparsity() == 0.5);
  zero_count model = n;
  model += count_zeros(tensor<fp32>({4, 3}));
  CHECK(model.zeros == 14);
  CHECK(model.sparsity() == 14.0 / 16.0);
  CHECK(count_zeros(tensor<fp32>({0, 3})).sparsity() == 0.0);
}

TEST_CASE("a mask's sparsity arrives in the tensor", "[prune]") {
  for (const double sparsity : {0.0, 0.3, 0.9, 1.0}) {
    auto x = qtk_test::random_tensor({31, 7}, 1);
    const mask m = magnitude_mask(x, sparsity);
    apply(x, m);
    CHECK(count_zeros(x).zeros == prune_count(217, sparsity));
    CHECK(count_zeros(x).sparsity() == m.sparsity());
    // Pruned weights stay zero in every format.
    CHECK(count_zeros(dequantize(quantize<uint4>(x, per_group(8)))).zeros >= count_zeros(x).zeros);
  }
}

TEST_CASE("histogram of magnitudes", "[prune]") {
  const tensor<fp32> x({8}, {0.0f, -0.5f, 0.99f, 1.0f, -2.0f, 3.0f, -4.0f, 3.9f});
  const magnitude_histogram h = histogram(x, 4);
  CHECK(h.max == 4.0f);
  CHECK(h.counts == std::vector<std::size_t>{3, 1, 1, 3});
  CHECK(histogram(tensor<fp32>({5}), 3).counts == std::vector<std::size_t>{5, 0, 0});
  CHECK(histogram(tensor<fp32>({0}), 2).counts == std::vector<std::size_t>{0, 0});
  const float big = std::numeric_limits<float>::max();
  CHECK(histogram(tensor<fp32>({3}, {big, -big, 1.0f}), 2).counts ==
        std::vector<std::size_t>{1, 2});
  CHECK_THROWS_AS(histogram(x, 0), error);
  const auto random = histogram(qtk_test::random_tensor({100, 100}, 2), 13).counts;
  CHECK(std::accumulate(random.begin(), random.end(), std::size_t{0}) == 10000);
}

TEST_CASE("check_nm counts the groups that keep too many", "[prune]") {
  const tensor<fp32> x({2, 6}, {1.0f, 1.0f, 0.0f, 0.0f, 1.0f, 1.0f,  //
                                1.0f, 1.0f, 1.0f, 0.0f, 1.0f, 0.0f});
  const nm_check two = check_nm(x, 2, 4), one = check_nm(x, 1, 4);
  CHECK(two.groups == 4);
  CHECK(two.violations == 1);
  CHECK_FALSE(two.conforms());
  CHECK(one.violations == 3);
  CHECK(check_nm(x, 3, 4).conforms());
}
