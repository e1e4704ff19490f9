#include <qtk/ops/binary.hpp>
#include <qtk/ops/strided.hpp>
#include <vector>

#include "support/catch.hpp"

using namespace qtk;

TEST_CASE("broadcasting follows numpy", "[ops]") {
  CHECK(broadcast_shape({2, 3}, {3}) == shape{2, 3});
  CHECK(broadcast_shape({2, 1, 4}, {3, 1}) == shape{2, 3, 4});
  CHECK(broadcast_shape({}, {5}) == shape{5});
  CHECK(broadcast_shape({0}, {1}) == shape{0});
  CHECK_THROWS_WITH(broadcast_shape({2, 3}, {2}), "broadcast: [2, 3] with [2]");
}

TEST_CASE("copy_strided transposes, reverses and repeats", "[ops]") {
  const std::vector<float> x{1, 2, 3, 4, 5, 6};  // (2, 3)
  const auto copy = [&](const shape& dims, std::ptrdiff_t first, const strides& from) {
    std::vector<float> y(dims.elements());
    copy_strided(dims, sizeof(float), reinterpret_cast<const std::byte*>(x.data() + first), from,
                 reinterpret_cast<std::byte*>(y.data()), row_major(dims));
    return y;
  };
  CHECK(copy({3, 2}, 0, {1, 3}) == std::vector<float>{1, 4, 2, 5, 3, 6});
  CHECK(copy({2, 3}, 2, {3, -1}) == std::vector<float>{3, 2, 1, 6, 5, 4});
  CHECK(copy({2, 2, 3}, 0, {0, 3, 1}) == std::vector<float>{1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6});
  CHECK(copy({}, 4, {}) == std::vector<float>{5});
  CHECK(copy({0, 3}, 0, {3, 1}).empty());
}

TEST_CASE("binary operators broadcast either side", "[ops]") {
  const auto& k = find_elementwise(active_isa());
  const std::vector<float> a{1, 2, 3, 4, 5, 6}, row{10, 20, 30}, column{100, 200};
  const auto run = [&](binary_op op, const shape& as, const std::vector<float>& x, const shape& bs,
                       const std::vector<float>& y) {
    std::vector<float> out(broadcast_shape(as, bs).elements());
    binary<float>(op, as, x.data(), bs, y.data(), out.data(), k);
    return out;
  };
  CHECK(run(binary_op::add, {2, 3}, a, {3}, row) == std::vector<float>{11, 22, 33, 14, 25, 36});
  CHECK(run(binary_op::subtract, {3}, row, {2, 3}, a) == std::vector<float>{9, 18, 27, 6, 15, 24});
  CHECK(run(binary_op::add, {2, 3}, a, {2, 1}, column) ==
        std::vector<float>{101, 102, 103, 204, 205, 206});
  CHECK(run(binary_op::subtract, {2, 1}, column, {2, 3}, a) ==
        std::vector<float>{99, 98, 97, 196, 195, 194});
  CHECK(run(binary_op::multiply, {2, 1}, column, {3}, row) ==
        std::vector<float>{1000, 2000, 3000, 2000, 4000, 6000});
  CHECK(run(binary_op::divide, {2, 3}, a, {}, {2}) ==
        std::vector<float>{0.5f, 1, 1.5f, 2, 2.5f, 3});
}

TEST_CASE("integers wrap, and division by zero is defined", "[ops]") {
  CHECK(apply<std::int64_t>(binary_op::divide, 7, 0) == 0);
  CHECK(apply<std::int32_t>(binary_op::divide, INT32_MIN, -1) == INT32_MIN);
  CHECK(apply<std::int32_t>(binary_op::add, INT32_MAX, 1) == INT32_MIN);
  CHECK(apply<std::int32_t>(binary_op::divide, -7, 2) == -3);
}
