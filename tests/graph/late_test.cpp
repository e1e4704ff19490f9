#include <qtk/graph.hpp>

#include "models.hpp"
#include "support/catch.hpp"

/// Operators whose types only the run tells, and bodies: If, Loop.

using namespace qtk;
using qtk_test::body;
using qtk_test::body_of;
using qtk_test::make_node;
using qtk_test::with_bodies;
using qtk_test::with_nodes;

namespace {

value_info any_value(std::string name, dtype type = dtype::fp32) {
  return {.name = std::move(name), .type = type, .dims = {}};
}

/// A model of "x" (fp32, of any shape) and other inputs, output "y".
model late_model(std::vector<node> nodes, std::vector<value_info> more = {}) {
  model m = with_nodes({}, std::move(nodes));
  for (value_info& v : more) m.inputs.push_back(std::move(v));
  return m;
}

tensor<int64> longs(std::initializer_list<std::int64_t> v) {
  tensor<int64> t({v.size()});
  std::copy(v.begin(), v.end(), t.data());
  return t;
}

any_tensor truth(bool v) {
  tensor<boolean> t{shape{}};
  t.data()[0] = v ? 1 : 0;
  return t;
}

/// The one output of a run on such inputs.
tensor<fp32> answer(const model& m, std::vector<any_tensor> inputs) {
  std::vector<shape> shapes;
  for (const any_tensor& t : inputs) shapes.push_back(t.shape());
  const session s(m, {.shapes = shapes});
  return s.run(inputs).at(0).as<fp32>();
}

void check_values(const tensor<fp32>& got, const shape& s, std::vector<float> want) {
  REQUIRE(got.shape() == s);
  CHECK(std::vector<float>(got.span().begin(), got.span().end()) == want);
}

/// x op x of a captured "x", as a body.
body_of doubled(std::string key, const char* op) {
  return {std::move(key), body({}, {any_value("r")}, {make_node(op, {"x", "x"}, "r")}), {"x"}};
}

}  // namespace

TEST_CASE("a Reshape to a shape that is an input", "[graph]") {
  const model m = late_model({make_node("Reshape", {"x", "s"}, "r"), make_node("Relu", {"r"}, "y")},
                             {any_value("s", dtype::int64)});
  const tensor<fp32> x({2, 3}, {1, -2, 3, -4, 5, -6});
  check_values(answer(m, {x, longs({3, -1})}), {3, 2}, {1, 0, 3, 0, 5, 0});
  check_values(answer(m, {x, longs({6})}), {6}, {1, 0, 3, 0, 5, 0});
  CHECK_THROWS_WITH(answer(m, {x, longs({4, -1})}), Catch::StartsWith("Reshape 'r': "));
  CHECK_THROWS_AS(answer(m, {x, longs({-1, -1})}), error);
  CHECK_THROWS_AS(answer(m, {x, longs({std::int64_t{1} << 62, 4})}), error);
}

TEST_CASE("NonZero, and what is gathered by it", "[graph]") {
  model m = late_model({make_node("NonZero", {"x"}, "where"),
                        make_node("Squeeze", {"where", "first"}, "rows"),
                        make_node("Gather", {"x", "rows"}, "y")});
  m.set_weight("first", longs({0}));
  check_values(answer(m, {tensor<fp32>({5}, {0, 7, 0, -1, 2})}), {3}, {7, -1, 2});
  check_values(answer(m, {tensor<fp32>({3}, {0, 0, 0})}), {0}, {});
}

TEST_CASE("If takes captured values, and bodies in bodies", "[graph]") {
  node inner = with_bodies(make_node("If", {"again"}, "r"),
                           {doubled("then_branch", "Mul"), doubled("else_branch", "Sub")});
  body_of outer{"else_branch", body({}, {any_value("r")}, {inner}), {"again", "x"}};
  const model m =
      late_model({with_bodies(make_node("If", {"c"}, "y"), {doubled("then_branch", "Add"), outer})},
                 {any_value("c", dtype::boolean), any_value("again", dtype::boolean)});
  const tensor<fp32> x({2}, {3, -2});
  check_values(answer(m, {x, truth(true), truth(false)}), {2}, {6, -4});
  check_values(answer(m, {x, truth(false), truth(true)}), {2}, {9, 4});
  check_values(answer(m, {x, truth(false), truth(false)}), {2}, {0, 0});
}

TEST_CASE("a Loop whose state grows", "[graph]") {
  // s = concat(s, x) each time, and the sum of it as an output of each iteration.
  model inside =
      body({any_value("i", dtype::int64), any_value("go", dtype::boolean), any_value("s")},
           {any_value("go", dtype::boolean), any_value("t")},
           {make_node("Concat", {"s", "x"}, "t", {{"axis", std::int64_t{0}}})});
  model m = late_model(
      {with_bodies(make_node("Loop", {"n", "", "x"}, "y"), {{"body", std::move(inside), {"x"}}})},
      {any_value("n", dtype::int64)});
  tensor<int64> times{shape{}};
  const tensor<fp32> x({2}, {1, 2});
  for (const std::int64_t n : {0, 1, 3}) {
    times.data()[0] = n;
    std::vector<float> want;
    for (std::int64_t i = 0; i <= n; ++i) want.insert(want.end(), {1, 2});
    check_values(answer(m, {x, times}), {want.size()}, want);
  }
}

TEST_CASE("tensors without elements go through operators of all families", "[graph]") {
  const tensor<fp32> none({0, 4});
  for (const char* op : {"Relu", "Sigmoid", "Softmax", "Identity", "Transpose", "Neg", "Erf"}) {
    CAPTURE(op);
    const tensor<fp32> y = answer(late_model({make_node(op, {"x"}, "y")}), {none});
    CHECK(y.elements() == 0);
  }
  model sum =
      late_model({make_node("ReduceSum", {"x", "axis"}, "y", {{"keepdims", std::int64_t{0}}})});
  sum.set_weight("axis", longs({-2}));
  check_values(answer(sum, {none}), {4}, {0, 0, 0, 0});
}

TEST_CASE("products over no elements are 0", "[graph]") {
  model m = late_model({make_node("MatMul", {"x", "w"}, "y")});
  m.set_weight("w", tensor<fp32>({0, 2}));
  check_values(answer(m, {tensor<fp32>({3, 0})}), {3, 2}, {0, 0, 0, 0, 0, 0});
  const model free = late_model({make_node("MatMul", {"x", "b"}, "y")}, {any_value("b")});
  check_values(answer(free, {tensor<fp32>({3, 0}), tensor<fp32>({0, 2})}), {3, 2},
               {0, 0, 0, 0, 0, 0});
}

TEST_CASE("recurrent layers refuse what does not fit, and end where sequences end", "[graph]") {
  model m =
      late_model({make_node("RNN", {"x", "w", "r", "", "n"}, "y")}, {any_value("n", dtype::int32)});
  m.set_weight("w", tensor<fp32>({1, 1, 1}, {1}));
  m.set_weight("r", tensor<fp32>({1, 1, 1}, {1}));
  m.nodes[0].attributes.emplace("activations", std::vector<std::string>{"Relu"});
  const tensor<fp32> x({3, 2, 1}, {1, 1, 2, 2, 3, 3});
  const auto lengths = [](std::int32_t a, std::int32_t b) { return tensor<int32>({2}, {a, b}); };
  check_values(answer(m, {x, lengths(3, 2)}), {3, 1, 2, 1}, {1, 1, 3, 3, 6, 0});
  check_values(answer(m, {x, lengths(0, 1)}), {3, 1, 2, 1}, {0, 1, 0, 0, 0, 0});
  CHECK_THROWS_WITH(answer(m, {x, lengths(4, 1)}), "RNN 'y': a sequence of 4 in 3 steps");
  CHECK_THROWS_AS(answer(m, {x, lengths(-1, 1)}), error);
  model wrong = m;
  wrong.set_weight("r", tensor<fp32>({1, 2, 1}, {1, 1}));
  CHECK_THROWS_WITH(answer(wrong, {x, lengths(1, 1)}), Catch::StartsWith("RNN 'y': X "));
  m.nodes[0].attributes.insert_or_assign("activations", std::vector<std::string>{"Hologram"});
  CHECK_THROWS_WITH(answer(m, {x, lengths(1, 1)}),
                    "RNN 'y': activation 'hologram' is not supported");
}

TEST_CASE("MatMulNBits of any width, and what does not fit", "[graph]") {
  node n =
      make_node("MatMulNBits", {"x", "b", "s"}, "y",
                {{"K", std::int64_t{3}}, {"N", std::int64_t{2}}, {"block_size", std::int64_t{16}}});
  n.domain = "com.microsoft";
  const tensor<fp32> x({1, 3}, {1, 10, 100});
  for (const std::int64_t bits : {2, 4, 8}) {
    CAPTURE(bits);
    n.attributes.insert_or_assign("bits", bits);
    model m = late_model({n});
    m.opsets["com.microsoft"] = 1;
    tensor<uint8> codes({2, 1, static_cast<std::size_t>(bits) * 2});
    for (std::size_t row = 0; row < 2; ++row)  // codes 0, 1, 2, of which the middle is taken
      for (std::size_t k = 0; k < 3; ++k) {
        const std::size_t bit = k * static_cast<std::size_t>(bits);
        auto& byte = codes.data()[row * static_cast<std::size_t>(bits) * 2 + bit / 8];
        byte = static_cast<std::uint8_t>(byte | k << bit % 8);
      }
    m.set_weight("b", codes);
    m.set_weight("s", tensor<fp32>({2}, {1, -0.5f}));
    const float middle = static_cast<float>(1 << (bits - 1));
    const float want = 210 - 111 * middle;
    check_values(answer(m, {x}), {1, 2}, {want, want * -0.5f});
    m.nodes[0].attributes.insert_or_assign("K", std::int64_t{1} << 39);
    CHECK_THROWS_AS(answer(m, {x}), error);
    m.nodes[0].attributes.insert_or_assign("K", std::int64_t{-3});
    CHECK_THROWS_AS(answer(m, {x}), error);
  }
  n.attributes.insert_or_assign("bits", std::int64_t{3});
  model three = late_model({n});
  three.set_weight("b", tensor<uint8>({2, 1, 6}));
  three.set_weight("s", tensor<fp32>({2}));
  CHECK_THROWS_WITH(answer(three, {x}),
                    "com.microsoft.MatMulNBits 'y': weights of 3 bits are not supported");
}

TEST_CASE("Fourier transforms of any length come back", "[graph]") {
  for (const std::size_t length : {1u, 2u, 3u, 8u, 30u, 97u}) {
    CAPTURE(length);
    model m = late_model(
        {make_node("DFT", {"x"}, "f", {{"axis", std::int64_t{0}}}),
         make_node("DFT", {"f"}, "y", {{"axis", std::int64_t{0}}, {"inverse", std::int64_t{1}}})});
    m.opsets[""] = 17;
    const tensor<fp32> x = qtk_test::random_tensor({length, 2}, 1);
    const tensor<fp32> y = answer(m, {x});
    REQUIRE(y.shape() == x.shape());
    for (std::size_t i = 0; i < x.elements(); ++i)
      CHECK(std::abs(y.data()[i] - x.data()[i]) < 1e-6f);
  }
}

TEST_CASE("a body sees the shapes of each run", "[graph]") {
  // s = Shape(x) is known before the run, but another one for each set of input shapes.
  const node choice =
      with_bodies(make_node("If", {"c"}, "y"),
                  {{"then_branch",
                    body({}, {any_value("r")}, {make_node("Expand", {"k", "s"}, "r")}),
                    {"k", "s"}},
                   doubled("else_branch", "Add")});
  model m = late_model({make_node("Shape", {"x"}, "s"), choice}, {any_value("c", dtype::boolean)});
  m.set_weight("k", tensor<fp32>({1}, {7}));
  const session s(m, {.shapes = {shape{1, 3}, shape{}}});
  const auto run = [&](const shape& x) {
    std::vector<any_tensor> in;
    in.push_back(tensor<fp32>(x));
    in.push_back(truth(true));
    return s.run(in).at(0).as<fp32>().shape();
  };
  CHECK(run({1, 3}) == shape{1, 3});
  CHECK(run({2, 3}) == shape{2, 3});
}

TEST_CASE("operators without the inputs that they need are refused", "[graph]") {
  for (const char* op : {"NonZero", "Compress", "Unique", "OneHot", "NonMaxSuppression", "Erf",
                         "TopK", "MelWeightMatrix", "Trilu", "CumSum", "Scan", "Loop", "If"}) {
    CAPTURE(op);
    CHECK_THROWS_AS(answer(late_model({make_node(op, {}, "y")}), {tensor<fp32>({2, 3})}), error);
  }
}

TEST_CASE("weights of other types than layers have are multiplied as they are", "[graph]") {
  model m = late_model({make_node("Cast", {"x"}, "i", {{"to", std::int64_t{7}}}),
                        make_node("MatMul", {"i", "w"}, "p"),
                        make_node("Cast", {"p"}, "y", {{"to", std::int64_t{1}}})});
  tensor<int64> w({3, 1});
  std::copy_n(longs({1, 2, 3}).data(), 3, w.data());
  m.set_weight("w", w);
  check_values(answer(m, {tensor<fp32>({1, 3}, {1, 10, 100})}), {1, 1}, {321});
}

TEST_CASE("a mean over nothing", "[graph]") {
  model m = late_model({make_node("Cast", {"x"}, "i", {{"to", std::int64_t{6}}}),
                        make_node("ReduceMean", {"i", "axes"}, "r"),
                        make_node("Cast", {"r"}, "y", {{"to", std::int64_t{1}}})});
  m.opsets[""] = 18;
  m.set_weight("axes", longs({1}));
  check_values(answer(m, {tensor<fp32>({2, 0})}), {2, 1}, {0, 0});
}

TEST_CASE("outputs have the format of the operator's own input", "[graph]") {
  model m = late_model({make_node("Pow", {"x", "e"}, "y")});
  tensor<fp16> e{shape{1}};
  e.data()[0] = to_half(3.0f);
  m.set_weight("e", e);
  check_values(answer(m, {tensor<fp32>({2}, {2, 3})}), {2}, {8, 27});
}
