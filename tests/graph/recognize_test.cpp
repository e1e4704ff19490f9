#include "../ops/naive.hpp"
#include "models.hpp"
#include "support/catch.hpp"

/// Passes that move layouts and recognize functions by their parts: what they make, and that every
/// result stays.

using namespace qtk;
using qtk_test::count;
using qtk_test::distance;
using qtk_test::ints;
using qtk_test::make_node;
using qtk_test::random_tensor;
using qtk_test::with_nodes;

namespace {

tensor<fp32> number(float v) { return tensor<fp32>({}, {v}); }
tensor<int64> list(std::initializer_list<std::int64_t> v) {
  tensor<int64> t({v.size()});
  std::copy(v.begin(), v.end(), t.data());
  return t;
}

/// The largest difference between the model as it is and after all passes.
float changed(const model& m, const shape& x) {
  const auto in = random_tensor(x, 5);
  return static_cast<float>(distance(session(m).run(in), session(m, {.optimize = false}).run(in)));
}

model gelu(bool outer_half) {
  model m = with_nodes({3, 40}, {});
  m.set_weight("half", number(0.5f));
  m.set_weight("one", number(1.0f));
  m.set_weight("root", number(1.41421356f));
  m.nodes = {make_node("Div", {"x", "root"}, "a"), make_node("Erf", {"a"}, "b"),
             make_node("Add", {"b", "one"}, "c")};
  if (outer_half) {
    m.nodes.push_back(make_node("Mul", {"x", "c"}, "d"));
    m.nodes.push_back(make_node("Mul", {"d", "half"}, "y"));
  } else {
    m.nodes.push_back(make_node("Mul", {"half", "x"}, "d"));
    m.nodes.push_back(make_node("Mul", {"d", "c"}, "y"));
  }
  return m;
}

}  // namespace

TEST_CASE("GELU is recognized in every order of its factors", "[graph]") {
  for (const bool outer : {false, true}) {
    const model m = gelu(outer);
    const model small = optimize_to_run(m);
    CHECK(small.nodes.size() == 1);
    CHECK(count(small, "Gelu", qtk_domain) == 1);
    CHECK(changed(m, {3, 40}) < 1e-6f);
    CHECK(count(optimize(m), "Gelu", qtk_domain) == 0);  // a file would not know it
  }
  model other = gelu(true);
  other.set_weight("half", number(0.4f));
  CHECK(count(optimize_to_run(other), "Gelu", qtk_domain) == 0);
}

TEST_CASE("GELU by tanh is recognized", "[graph]") {
  model m =
      with_nodes({2, 700}, {make_node("Mul", {"x", "x"}, "s"), make_node("Mul", {"s", "x"}, "q"),
                            make_node("Mul", {"q", "c"}, "r"), make_node("Add", {"x", "r"}, "t"),
                            make_node("Mul", {"t", "k"}, "u"), make_node("Tanh", {"u"}, "v"),
                            make_node("Add", {"one", "v"}, "w"), make_node("Mul", {"x", "w"}, "z"),
                            make_node("Mul", {"z", "half"}, "y")});
  m.set_weight("c", number(0.044715f));
  m.set_weight("k", number(0.7978845608f));
  m.set_weight("one", number(1.0f));
  m.set_weight("half", number(0.5f));
  CHECK(optimize_to_run(m).nodes.size() == 1);
  CHECK(changed(m, {2, 700}) < 1e-5f);
}

TEST_CASE("layer normalization is recognized over any axis", "[graph]") {
  for (const std::int64_t axis : {-1, 1}) {
    const std::size_t C = axis == 1 ? 6 : 70;
    model m = with_nodes(
        {2, 6, 70}, {make_node("ReduceMean", {"x"}, "mean", {{"axes", ints({axis})}}),
                     make_node("Sub", {"x", "mean"}, "d"), make_node("Pow", {"d", "two"}, "s"),
                     make_node("ReduceMean", {"s"}, "var", {{"axes", ints({axis})}}),
                     make_node("Add", {"var", "eps"}, "v"), make_node("Sqrt", {"v"}, "dev"),
                     make_node("Div", {"d", "dev"}, "n"), make_node("Mul", {"n", "gamma"}, "g"),
                     make_node("Add", {"g", "beta"}, "y")});
    m.set_weight("two", number(2.0f));
    m.set_weight("eps", number(1e-3f));
    const shape scale = axis == 1 ? shape{C, 1} : shape{C};
    m.set_weight("gamma", random_tensor(scale, 2));
    m.set_weight("beta", random_tensor(scale, 3));
    const model small = optimize_to_run(m);
    CHECK(small.nodes.size() == 1);
    CHECK(count(small, "LayerNormalization", qtk_domain) == 1);
    CHECK(changed(m, {2, 6, 70}) < 1e-5f);
  }
}

TEST_CASE("layer normalization is recognized with its product distributed", "[graph]") {
  model m = with_nodes(
      {2, 6, 70}, {make_node("ReduceMean", {"x"}, "mean", {{"axes", ints({1})}}),
                   make_node("Sub", {"x", "mean"}, "d"), make_node("Mul", {"d", "d"}, "s"),
                   make_node("ReduceMean", {"s"}, "var", {{"axes", ints({1})}}),
                   make_node("Add", {"var", "eps"}, "v"), make_node("Sqrt", {"v"}, "dev"),
                   make_node("Reciprocal", {"dev"}, "r"), make_node("Mul", {"r", "gamma"}, "g"),
                   make_node("Mul", {"mean", "g"}, "mg"), make_node("Sub", {"beta", "mg"}, "shift"),
                   make_node("Mul", {"x", "g"}, "xg"), make_node("Add", {"xg", "shift"}, "y")});
  m.set_weight("eps", number(1e-3f));
  m.set_weight("gamma", random_tensor({1, 6, 1}, 2));
  m.set_weight("beta", random_tensor({1, 6, 1}, 3));
  CHECK(optimize_to_run(m).nodes.size() == 1);
  CHECK(changed(m, {2, 6, 70}) < 1e-5f);
}

TEST_CASE("transposes cancel and go into reductions", "[graph]") {
  model m =
      with_nodes({2, 5, 6}, {make_node("Transpose", {"x"}, "a", {{"perm", ints({0, 2, 1})}}),
                             make_node("Mul", {"a", "two"}, "b"), make_node("Relu", {"b"}, "c"),
                             make_node("Transpose", {"c"}, "y", {{"perm", ints({0, 2, 1})}})});
  m.set_weight("two", number(2.0f));
  CHECK(count(optimize(m), "Transpose") == 0);
  CHECK(changed(m, {2, 5, 6}) == 0.0f);
  m.nodes.back() =
      make_node("ReduceMax", {"c"}, "y", {{"axes", ints({1})}, {"keepdims", std::int64_t{0}}});
  CHECK(count(optimize(m), "Transpose") == 0);
  CHECK(changed(m, {2, 5, 6}) == 0.0f);
  m.nodes.back() =
      make_node("ReduceMax", {"c"}, "y", {{"axes", ints({0})}, {"keepdims", std::int64_t{0}}});
  CHECK(count(optimize(m), "Transpose") == 1);  // what remains is out of order
  CHECK(changed(m, {2, 5, 6}) == 0.0f);
}

TEST_CASE("a constant follows a transpose that moves behind it", "[graph]") {
  model m =
      with_nodes({2, 5, 6}, {make_node("Transpose", {"x"}, "a", {{"perm", ints({2, 0, 1})}}),
                             make_node("Add", {"a", "w"}, "b"),
                             make_node("Transpose", {"b"}, "y", {{"perm", ints({1, 2, 0})}})});
  m.set_weight("w", random_tensor({6, 1, 1}, 7));
  CHECK(count(optimize(m), "Transpose") == 0);
  CHECK(changed(m, {2, 5, 6}) == 0.0f);
}

TEST_CASE("nodes that compute the same become one", "[graph]") {
  model m = with_nodes({2, 5}, {make_node("Exp", {"x"}, "a"), make_node("Exp", {"x"}, "b"),
                                make_node("Add", {"a", "b"}, "y")});
  CHECK(optimize(m).nodes.size() == 2);
  CHECK(changed(m, {2, 5}) == 0.0f);
}

TEST_CASE("a convolution of rank 1 is a layer with its bias and activation", "[graph]") {
  model m = with_nodes(
      {2, 3, 20},
      {make_node("Conv", {"x", "w"}, "c", {{"strides", ints({2})}, {"pads", ints({1, 0})}}),
       make_node("Add", {"c", "b"}, "d"), make_node("Relu", {"d"}, "y")});
  m.set_weight("w", random_tensor({4, 3, 5}, 1));
  m.set_weight("b", random_tensor({1, 4, 1}, 2));
  const model small = optimize(m);
  CHECK(count(small, "Conv", qtk_domain) == 1);
  CHECK(count(small, "Add") == 0);
  CHECK(count(small, "Relu") == 0);
  CHECK(changed(m, {2, 3, 20}) < 1e-5f);
}

TEST_CASE("a layer of one-hot codes reads rows of its weights", "[graph]") {
  model m = with_nodes(
      {4, 3}, {make_node("OneHot", {"x", "depth", "levels"}, "h"),
               make_node("Reshape", {"h", "rows"}, "r"), make_node("MatMul", {"r", "w"}, "y")});
  m.inputs[0].type = dtype::int64;
  m.set_weight("depth", list({7}));
  m.set_weight("levels", tensor<fp32>({2}, {0.0f, 1.0f}));
  m.set_weight("rows", list({-1, 7}));
  m.set_weight("w", random_tensor({7, 5}, 1));
  CHECK(count(optimize_to_run(m), "Lookup", qtk_domain) == 1);
  tensor<int64> x({4, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8, -1, -7, -8});  // outside: a row of zeros
  const any_tensor in(x);
  const auto a = session(m).run(std::span(&in, 1)),
             b = session(optimize(m), {.optimize = false}).run(std::span(&in, 1));
  CHECK(distance(a[0].as<fp32>(), b[0].as<fp32>()) < 1e-6);
}
