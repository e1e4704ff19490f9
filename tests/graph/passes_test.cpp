#include <qtk/ops/pool.hpp>
#include <qtk/quantize.hpp>

#include "../ops/naive.hpp"
#include "models.hpp"
#include "support/catch.hpp"

using namespace qtk;
using qtk_test::count;
using qtk_test::distance;
using qtk_test::ints;
using qtk_test::make_node;
using qtk_test::random_tensor;
using qtk_test::residual_model;

namespace {

/// The residual model by the naive formulas, with no graph code at all.
tensor<fp32> expected(const model& m, const tensor<fp32>& x) {
  const auto f = [&](const char* name) -> const tensor<fp32>& {
    return m.find_weight(name)->as<fp32>();
  };
  const window_2d w{3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
  const auto batch_norm = [&](tensor<fp32> t, const std::string& name) {
    const std::size_t plane = 64, C = 8;
    for (std::size_t i = 0; i < t.elements(); ++i) {
      const std::size_t c = i / plane % C;
      const auto p = [&](const char* part) {
        return static_cast<double>(m.find_weight(name + part)->as<fp32>().data()[c]);
      };
      const double v =
          (static_cast<double>(t.data()[i]) - p(".mean")) / std::sqrt(p(".var") + 1e-5);
      t.data()[i] = static_cast<float>(v * p(".gamma") + p(".beta"));
    }
    return t;
  };
  const auto relu = [](tensor<fp32> t) {
    for (float& v : t.span()) v = std::max(v, 0.0f);
    return t;
  };
  const auto r1 = relu(batch_norm(qtk_test::naive_conv(x, f("c1.w"), w), "b1"));
  auto sum =
      batch_norm(qtk_test::naive_conv(r1, f("c2.w"), w, 1, {.bias = f("c2.b").data()}), "b2");
  for (std::size_t i = 0; i < sum.elements(); ++i) sum.data()[i] += r1.data()[i];
  const auto r2 = relu(sum);
  tensor<fp32> pooled({x.shape()[0], 32});
  pool_2d(pool_kind::max, {4, 4, 4, 4}, x.shape()[0] * 8, 8, 8, 2, 2, r2.data(), pooled.data());
  const auto fc1 = qtk_test::naive_linear(
      pooled, passes::transposed(f("fc1.w")),
      {.bias = f("fc1.b").data(), .act = activation::leaky_relu, .alpha = 0.1f});
  return qtk_test::naive_linear(fc1, f("fc2.w"), {.bias = f("fc2.b").data()});
}

}  // namespace

TEST_CASE("the fused graph computes what the formulas say", "[graph]") {
  const model m = residual_model();
  const session s(m);
  for (const std::size_t batch : {1u, 2u, 5u}) {
    const auto x = random_tensor({batch, 3, 8, 8}, 99);
    CHECK(distance(s.run(x), expected(m, x)) < 2e-4);
  }
}

TEST_CASE("every pass keeps the result", "[graph]") {
  const auto x = random_tensor({2, 3, 8, 8}, 98);
  model m = residual_model();
  const auto truth = expected(m, x);
  // Layers must be lowered to run at all: run the first passes, then watch each that follows.
  bool lowered = false;
  for (const pass& p : default_passes()) {
    m = p.run(std::move(m));
    lowered = lowered || p.name == "lower_layers";
    if (!lowered) continue;
    CAPTURE(p.name);
    const session s(m, {.optimize = false});
    CHECK(distance(s.run(x), truth) < 2e-4);
  }
}

TEST_CASE("the residual network fuses to four layers, a pool and a view", "[graph]") {
  const model m = optimize(residual_model());
  CHECK(count(m, "Conv", qtk_domain) == 2);
  CHECK(count(m, "Linear", qtk_domain) == 2);
  CHECK(m.nodes.size() == 6);  // with MaxPool and Flatten
  const auto conv2 =
      std::find_if(m.nodes.begin(), m.nodes.end(), [](const node& n) { return n.name == "c2"; });
  REQUIRE(conv2 != m.nodes.end());
  CHECK(conv2->has_input(3));
  CHECK(conv2->text("activation", "") == "relu");
  CHECK(m.find_weight("c1.w") == nullptr);  // replaced by its folded matrix
}

TEST_CASE("optimizing twice is optimizing once", "[graph]") {
  const model once = optimize(residual_model());
  const model twice = optimize(once);
  REQUIRE(once.nodes.size() == twice.nodes.size());
  for (std::size_t i = 0; i < once.nodes.size(); ++i) {
    CHECK(once.nodes[i].inputs == twice.nodes[i].inputs);
    CHECK(once.nodes[i].outputs == twice.nodes[i].outputs);
  }
  CHECK(once.weights.size() == twice.weights.size());
}

TEST_CASE("what is read twice or is an output isn't fused away", "[graph]") {
  model m = residual_model();
  m.outputs.push_back({.name = "b1", .type = dtype::fp32, .dims = {}});
  const auto x = random_tensor({1, 3, 8, 8}, 97);
  const session s(m);
  const any_tensor input(x);
  const auto outputs = s.run(std::span(&input, 1));
  REQUIRE(outputs.size() == 2);
  CHECK(distance(outputs[0].as<fp32>(), expected(m, x)) < 2e-4);
  CHECK(outputs[1].shape() == shape{1, 8, 8, 8});
  bool negative = false;  // the value before its Relu
  for (const float v : outputs[1].as<fp32>().span()) negative = negative || v < 0;
  CHECK(negative);
}

TEST_CASE("an Add that broadcasts isn't a residual", "[graph]") {
  model m;
  m.opsets[""] = 13;
  m.inputs = {{.name = "x", .type = dtype::fp32, .dims = {{2, ""}, {4, ""}}},
              {.name = "z", .type = dtype::fp32, .dims = {{1, ""}, {3, ""}}}};
  m.outputs = {{.name = "y", .type = dtype::fp32, .dims = {}}};
  m.set_weight("w", random_tensor({4, 3}, 1));
  m.nodes = {make_node("MatMul", {"x", "w"}, "p"), make_node("Add", {"z", "p"}, "y")};
  const session s(m);
  CHECK(count(s.graph(), "Add") == 1);
  const any_tensor in[] = {random_tensor({2, 4}, 2), random_tensor({1, 3}, 3)};
  const auto out = s.run(in);
  const auto p =
      qtk_test::naive_linear(in[0].as<fp32>(), passes::transposed(m.find_weight("w")->as<fp32>()));
  for (std::size_t i = 0; i < 6; ++i)
    CHECK(out[0].as<fp32>().data()[i] ==
          Approx(p.data()[i] + in[1].as<fp32>().data()[i % 3]).margin(1e-5));
}

TEST_CASE("factors per channel go into the layer before them", "[graph]") {
  const auto one_layer = [](bool conv, const char* act, const shape& factor, float low) {
    model m = qtk_test::with_nodes({2, 5, 6, 6}, {});
    m.set_weight("w", random_tensor(conv ? shape{4, 5, 3, 3} : shape{6, 4}, 1));
    m.set_weight("b", random_tensor(conv ? shape{4} : shape{4}, 2));
    m.set_weight("g", random_tensor(factor, 3, low, 2.0f));
    m.nodes = {conv ? make_node("Conv", {"x", "w", "b"}, "p")
                    : make_node("MatMul", {"x", "w"}, "q")};
    if (!conv) m.nodes.push_back(make_node("Add", {"q", "b"}, "p"));
    if (*act != 0) m.nodes.push_back(make_node(act, {"p"}, "r"));
    m.nodes.push_back(make_node("Mul", {"g", *act != 0 ? "r" : "p"}, "y"));
    return m;
  };
  const auto x = random_tensor({2, 5, 6, 6}, 4);
  const auto check = [&](const model& m, std::size_t nodes) {
    CHECK(optimize(m).nodes.size() == nodes);
    CHECK(distance(session(m).run(x), session(m, {.optimize = false}).run(x)) < 1e-5);
  };
  for (const bool conv : {false, true}) {
    const shape each = conv ? shape{4, 1, 1} : shape{4};
    for (const char* act : {"", "Relu", "LeakyRelu"}) {
      CAPTURE(conv, act);
      check(one_layer(conv, act, each, 0.5f), 1);
      check(one_layer(conv, act, {1}, 0.5f), 1);
      check(one_layer(conv, act, {}, 0.5f), 1);
      check(one_layer(conv, act, each, -2.0f), *act == 0 ? 1 : 2);          // ReLU keeps no signs
      check(one_layer(conv, act, conv ? shape{4} : shape{6, 4}, 0.5f), 2);  // along another
    }
    check(one_layer(conv, "Sigmoid", each, 0.5f), 3);
  }
}

TEST_CASE("constants fold, identities and dead nodes go", "[graph]") {
  model m;
  m.opsets[""] = 13;
  m.inputs = {{.name = "x", .type = dtype::fp32, .dims = {{4, ""}}}};
  m.outputs = {{.name = "y", .type = dtype::fp32, .dims = {}}};
  m.set_weight("a", tensor<fp32>({4}, {1, 2, 3, 4}));
  m.nodes = {make_node("Constant", {}, "two", {{"value_float", 2.0f}}),
             make_node("Mul", {"a", "two"}, "a2"), make_node("Identity", {"x"}, "x2"),
             make_node("Exp", {"x"}, "unused"), make_node("Add", {"x2", "a2"}, "y")};
  const model o = optimize(m);
  REQUIRE(o.nodes.size() == 1);
  CHECK(o.nodes[0].inputs == std::vector<std::string>{"x", "a2"});
  CHECK(o.find_weight("a2")->as<fp32>().data()[3] == 8.0f);
  CHECK(o.weights.size() == 1);
}

TEST_CASE("quantization is a pass: every layer changes its format, and the result little",
          "[graph]") {
  const model m = residual_model();
  const auto x = random_tensor({4, 3, 8, 8}, 96);
  const auto truth = session(m).run(x);
  const auto sqnr = [&](const model& q) { return compare(truth, session(q).run(x)).sqnr_db; };
  CHECK(sqnr(quantize_weights<fp16>(m)) > 60);
  CHECK(sqnr(quantize_weights<bf16>(m)) > 40);
  CHECK(sqnr(quantize_weights<int8>(m)) > 35);
  CHECK(sqnr(quantize_dynamic<int8>(m)) > 30);
  CHECK(sqnr(quantize_weights<int4>(m)) > 12);
  CHECK(sqnr(quantize_dynamic<int4>(m)) > 12);
  const model q = quantize_dynamic<int8>(m);
  for (const node& n : q.nodes)
    if (passes::is_layer(n)) {
      CHECK(q.find_weight(n.inputs[1])->is<int8>());
      CHECK(n.text("compute", "") == "int8");
    }
  CHECK(weight_bytes(q) < weight_bytes(optimize(m)) / 2);
}

TEST_CASE("a filter leaves layers as they are", "[graph]") {
  const model q = quantize_dynamic<int8>(residual_model(), per_channel(0),
                                         [](const node& n) { return n.op == "Linear"; });
  for (const node& n : q.nodes)
    if (passes::is_layer(n)) CHECK(q.find_weight(n.inputs[1])->is<int8>() == (n.op == "Linear"));
}

TEST_CASE("weights that hold NaN are named", "[graph]") {
  model m = residual_model();
  tensor<fp32> w = m.find_weight("fc2.w")->as<fp32>();
  w.data()[7] = std::numeric_limits<float>::quiet_NaN();
  m.set_weight("fc2.w", w);
  CHECK_THROWS_WITH(quantize_dynamic<int8>(m),
                    Catch::Contains("Linear 'y'") && Catch::Contains("row 1"));
}
