#include <algorithm>
#include <cmath>
#include <qtk/prune.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qtk;
using flags = std::vector<std::uint8_t>;

TEST_CASE("2:4 keeps the two largest of each four, row by row", "[prune]") {
  const tensor<fp32> x({2, 8}, {1.0f, -4.0f, 3.0f, 2.0f, 0.0f, 0.0f, 5.0f, 0.0f,  //
                                -1.0f, 1.0f, -1.0f, 1.0f, 9.0f, 8.0f, 7.0f, 6.0f});
  const mask m = nm_mask(x, 2, 4);
  CHECK(m.shape == x.shape());
  CHECK(m.keep == flags{0, 1, 1, 0, 0, 0, 1, 1,  //
                        0, 0, 1, 1, 1, 1, 0, 0});
}

TEST_CASE("a shorter last group keeps N as well, and groups start anew in each row", "[prune]") {
  const tensor<fp32> x({2, 5}, {4.0f, 3.0f, 2.0f, 1.0f, 0.5f, 1.0f, 2.0f, 3.0f, 4.0f, 0.5f});
  CHECK(nm_mask(x, 1, 4).keep == flags{1, 0, 0, 0, 1, 0, 0, 0, 1, 1});
  CHECK(nm_mask(x, 1, 3).keep == flags{1, 0, 0, 1, 0, 0, 0, 1, 1, 0});
}

TEST_CASE("K of a convolution runs through I, kh and kw", "[prune]") {
  auto x = qtk_test::random_tensor({3, 2, 3, 3}, 5);
  const mask m = nm_mask(x, 2, 4);
  x.reshape({3, 18});
  CHECK(m.keep == nm_mask(x, 2, 4).keep);
  x.reshape({54});  // a vector is one row: groups cross what were rows
  CHECK(m.keep != nm_mask(x, 2, 4).keep);
}

TEST_CASE("N:M holds in every row and keeps the largest sum", "[prune]") {
  for (const auto& [n, m] : {std::pair<std::size_t, std::size_t>{2, 4},
                             {1, 4},
                             {4, 8},
                             {0, 3},
                             {3, 3},
                             {1, 2},
                             {5, 16},
                             {1, 1000}})
    for (const shape& s :
         {shape{5, 64}, shape{4, 63}, shape{1, 1}, shape{7, 3}, shape{2, 3, 5, 5}}) {
      auto x = qtk_test::random_tensor(s, 17);
      const tensor<fp32> before = x;
      const mask result = nm_mask(x, n, m);
      apply(x, result);
      REQUIRE(check_nm(x, n, m).conforms());
      const std::size_t N = s[0], K = x.elements() / N;
      for (std::size_t row = 0; row < N; ++row)
        for (std::size_t k = 0; k < K; k += m) {
          const std::size_t size = std::min(m, K - k);
          std::vector<float> all, kept;
          for (std::size_t i = row * K + k; i < row * K + k + size; ++i) {
            all.push_back(std::fabs(before.data()[i]));
            if (result.keep[i]) kept.push_back(std::fabs(before.data()[i]));
          }
          std::sort(all.begin(), all.end());
          std::sort(kept.begin(), kept.end());
          REQUIRE(kept ==
                  std::vector<float>(all.end() - static_cast<std::ptrdiff_t>(std::min(n, size)),
                                     all.end()));
        }
    }
}

TEST_CASE("N:M that makes no sense is an error", "[prune]") {
  const tensor<fp32> x({2, 4});
  CHECK_THROWS_AS(nm_mask(x, 5, 4), error);
  CHECK_THROWS_AS(nm_mask(x, 0, 0), error);
  CHECK_THROWS_AS(check_nm(x, 1, 0), error);
}
