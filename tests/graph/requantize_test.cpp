#include <qtk/core/thread_pool.hpp>
#include <qtk/graph/passes/calibrated.hpp>
#include <qtk/io/onnx_export.hpp>

#include "../ops/naive.hpp"
#include "models.hpp"
#include "support/catch.hpp"

using namespace qtk;
using qtk_test::distance;
using qtk_test::ints;
using qtk_test::make_node;
using qtk_test::random_tensor;
using qtk_test::residual_model;
using qtk_test::with_nodes;

namespace {

std::size_t count(const model& m, std::string_view op) {
  return static_cast<std::size_t>(
      std::count_if(m.nodes.begin(), m.nodes.end(), [&](const node& n) { return n.op == op; }));
}
/// Layers with this attribute.
std::size_t with_attribute(const model& m, std::string_view key) {
  return static_cast<std::size_t>(std::count_if(
      m.nodes.begin(), m.nodes.end(), [&](const node& n) { return n.attributes.contains(key); }));
}

tensor<fp32> run_as_is(const model& m, const tensor<fp32>& x, executor_ref executor = {}) {
  return session(m, {.executor = executor, .optimize = false}).run(x);
}

/// What the pass makes of m; the two must agree, also beyond the ranges observed. Bit by bit:
/// nothing here is a tie but for its last bits, on any ISA.
model check_same(const model& m, const tensor<fp32>& x) {
  const model plain = optimize(m), chain = passes::fuse_requantize(plain);
  for (const float factor : {1.0f, 3.0f}) {
    tensor<fp32> scaled = x;
    for (float& v : scaled.span()) v *= factor;
    const tensor<fp32> expected = run_as_is(plain, scaled);
    CHECK(distance(run_as_is(chain, scaled), expected) == 0.0);
    CHECK(distance(session(m).run(scaled), expected) == 0.0);
    for (const std::size_t threads : {2u, 3u}) {
      thread_pool pool(threads);
      CHECK(distance(run_as_is(chain, scaled, pool), expected) == 0.0);
    }
  }
  return chain;
}

model quantized(const model& m, const tensor<fp32>& x, const static_options& o = {}) {
  calibrator seen(m);
  const any_tensor batch(x);
  seen.observe(std::span(&batch, 1));
  return quantize_static<int8>(m, seen, o);
}

/// QuantizeLinear and DequantizeLinear of a value: "NAME:codes", "NAME:real".
template <class Codes>
void add_pair(model& m, const std::string& value, float scale, int zero) {
  const std::string s = value + ":scale", z = value + ":zero";
  m.set_weight(s, tensor<fp32>({}, {scale}));
  m.set_weight(z, tensor<Codes>({}, {static_cast<typename Codes::value_type>(zero)}));
  m.nodes.push_back(make_node("QuantizeLinear", {value, s, z}, value + ":codes"));
  m.nodes.push_back(make_node("DequantizeLinear", {value + ":codes", s, z}, value + ":real"));
}

/// DequantizeLinear of int8 weights (O, I, k, k), a scale for each filter.
std::string add_weights(model& m, const std::string& name, const shape& s, std::uint32_t seed) {
  tensor<int8> codes(s);
  const tensor<fp32> random = random_tensor(s, seed, -127.0f, 127.0f);
  for (std::size_t i = 0; i < codes.elements(); ++i)
    codes.data()[i] = static_cast<std::int8_t>(random.data()[i]);
  m.set_weight(name, std::move(codes));
  m.set_weight(name + ":scale", random_tensor({s[0]}, seed + 1, 0.001f, 0.004f));
  m.nodes.push_back(make_node("DequantizeLinear", {name, name + ":scale"}, name + ":real",
                              {{"axis", std::int64_t{0}}}));
  return name + ":real";
}

const attribute same = ints({1, 1, 1, 1});

}  // namespace

TEST_CASE("a residual network becomes a chain of codes, and nothing changes", "[graph]") {
  const auto x = random_tensor({5, 3, 8, 8}, 1);
  for (const symmetry how : {symmetry::asymmetric, symmetry::symmetric})
    for (const granularity& weights : {per_channel(0), per_tensor()}) {
      const model q = quantized(residual_model(), x, {.activations = how, .weights = weights});
      CHECK(with_attribute(q, "r_scale") == 1);
      const model chain = check_same(q, x);
      // All but the last layer, and by way of MaxPool and Flatten.
      CHECK(with_attribute(chain, "y_scale") == 3);
      CHECK(count(chain, "QuantizeLinear") + count(chain, "DequantizeLinear") == 0);
      // The file says the same.
      const model standard = onnx::to_standard(q);
      CHECK(distance(session(standard).run(x), session(q).run(x)) == 0.0);
      CHECK(distance(run_as_is(standard, x), session(q).run(x)) < 1e-4);
      // A residual that stays fp32 keeps the layer that makes it from writing codes.
      const model reals = quantized(residual_model(), x,
                                    {.activations = how, .weights = weights, .residuals = false});
      CHECK(with_attribute(check_same(reals, x), "y_scale") == 2);
    }
}

TEST_CASE("layers of all kinds write and read codes", "[graph]") {
  const auto layer = [](const char* x, const char* w, const char* y, std::int64_t group,
                        std::int64_t stride) {
    return make_node("Conv", {x, w}, y,
                     {{"pads", same}, {"group", group}, {"strides", ints({stride, stride})}});
  };
  const auto x = random_tensor({3, 6, 13, 11}, 1, -1.0f, 3.0f);
  struct {
    const char* name;
    node act;
  } cases[] = {{"relu", make_node("Relu", {"a"}, "b")},
               {"leaky", make_node("LeakyRelu", {"a"}, "b", {{"alpha", 0.2f}})},
               {"none", make_node("Identity", {"a"}, "b")}};
  for (const auto& c : cases) {
    INFO(c.name);
    model m = with_nodes({3, 6, 13, 11},
                         {layer("x", "w1", "a", 2, 1), c.act, layer("b", "w2", "d", 10, 2),
                          layer("d", "w3", "e", 1, 1), make_node("Add", {"e", "d"}, "s"),
                          layer("s", "w4", "y", 5, 1)});
    m.set_weight("w1", random_tensor({10, 3, 3, 3}, 2));
    m.set_weight("w2", random_tensor({10, 1, 3, 3}, 3));
    m.set_weight("w3", random_tensor({10, 10, 3, 3}, 4));
    m.set_weight("w4", random_tensor({10, 2, 3, 3}, 5));
    CHECK(with_attribute(check_same(quantized(m, x), x), "y_scale") == 3);
  }
  model m = with_nodes({4, 2, 30},
                       {make_node("MatMul", {"x", "w1"}, "a"), make_node("Relu", {"a"}, "b"),
                        make_node("MatMul", {"b", "w2"}, "d"), make_node("Add", {"d", "b"}, "s"),
                        make_node("MatMul", {"s", "w3"}, "y")});
  m.set_weight("w1", random_tensor({30, 37}, 2));
  m.set_weight("w2", random_tensor({37, 37}, 3));
  m.set_weight("w3", random_tensor({37, 5}, 4));
  const auto rows = random_tensor({4, 2, 30}, 6);
  CHECK(with_attribute(check_same(quantized(m, rows), rows), "y_scale") == 2);
}

TEST_CASE("operators that move elements move codes", "[graph]") {
  const auto list = [](std::initializer_list<std::int64_t> v) {
    tensor<int64> t({v.size()});
    std::copy(v.begin(), v.end(), t.data());
    return t;
  };
  const auto x = random_tensor({2, 4, 8, 8}, 1, -1.0f, 2.0f);
  const auto conv = [](const std::string& from, const std::string& to) {
    return make_node("Conv", {from, to + ".w"}, to, {{"pads", same}});
  };
  struct {
    const char* name;
    std::vector<node> between;  // a, b -> m of 4 channels
    std::size_t writes;
  } cases[] = {
      {"max pool",
       {make_node("MaxPool", {"a"}, "m",
                  {{"kernel_shape", ints({3, 3})}, {"strides", ints({2, 2})}, {"pads", same}})},
       1},
      {"relu",
       {make_node("MaxPool", {"a"}, "p", {{"kernel_shape", ints({2, 2})}}),
        make_node("Relu", {"p"}, "m")},
       1},
      {"transpose", {make_node("Transpose", {"a"}, "m", {{"perm", ints({0, 1, 3, 2})}})}, 1},
      {"reshape", {make_node("Reshape", {"a", "dims"}, "m")}, 1},
      {"slice and pad",
       {make_node("Slice", {"a", "starts", "ends", "axes", "steps"}, "p"),
        make_node("Pad", {"p", "pads"}, "m")},
       1},
      {"edges", {make_node("Pad", {"a", "pads"}, "m", {{"mode", std::string("edge")}})}, 1},
      {"gather", {make_node("Gather", {"a", "order"}, "m", {{"axis", std::int64_t{1}}})}, 1},
      {"concat", {make_node("Concat", {"a", "b"}, "m", {{"axis", std::int64_t{2}}})}, 2},
      {"concat with an input",
       {make_node("Concat", {"a", "x"}, "m", {{"axis", std::int64_t{2}}})},
       0},
      {"pad by one", {make_node("Pad", {"a", "pads", "one"}, "m")}, 0},
      {"sigmoid", {make_node("Sigmoid", {"a"}, "m")}, 0},
  };
  for (const auto& c : cases) {
    INFO(c.name);
    std::vector<node> nodes{conv("x", "a"), conv("x", "b")};
    nodes.insert(nodes.end(), c.between.begin(), c.between.end());
    nodes.push_back(conv("m", "y"));
    model m = with_nodes({2, 4, 8, 8}, std::move(nodes));
    for (const char* w : {"a.w", "b.w", "y.w"}) m.set_weight(w, random_tensor({4, 4, 3, 3}, 2));
    m.set_weight("dims", list({2, 4, 4, 16}));
    m.set_weight("starts", list({1, 0}));
    m.set_weight("ends", list({8, 8}));
    m.set_weight("axes", list({2, 3}));
    m.set_weight("steps", list({2, 3}));
    m.set_weight("pads", list({0, 0, 1, 2, 0, 0, 0, 3}));
    m.set_weight("order", list({3, 1, 1, 0}));
    m.set_weight("one", tensor<fp32>({}, {1.0f}));
    const model q = quantized(m, x);
    CHECK(with_attribute(check_same(q, x), "y_scale") == c.writes);
  }
}

TEMPLATE_TEST_CASE("a file of QuantizeLinear and DequantizeLinear runs on codes", "[graph]", uint8,
                   int8) {
  // As ONNX Runtime's quantizer writes it: a pair behind each operator.
  constexpr int shift = TestType::code_min;
  model m = with_nodes({2, 3, 10, 10}, {});
  const auto pair = [&](const std::string& v, float scale, int zero) {
    add_pair<TestType>(m, v, scale, zero + shift);
  };
  const auto conv = [&](const std::string& from, const std::string& to, const shape& w,
                        std::uint32_t seed) {
    const std::string weights = add_weights(m, to + ".w", w, seed);
    m.nodes.push_back(make_node("Conv", {from, weights}, to, {{"pads", same}}));
  };
  pair("x", 0.008f, 127);
  conv("x:real", "a", {6, 3, 3, 3}, 10);
  m.nodes.push_back(make_node("Relu", {"a"}, "b"));
  pair("b", 0.02f, 0);
  m.nodes.push_back(make_node("MaxPool", {"b:real"}, "p",
                              {{"kernel_shape", ints({2, 2})}, {"strides", ints({2, 2})}}));
  pair("p", 0.02f, 0);
  conv("p:real", "c", {6, 6, 3, 3}, 20);
  pair("c", 0.05f, 120);
  m.nodes.push_back(make_node("Add", {"c:real", "p:real"}, "s"));
  pair("s", 0.04f, 99);
  m.nodes.push_back(make_node("GlobalAveragePool", {"s:real"}, "g"));
  m.nodes.push_back(make_node("Flatten", {"g"}, "f"));
  pair("f", 0.03f, 100);
  const std::string w = add_weights(m, "fc.w", {6, 4}, 30);
  m.nodes.back().attributes.insert_or_assign("axis", std::int64_t{1});
  m.set_weight("fc.w:scale", random_tensor({4}, 31, 0.001f, 0.004f));
  m.nodes.push_back(make_node("MatMul", {"f:real", w}, "y"));
  const auto x = random_tensor({2, 3, 10, 10}, 1);
  const model chain = check_same(m, x);
  CHECK(with_attribute(chain, "y_scale") == 2);
  // Left: behind Add, which computes in fp32, and in front of it.
  CHECK(count(chain, "QuantizeLinear") == 1);
  CHECK(count(chain, "DequantizeLinear") == 3);
  CHECK(distance(run_as_is(m, x), session(m).run(x)) < 0.06);
}

TEST_CASE("values that somebody wants as they are stay floats", "[graph]") {
  const auto x = random_tensor({6, 20}, 1);
  const auto chain_of = [&](std::vector<node> more, bool output) {
    std::vector<node> nodes{make_node("MatMul", {"x", "w1"}, "a"),
                            make_node("MatMul", {"a", "w2"}, "b")};
    nodes.insert(nodes.end(), more.begin(), more.end());
    model m = with_nodes({6, 20}, std::move(nodes));
    m.outputs[0].name = "b";
    if (output) m.outputs.push_back({.name = "a", .type = dtype::fp32, .dims = {}});
    if (!more.empty()) m.outputs.push_back({.name = "t", .type = dtype::fp32, .dims = {}});
    m.set_weight("w1", random_tensor({20, 20}, 2));
    m.set_weight("w2", random_tensor({20, 20}, 3));
    return with_attribute(check_same(quantized(m, x), x), "y_scale");
  };
  CHECK(chain_of({}, false) == 1);
  CHECK(chain_of({}, true) == 0);
  CHECK(chain_of({make_node("Tanh", {"a"}, "t")}, false) == 0);
  // Two layers that quantize a value differently.
  model m = with_nodes({6, 20},
                       {make_node("MatMul", {"x", "w"}, "a"), make_node("MatMul", {"a", "w"}, "b"),
                        make_node("MatMul", {"a", "w"}, "c"), make_node("Sub", {"b", "c"}, "y")});
  m.set_weight("w", random_tensor({20, 20}, 2));
  model q = quantized(m, x);
  REQUIRE(with_attribute(q, "x_scale") == 2);  // b and c are the same
  q = optimize(onnx::to_standard(q));
  node other = q.nodes[1];
  other.outputs[0] = "c2";
  other.attributes.insert_or_assign("x_scale", 0.5f);
  q.nodes.insert(q.nodes.begin() + 2, other);
  q.nodes.back().inputs[1] = "c2";
  CHECK(with_attribute(check_same(q, x), "y_scale") == 0);
}

TEST_CASE("scales of codes that make no sense are errors", "[graph]") {
  const auto x = random_tensor({4, 20}, 1);
  model m = with_nodes({4, 20}, {make_node("MatMul", {"x", "w"}, "y")});
  m.set_weight("w", random_tensor({20, 20}, 2));
  const model q = quantized(m, x);
  const auto changed = [&](const char* key, attribute value) {
    model other = q;
    other.nodes[0].attributes.insert_or_assign(key, std::move(value));
    return other;
  };
  CHECK_THROWS_WITH(session(changed("x_scale", -1.0f)), Catch::Contains("x of scale -1"));
  CHECK_THROWS_WITH(session(changed("y_scale", std::numeric_limits<float>::infinity())),
                    Catch::Contains("y of scale inf"));
  CHECK_THROWS_WITH(session(changed("x_zero_point", std::int64_t{256})),
                    Catch::Contains("zero point 256"));
  model none = changed("r_scale", 1.0f);
  none.nodes[0].attributes.erase("x_scale");
  CHECK_THROWS_WITH(session(none), Catch::Contains("its input has none"));
  model real = q;
  real.nodes[0].attributes.erase("compute");
  CHECK_THROWS_WITH(session(real), Catch::Contains("integer products"));
}
