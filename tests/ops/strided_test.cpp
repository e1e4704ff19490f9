#include <algorithm>
#include <qtk/ops/binary.hpp>
#include <qtk/ops/strided.hpp>
#include <random>
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

namespace {

/// copy_strided between tensors that end where the last element does, against a loop over the
/// indices; `to` may leave gaps, which stay as they are.
bool copies_right(const shape& dims, std::size_t size, const strides& from, const strides& to) {
  std::array<std::ptrdiff_t, 2> first{}, last{};
  for (std::size_t d = 0; d < dims.rank(); ++d)
    for (std::size_t side = 0; side < 2 && dims.elements() != 0; ++side) {
      const std::ptrdiff_t way =
          static_cast<std::ptrdiff_t>(dims[d] - 1) * (side == 0 ? from : to)[d];
      (way < 0 ? first : last)[side] += way;
    }
  const auto room = [&](std::size_t side) {
    return static_cast<std::size_t>(last[side] - first[side] + 1) * size;
  };
  std::vector<std::byte> x(room(0)), y(room(1)), expected;
  std::minstd_rand random(1);
  for (std::byte& b : x) b = static_cast<std::byte>(random() >> 8);
  expected = y;
  for (std::size_t i = 0; i < dims.elements(); ++i) {
    std::ptrdiff_t a = -first[0], b = -first[1];
    for (std::size_t d = dims.rank(), left = i; d-- > 0; left /= dims[d]) {
      a += static_cast<std::ptrdiff_t>(left % dims[d]) * from[d];
      b += static_cast<std::ptrdiff_t>(left % dims[d]) * to[d];
    }
    for (std::size_t k = 0; k < size; ++k)
      expected[static_cast<std::size_t>(b) * size + k] = x[static_cast<std::size_t>(a) * size + k];
  }
  const auto bytes = static_cast<std::ptrdiff_t>(size);
  copy_strided(dims, size, x.data() - first[0] * bytes, from, y.data() - first[1] * bytes, to);
  return y == expected;
}

}  // namespace

TEST_CASE("matrices of any size and element are transposed", "[ops]") {
  for (const std::size_t size : {1u, 2u, 3u, 4u, 8u, 12u, 16u, 24u, 64u})
    for (const std::size_t rows :
         {1u, 2u, 3u, 4u, 5u, 7u, 8u, 9u, 15u, 16u, 17u, 23u, 64u, 67u, 150u})
      for (const std::size_t columns :
           {1u, 2u, 3u, 4u, 6u, 8u, 11u, 16u, 19u, 31u, 64u, 65u, 300u}) {
        INFO(rows << " x " << columns << " of " << size);
        const auto R = static_cast<std::ptrdiff_t>(rows), C = static_cast<std::ptrdiff_t>(columns);
        CHECK(copies_right({rows, columns}, size, {1, R}, {C, 1}));
        CHECK(copies_right({rows, columns}, size, {1, R + 2}, {C + 1, 1}));  // parts of larger ones
        CHECK(copies_right({rows, columns}, size, {1, -R}, {2 * C, 2}));
        CHECK(copies_right({3, rows, columns}, size, {R * C, 1, R}, {R * C, C, 1}));
        CHECK(copies_right({rows, 2, columns}, size, {1, R * C, R}, {2 * C, C, 1}));
      }
}

TEST_CASE("slices of any layout are copied", "[ops]") {
  std::minstd_rand random(7);
  const auto below = [&](std::size_t n) { return (random() >> 8) % n; };
  for (int round = 0; round < 4000; ++round) {
    const std::size_t sizes[] = {1, 2, 4, 8, 3, 16}, size = sizes[below(6)], rank = below(6);
    // Dimensions of a source in some order, each cut, stepped through, walked back or repeated.
    std::vector<std::size_t> order(rank);
    for (std::size_t d = 0; d < rank; ++d) {
      const std::size_t at = below(d + 1);
      order[d] = order[at];
      order[at] = d;
    }
    const std::size_t lengths[] = {1, 2, 3, 4, 7, 16, 33}, most = rank > 3 ? 4 : 7;
    shape dims;
    for (std::size_t d = 0; d < rank; ++d) dims.push_back(lengths[below(most)]);
    if (rank != 0 && round % 64 == 0) dims[below(rank)] = 0;
    strides from{}, to{};
    std::ptrdiff_t source = 1, target = 1;
    for (std::size_t d = rank; d-- > 0;) {
      const auto n = [&](std::size_t at) { return static_cast<std::ptrdiff_t>(dims[at]); };
      const std::ptrdiff_t steps[] = {1, 1, 1, 1, 2, 3, -1, -2, 0};
      const std::ptrdiff_t step = steps[below(9)];
      from[order[d]] = step * source;
      source *= std::max<std::ptrdiff_t>(1, step < 0 ? -step * n(order[d]) : step * n(order[d]));
      source += below(3) == 0 ? 2 * source : 0;
      to[d] = target;
      target *= std::max<std::ptrdiff_t>(1, n(d));
      target += below(3) == 0 ? target : 0;
    }
    INFO(to_string(dims) << " of " << size << ", round " << round);
    CHECK(copies_right(dims, size, from, to));
  }
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
