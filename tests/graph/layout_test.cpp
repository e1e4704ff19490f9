#include <optional>

#include "models.hpp"
#include "support/catch.hpp"

/// Operators that move elements, at rows of any length and elements of any size.

using namespace qtk;
using qtk_test::ints;
using qtk_test::make_node;

namespace {

/// Input "x" (3, 5, n) of that type, outputs "part" and "y", and lists of integers by name.
template <class F>
any_tensor moved(node n, const tensor<F>& x,
                 const std::vector<std::pair<std::string, any_tensor>>& weights) {
  model m = qtk_test::with_nodes({}, {std::move(n)});
  m.inputs[0].type = m.outputs[0].type = F::id;
  for (const std::size_t d : x.shape()) m.inputs[0].dims.push_back({d, ""});
  for (const auto& [name, list] : weights) m.set_weight(name, list);
  const any_tensor input = x;
  return session(m).run(std::span(&input, 1)).at(0);
}

/// Where element (i, j, k) of a result is in x; nothing: the fill.
using origin = std::optional<std::array<std::size_t, 3>>;

template <class F, class Function>
bool equal(const any_tensor& got, const tensor<F>& x, const shape& y, Function&& from,
           int fill = 0) {
  using T = typename F::value_type;
  if (got.shape() != y || got.dtype() != F::id) return false;
  const shape& s = x.shape();
  const T* out = got.as<F>().data();
  for (std::size_t i = 0; i < y[0]; ++i)
    for (std::size_t j = 0; j < y[1]; ++j)
      for (std::size_t k = 0; k < y[2]; ++k) {
        const origin at = from(i, j, k);
        const T want =
            at ? x.data()[((*at)[0] * s[1] + (*at)[1]) * s[2] + (*at)[2]] : static_cast<T>(fill);
        if (*out++ != want) return false;
      }
  return true;
}

template <class F>
void check_rows_of(std::size_t n) {
  const std::size_t A = 3, B = 5;
  tensor<F> x({A, B, n});
  for (std::size_t i = 0; i < x.elements(); ++i)
    x.data()[i] = static_cast<typename F::value_type>(i % 251 + 1);
  const auto list = [](std::initializer_list<std::int64_t> v) { return graph_ops::int64_list(v); };
  const auto N = static_cast<std::int64_t>(n);
  const attribute last = std::int64_t{2}, middle = std::int64_t{1};
  using index = std::size_t;

  CHECK(equal(moved(make_node("Concat", {"x", "x"}, "y", {{"axis", last}}), x, {}), x,
              {A, B, 2 * n}, [&](index i, index j, index k) {
                return origin{{i, j, k % n}};
              }));
  CHECK(equal(moved(make_node("Concat", {"x", "x"}, "y", {{"axis", middle}}), x, {}), x,
              {A, 2 * B, n}, [&](index i, index j, index k) {
                return origin{{i, j % B, k}};
              }));

  node split = make_node("Split", {"x", "lengths"}, "y", {{"axis", last}});
  split.outputs = {"part", "y"};
  CHECK(equal(moved(split, x, {{"lengths", list({1, N - 1})}}), x, {A, B, n - 1},
              [&](index i, index j, index k) {
                return origin{{i, j, k + 1}};
              }));

  CHECK(equal(moved(make_node("Gather", {"x", "rows"}, "y"), x, {{"rows", list({2, -3})}}), x,
              {2, B, n}, [&](index i, index j, index k) {
                return origin{{2 - 2 * i, j, k}};
              }));
  const index rows[] = {4, 0, 2, 4};
  CHECK(equal(moved(make_node("Gather", {"x", "rows"}, "y", {{"axis", middle}}), x,
                    {{"rows", list({4, 0, 2, -1})}}),
              x, {A, 4, n}, [&](index i, index j, index k) {
                return origin{{i, rows[j], k}};
              }));
  CHECK(equal(moved(make_node("Gather", {"x", "rows"}, "y", {{"axis", last}}), x,
                    {{"rows", list({-1, 0})}}),
              x, {A, B, 2}, [&](index i, index j, index k) {
                return origin{{i, j, k == 0 ? n - 1 : 0}};
              }));

  tensor<int64> pairs({2, 1, 2});  // (i, j)
  for (index i = 0; i < 4; ++i) pairs.data()[i] = std::array{2, 3, -3, 1}[i];
  CHECK(equal(moved(make_node("GatherND", {"x", "pairs"}, "y"), x, {{"pairs", pairs}}), x,
              {2, 1, n}, [&](index i, index, index k) {
                return i == 0 ? origin{{2, 3, k}} : origin{{0, 1, k}};
              }));
  tensor<int64> places({A, 2, n});
  for (index i = 0; i < places.elements(); ++i) places.data()[i] = static_cast<int>(i % B);
  CHECK(equal(moved(make_node("GatherElements", {"x", "places"}, "y", {{"axis", middle}}), x,
                    {{"places", places}}),
              x, {A, 2, n}, [&](index i, index j, index k) {
                return origin{{i, ((i * 2 + j) * n + k) % B, k}};
              }));

  tensor<F> seven({1});
  seven.data()[0] = 7;
  CHECK(equal(
      moved(make_node("Pad", {"x", "pads", "seven"}, "y"), x,
            {{"pads", list({0, 1, 2, 1, -1, 3})}, {"seven", seven}}),
      x, {A + 1, B, n + 5},
      [&](index i, index j, index k) {
        return i < A && j >= 1 && k >= 2 && k < n + 2 ? origin{{i, j - 1, k - 2}} : origin{};
      },
      7));
  CHECK(equal(moved(make_node("Pad", {"x", "pads"}, "y", {{"mode", std::string("reflect")}}), x,
                    {{"pads", list({0, 0, 1, 0, 0, 1})}}),
              x, {A, B, n + 2}, [&](index i, index j, index k) {
                const index inner = n == 1 ? 0 : k == 0 ? 1 : k == n + 1 ? n - 2 : k - 1;
                return origin{{i, j, inner}};
              }));
  CHECK(equal(moved(make_node("Tile", {"x", "times"}, "y"), x, {{"times", list({1, 2, 3})}}), x,
              {A, 2 * B, 3 * n}, [&](index i, index j, index k) {
                return origin{{i, j % B, k % n}};
              }));

  CHECK(equal(moved(make_node("Transpose", {"x"}, "y", {{"perm", ints({0, 2, 1})}}), x, {}), x,
              {A, n, B}, [&](index i, index j, index k) {
                return origin{{i, k, j}};
              }));
  CHECK(equal(moved(make_node("Transpose", {"x"}, "y", {{"perm", ints({2, 1, 0})}}), x, {}), x,
              {n, B, A}, [&](index i, index j, index k) {
                return origin{{k, j, i}};
              }));
  CHECK(equal(moved(make_node("Slice", {"x", "start", "end", "axes", "step"}, "y"), x,
                    {{"start", list({-1, 1})},
                     {"end", list({-1000, 5})},
                     {"axes", list({2, 1})},
                     {"step", list({-1, 2})}}),
              x, {A, 2, n}, [&](index i, index j, index k) {
                return origin{{i, 1 + 2 * j, n - 1 - k}};
              }));
}

}  // namespace

TEST_CASE("elements are moved where they belong, whatever a row is long", "[graph]") {
  for (const std::size_t n : {1u, 2u, 3u, 4u, 5u, 8u, 12u, 17u, 33u, 70u, 200u}) {
    INFO("rows of " << n);
    check_rows_of<uint8>(n);
    check_rows_of<int32>(n);
    check_rows_of<fp32>(n);
    check_rows_of<int64>(n);
  }
}
