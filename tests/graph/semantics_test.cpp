#include <qtk/quantize.hpp>

#include "../ops/naive.hpp"
#include "models.hpp"
#include "support/catch.hpp"

/// What an optimizer may get wrong silently: each case is a valid model in which a fusion that
/// looks right would change the result. The answer is computed here by the formula of the operator.

using namespace qtk;
using qtk_test::count;
using qtk_test::ints;
using qtk_test::make_node;
using qtk_test::naive_linear;
using qtk_test::random_tensor;

namespace {

/// A model of one input "x" and one output "y"; a dimension of 0 is the symbol "N".
model unary_model(std::initializer_list<std::size_t> x, std::vector<node> nodes) {
  model m;
  m.opsets[""] = 13;
  value_info in{.name = "x", .type = dtype::fp32, .dims = {}};
  for (const std::size_t d : x)
    in.dims.push_back(d == 0 ? dimension{std::nullopt, "N"} : dimension{d, ""});
  m.inputs = {in};
  m.outputs = {{.name = "y", .type = dtype::fp32, .dims = {}}};
  m.nodes = std::move(nodes);
  return m;
}

tensor<fp32> run(const model& m, const tensor<fp32>& x) {
  return session(m, {.shapes = {x.shape()}}).run(x);
}

void check_equal(const tensor<fp32>& got, const tensor<fp32>& want) {
  REQUIRE(got.shape() == want.shape());
  for (std::size_t i = 0; i < want.elements(); ++i)
    CHECK(got.data()[i] == Approx(want.data()[i]).margin(1e-5));
}

void batch_norm_weights(model& m, std::size_t n) {
  m.set_weight("gamma", random_tensor({n}, 71, 0.5f, 1.5f));
  m.set_weight("beta", random_tensor({n}, 72));
  m.set_weight("mean", random_tensor({n}, 73));
  m.set_weight("var", random_tensor({n}, 74, 0.5f, 2.0f));
}
node batch_norm(const std::string& in) {
  return make_node("BatchNormalization", {in, "gamma", "beta", "mean", "var"}, "y");
}

}  // namespace

TEST_CASE("BatchNormalization behind a product of three dimensions scales axis 1", "[graph]") {
  // Weights and channels are both 4: a fusion into the columns of the product would fit.
  model m = unary_model({2, 4, 3}, {make_node("MatMul", {"x", "w"}, "p"), batch_norm("p")});
  m.set_weight("w", random_tensor({3, 4}, 1));
  batch_norm_weights(m, 4);
  const auto x = random_tensor({2, 4, 3}, 2);
  tensor<fp32> want = naive_linear(x, passes::transposed(m.find_weight("w")->as<fp32>()));
  want.reshape({2, 4, 4});
  const auto p = [&](const char* name, std::size_t c) {
    return m.find_weight(name)->as<fp32>().data()[c];
  };
  for (std::size_t i = 0; i < want.elements(); ++i) {
    const std::size_t c = i / 4 % 4;
    want.data()[i] =
        (want.data()[i] - p("mean", c)) / std::sqrt(p("var", c) + 1e-5f) * p("gamma", c) +
        p("beta", c);
  }
  check_equal(run(m, x), want);
}

TEST_CASE("BatchNormalization behind a Gemm is fused, one that trains is not", "[graph]") {
  model m = unary_model({0, 3}, {make_node("Gemm", {"x", "w"}, "p"), batch_norm("p")});
  m.set_weight("w", random_tensor({3, 4}, 1));
  batch_norm_weights(m, 4);
  CHECK(optimize(m).nodes.size() == 1);
  m.nodes[1].attributes.emplace("training_mode", std::int64_t{1});
  CHECK(count(optimize(m), "BatchNormalization") == 1);
}

TEST_CASE("an Add that gives the result a dimension is no bias", "[graph]") {
  model m = unary_model({2, 3},
                        {make_node("MatMul", {"x", "w"}, "p"), make_node("Add", {"p", "b"}, "y")});
  m.set_weight("w", random_tensor({3, 4}, 1));
  m.set_weight("b", random_tensor({1, 1, 4}, 2));
  const auto x = random_tensor({2, 3}, 3);
  const auto b = m.find_weight("b")->as<fp32>();
  tensor<fp32> want = naive_linear(x, passes::transposed(m.find_weight("w")->as<fp32>()));
  for (std::size_t i = 0; i < 8; ++i) want.data()[i] += b.data()[i % 4];
  want.reshape({1, 2, 4});
  check_equal(run(m, x), want);
}

TEST_CASE("Gemm in all its forms", "[graph]") {
  // M = N = 4: a column (M, 1) has as many elements as a bias.
  const auto x = random_tensor({4, 3}, 1), w = random_tensor({3, 4}, 2);
  for (const shape& c : {shape{}, shape{1}, shape{4}, shape{1, 4}, shape{4, 1}, shape{4, 4}})
    for (const float alpha : {1.0f, 0.5f})
      for (const float beta : {1.0f, -2.0f, 0.0f}) {
        CAPTURE(c, alpha, beta);
        model m = unary_model(
            {4, 3}, {make_node("Gemm", {"x", "w", "c"}, "y", {{"alpha", alpha}, {"beta", beta}})});
        m.set_weight("w", w);
        const auto term = random_tensor(c, 3);
        m.set_weight("c", term);
        tensor<fp32> want = naive_linear(x, passes::transposed(w));
        for (std::size_t i = 0; i < 16; ++i) {
          const std::size_t row = c.rank() == 2 && c[0] == 4 ? i / 4 : 0;
          const std::size_t column = c.rank() > 0 && c.back() == 4 ? i % 4 : 0;
          want.data()[i] = alpha * want.data()[i] + beta * term.data()[row * c.cols() + column];
        }
        check_equal(run(m, x), want);
      }
  model turned =
      unary_model({3, 4}, {make_node("Gemm", {"x", "w"}, "y", {{"transA", std::int64_t{1}}})});
  turned.set_weight("w", w);
  check_equal(run(turned, passes::transposed(x)), naive_linear(x, passes::transposed(w)));
}

TEST_CASE("what equals the batch by chance is no residual", "[graph]") {
  model m = unary_model({0, 3}, {make_node("MatMul", {"x", "w"}, "p"),
                                 make_node("Slice", {"x", "start", "end", "axis"}, "first"),
                                 make_node("Add", {"p", "first"}, "y")});
  m.set_weight("w", random_tensor({3, 3}, 1));
  m.set_weight("start", graph_ops::int64_list({0}));
  m.set_weight("end", graph_ops::int64_list({1}));
  m.set_weight("axis", graph_ops::int64_list({0}));
  for (const std::size_t batch : {1u, 4u}) {
    const auto x = random_tensor({batch, 3}, 2);
    tensor<fp32> want = naive_linear(x, passes::transposed(m.find_weight("w")->as<fp32>()));
    for (std::size_t i = 0; i < want.elements(); ++i) want.data()[i] += x.data()[i % 3];
    check_equal(run(m, x), want);
  }
}

TEST_CASE("an image of any size runs once its size is known", "[graph]") {
  model m = unary_model({0, 3, 8, 8},
                        {make_node("Conv", {"x", "w"}, "c"), make_node("Conv", {"c", "w1"}, "c1"),
                         make_node("Add", {"c1", "c"}, "y")});
  m.inputs[0].dims[2] = {std::nullopt, "H"};
  m.inputs[0].dims[3] = {std::nullopt, "W"};
  m.set_weight("w", random_tensor({4, 3, 3, 3}, 1));
  m.set_weight("w1", random_tensor({4, 4, 1, 1}, 2));
  CHECK_THROWS_WITH(session(m), "input 'x': dimension 2 of fp32 [N, 3, H, W] must be given");
  CHECK(count(optimize(m), "Add") == 0);  // a residual, whatever the size
  const session s(m, {.shapes = {{1, 3, 9, 7}}});
  for (const shape& size : {shape{1, 3, 9, 7}, shape{2, 3, 5, 6}}) {
    const auto x = random_tensor(size, 3);
    const window_2d three{.kernel_h = 3, .kernel_w = 3}, one{.kernel_h = 1, .kernel_w = 1};
    const auto c = qtk_test::naive_conv(x, m.find_weight("w")->as<fp32>(), three);
    tensor<fp32> want = qtk_test::naive_conv(c, m.find_weight("w1")->as<fp32>(), one);
    for (std::size_t i = 0; i < want.elements(); ++i) want.data()[i] += c.data()[i];
    check_equal(s.run(x), want);
  }
  CHECK_THROWS_WITH(s.run(random_tensor({1, 3, 2, 9}, 4)), Catch::StartsWith("qtk.Conv 'c': "));
}

TEST_CASE("operator sets before 7 broadcast another way and are refused", "[graph]") {
  model m = unary_model({1, 4, 4},
                        {make_node("Add", {"x", "b"}, "y",
                                   {{"broadcast", std::int64_t{1}}, {"axis", std::int64_t{1}}})});
  m.set_weight("b", random_tensor({4}, 1));
  m.opsets[""] = 6;
  CHECK_THROWS_WITH(session(m), "model: operator set 6 is not supported, only 7 and newer");
}

TEST_CASE("Dropout that trains is refused", "[graph]") {
  model m = unary_model({2, 3}, {make_node("Dropout", {"x", "ratio", "training"}, "y")});
  m.set_weight("ratio", tensor<fp32>({}, {0.5f}));
  tensor<boolean> training{shape{}};
  m.set_weight("training", training);
  const auto x = random_tensor({2, 3}, 1);
  check_equal(run(m, x), x);
  training.data()[0] = true;
  m.set_weight("training", training);
  CHECK_THROWS_WITH(session(m), "Dropout 'y': training mode is not supported");
}

TEST_CASE("zero points of another type are refused", "[graph]") {
  model m = unary_model({2, 4}, {make_node("DequantizeLinear", {"w", "scale", "zero"}, "real"),
                                 make_node("MatMul", {"x", "real"}, "y")});
  m.set_weight("w", tensor<int8>({4, 3}));
  m.set_weight("scale", tensor<fp32>({}, {0.5f}));
  m.set_weight("zero", tensor<uint8>(shape{}));
  CHECK_THROWS_WITH(session(m),
                    Catch::StartsWith("DequantizeLinear 'real': zero points are uint8"));
  m.set_weight("zero", tensor<int8>({2}));
  CHECK_THROWS_AS(session(m), error);
}

TEST_CASE("scales that mean nothing are refused by the name of their node", "[graph]") {
  model m = unary_model({2, 4}, {make_node("DequantizeLinear", {"w", "scale"}, "real"),
                                 make_node("MatMul", {"x", "real"}, "y")});
  m.set_weight("w", tensor<int8>({4, 3}));
  const auto refusal = [&](tensor<fp32> scale, std::int64_t axis, std::int64_t block) {
    m.set_weight("scale", std::move(scale));
    m.nodes[0].attributes.insert_or_assign("axis", axis);
    m.nodes[0].attributes.insert_or_assign("block_size", block);
    try {
      (void)session(m);
      return std::string();
    } catch (const error& e) {
      return std::string(e.what());
    }
  };
  const std::string node = "DequantizeLinear 'real': ";
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(refusal(tensor<fp32>({3}, {1, 1, 1}), 1, 0).empty());
  CHECK(refusal(tensor<fp32>({3}, {1, nan, 1}), 1, 0) == node + "a scale is nan");
  CHECK(refusal(tensor<fp32>({3}), 5, 0) == node + "shape: axis 5 of rank 2");
  CHECK_THAT(refusal(tensor<fp32>({2}), 1, 0), Catch::StartsWith(node + "quantization: 2 scales"));
  CHECK(refusal(tensor<fp32>({2, 3}), 0, 0) == node + "block_size is 0 for scales [2, 3]");
  CHECK(refusal(tensor<fp32>({2, 3}), 0, -2) == node + "block_size is -2 for scales [2, 3]");
}

TEST_CASE("half floats that no layer reads as they are stored are constants", "[graph]") {
  // Through a Reshape to a matrix; as an operand; as filters of more dimensions than a matrix.
  const auto w = random_tensor({4, 3}, 1);
  const auto half = quantize<fp16>(w);
  tensor<fp32> stored({4, 3});
  for (std::size_t i = 0; i < 12; ++i) stored.data()[i] = to_float(half.data()[i]);
  const node cast = make_node("Cast", {"half"}, "real", {{"to", std::int64_t{1}}});
  const auto x = random_tensor({2, 4}, 2);

  model product = unary_model({2, 4}, {cast, make_node("Reshape", {"real", "to"}, "w"),
                                       make_node("MatMul", {"x", "w"}, "y")});
  auto flat = half;
  flat.reshape({12});
  product.set_weight("half", flat);
  product.set_weight("to", graph_ops::int64_list({4, 3}));
  check_equal(run(product, x), naive_linear(x, passes::transposed(stored)));

  model sum = unary_model({4, 3}, {cast, make_node("Add", {"x", "real"}, "y")});
  sum.set_weight("half", half);
  tensor<fp32> twice({4, 3});
  for (std::size_t i = 0; i < 12; ++i) twice.data()[i] = 2 * stored.data()[i];
  check_equal(run(sum, stored), twice);

  model conv = unary_model({1, 4, 1, 1}, {cast, make_node("Reshape", {"real", "to"}, "w"),
                                          make_node("Conv", {"x", "w"}, "y")});
  auto filters = half;
  filters.reshape({3, 2, 2});
  conv.set_weight("half", filters);
  conv.set_weight("to", graph_ops::int64_list({3, 4, 1, 1}));
  tensor<fp32> matrix = stored;
  matrix.reshape({3, 4});
  auto pixel = random_tensor({1, 4}, 3);
  tensor<fp32> want = naive_linear(pixel, matrix);
  want.reshape({1, 3, 1, 1});
  pixel.reshape({1, 4, 1, 1});
  check_equal(run(conv, pixel), want);
}

TEST_CASE("Slice at and beyond every end", "[graph]") {
  constexpr std::int64_t far = std::numeric_limits<std::int64_t>::max();
  tensor<fp32> x({7});
  for (std::size_t i = 0; i < 7; ++i) x.data()[i] = static_cast<float>(i);
  const auto slice = [&](std::int64_t start, std::int64_t end, std::int64_t step) {
    model m = unary_model({7}, {make_node("Slice", {"x", "start", "end", "axis", "step"}, "y")});
    m.set_weight("start", graph_ops::int64_list({start}));
    m.set_weight("end", graph_ops::int64_list({end}));
    m.set_weight("axis", graph_ops::int64_list({0}));
    m.set_weight("step", graph_ops::int64_list({step}));
    const auto y = run(m, x);
    return std::vector<float>(y.span().begin(), y.span().end());
  };
  using list = std::vector<float>;
  CHECK(slice(0, far, far) == list{0});
  CHECK(slice(2, far, far) == list{2});
  CHECK(slice(6, -far - 1, -far - 1) == list{6});
  CHECK(slice(-100, far, 3) == list{0, 3, 6});
  CHECK(slice(-100, -200, -1) == list{0});  // the start is clamped to 0, the end to before it
  CHECK(slice(far, -far, -3) == list{6, 3, 0});
  CHECK(slice(5, 2, -1) == list{5, 4, 3});
  CHECK(slice(5, 2, 1).empty());
  CHECK(slice(2, 5, -1).empty());
  CHECK(slice(100, far, 1).empty());
}

TEST_CASE("weights that layers share are stored, packed and pruned once", "[graph]") {
  model m =
      unary_model({0, 16}, {make_node("MatMul", {"x", "w"}, "h"), make_node("Relu", {"h"}, "r"),
                            make_node("MatMul", {"r", "w"}, "y")});
  m.set_weight("w", random_tensor({16, 16}, 1));
  for (const model& q : {quantize_dynamic<int8>(m), quantize_weights<fp16>(m)})
    CHECK(q.weights.size() == 1);
  for (const prune_scope scope : {prune_scope::layer, prune_scope::global}) {
    const model half = prune_magnitude(m, 0.5, scope);
    REQUIRE(half.weights.size() == 1);
    const auto w = half.weights.begin()->second->as<fp32>().span();
    CHECK(std::count(w.begin(), w.end(), 0.0f) == 128);
  }
  const shape one[] = {{1, 16}};
  const std::size_t shared = session(m).memory(one).packed_weights;
  model apart = m;
  apart.set_weight("w2", random_tensor({16, 16}, 1));
  apart.nodes[2].inputs[1] = "w2";
  CHECK(session(apart).memory(one).packed_weights == 2 * shared);
  const auto x = random_tensor({3, 16}, 2);
  check_equal(run(m, x), run(apart, x));
}
