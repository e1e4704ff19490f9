#include <bit>
#include <limits>
#include <qtk/prune.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qtk;

TEST_CASE("prune_count rounds to the nearest whole weight", "[prune]") {
  CHECK(prune_count(10, 0.0) == 0);
  CHECK(prune_count(10, 1.0) == 10);
  CHECK(prune_count(10, 0.5) == 5);
  CHECK(prune_count(10, 0.24) == 2);
  CHECK(prune_count(10, 0.25) == 3);
  CHECK(prune_count(3, 0.5) == 2);
  CHECK(prune_count(0, 0.5) == 0);
  for (const double bad : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_WITH(prune_count(10, bad), Catch::Contains("is not in [0, 1]"));
}

TEST_CASE("apply writes +0 where the mask prunes and nothing else", "[prune]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  float data[] = {1.0f, nan, -3.0f, 77.0f, -4.0f, 5.0f, 6.0f, 77.0f};  // two rows, stride 4
  apply(tensor_view<fp32>(data, {2, 3}, 4, nullptr), {{2, 3}, {1, 0, 0, 0, 1, 1}});
  const float expected[] = {1.0f, 0.0f, 0.0f, 77.0f, 0.0f, 5.0f, 6.0f, 77.0f};
  for (std::size_t i = 0; i < 8; ++i) CHECK(data[i] == expected[i]);
  CHECK(std::bit_cast<std::uint32_t>(data[4]) == 0);
}

TEST_CASE("a mask knows what it keeps", "[prune]") {
  const mask m{{2, 3}, {1, 0, 0, 0, 1, 0}};
  CHECK(m.kept() == 2);
  CHECK(m.sparsity() == Approx(4.0 / 6.0));
  CHECK(mask{{0}, {}}.sparsity() == 0.0);
}

TEST_CASE("a mask of another shape is an error", "[prune]") {
  tensor<fp32> x({2, 3});
  CHECK_THROWS_AS(apply(x, {{3, 2}, {1, 1, 1, 1, 1, 1}}), error);
  CHECK_THROWS_AS(apply(x, {{2, 3}, {1, 1}}), error);
}
