
#include <chrono>
#include <cstdlib>
#include <qtk/graph.hpp>

#include "../ops/naive.hpp"
#include "models.hpp"
#include "support/catch.hpp"

/// Graphs that are well-formed and mean harm: each once crashed, overflowed or took minutes.

using namespace qtk;
using qtk_test::ints;
using qtk_test::make_node;
using qtk_test::random_tensor;
using qtk_test::with_nodes;

namespace {

constexpr std::int64_t far = std::numeric_limits<std::int64_t>::max();

/// n nodes of one kind, each reading what the one before made; the last makes "y".
template <class Make>
std::vector<node> chain(std::size_t n, const std::string& first, const Make& make) {
  std::vector<node> nodes;
  std::string from = first;
  for (std::size_t i = 0; i < n; ++i) {
    const std::string to = i + 1 == n ? "y" : cat("v", i);
    nodes.push_back(make(from, to));
    from = to;
  }
  return nodes;
}

}  // namespace

TEST_CASE("an axis that is sliced twice", "[graph][hostile]") {
  model m = with_nodes({6}, {make_node("Slice", {"x", "s", "e", "a"}, "y")});
  m.set_weight("s", graph_ops::int64_list({5, 5}));
  m.set_weight("e", graph_ops::int64_list({6, 6}));
  m.set_weight("a", graph_ops::int64_list({0, -1}));
  CHECK_THROWS_WITH(session(m), "Slice 'y': axis -1 is sliced twice");
}

TEST_CASE("a convolution behind a Reshape of nothing, or of another shape", "[graph][hostile]") {
  model m =
      with_nodes({1, 1, 4, 4}, {make_node("Reshape", {}, "w"), make_node("Conv", {"x", "w"}, "y")});
  CHECK_THROWS_AS(session(m), error);
  m.nodes[0].inputs = {"matrix", "to"};
  m.set_weight("matrix", random_tensor({2, 9}, 1));
  m.set_weight("to", graph_ops::int64_list({2, 1, 3, 3}));
  CHECK_NOTHROW(session(m));
  for (const auto& wrong : {ints({2, 1, 9, 1, 1}), ints({9, 2, 1, 1}), ints({})}) {
    m.nodes[1].attributes.insert_or_assign("kernel_shape", ints({3, 3}));
    m.set_weight("to", graph_ops::int64_list(wrong));
    CHECK_THROWS_AS(session(m), error);
  }
}

TEST_CASE("bounds, groups and dimensions out of all proportion", "[graph][hostile]") {
  model clip = with_nodes({4}, {make_node("Clip", {"x", "lo"}, "y")});
  clip.set_weight("lo", tensor<fp32>({0}));
  CHECK_THROWS_WITH(session(clip), "Clip 'y': a bound of fp32 [0]");

  model conv = with_nodes({1, 4, 4, 4}, {make_node("Conv", {"x", "w"}, "y")});
  conv.set_weight("w", random_tensor({2, 4, 1, 1}, 1));
  for (const std::int64_t group :
       {std::int64_t{0}, std::int64_t{-1}, std::int64_t{3}, std::int64_t{4}, far}) {
    conv.nodes[0].attributes.insert_or_assign("group", group);
    CHECK_THROWS_AS(session(conv), error);
  }

  model expand = with_nodes({1}, {make_node("Expand", {"x", "to"}, "y")});
  for (const auto& to : {ints({far, far}), ints({2147483647, 2147483649}), ints({far, far, far, 0}),
                         ints({0, far, far}), ints({-1})}) {
    expand.set_weight("to", graph_ops::int64_list(to));
    try {
      (void)session(expand).run(tensor<fp32>({1}));
    } catch (const error&) {
    }
  }

  model pad = with_nodes({0, 1, 1, 1}, {make_node("Pad", {"x", "pads"}, "y")});
  pad.set_weight("pads", graph_ops::int64_list({0, 1 << 23, 1 << 23, 1 << 23, 0, 1, 1, 1}));
  try {
    (void)session(pad).run(tensor<fp32>({0, 1, 1, 1}));
  } catch (const error&) {
  }
}

TEST_CASE("a bias of another length than the layer, behind which something is fused",
          "[graph][hostile]") {
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
    model m =
        with_nodes({1, 4, 4, 4}, {make_node("Conv", {"x", "w", "b"}, "c"),
                                  make_node("BatchNormalization", {"c", "s", "s", "s", "s"}, "y")});
    m.set_weight("w", random_tensor({2, 4, 1, 1}, 1));
    m.set_weight("b", tensor<fp32>({length}));
    m.set_weight("s", random_tensor({2}, 2, 0.5f, 1.0f));
    m.set_weight("plane", random_tensor({2, 1, 1}, 3));
    CHECK_THROWS_WITH(session(m), Catch::StartsWith("qtk.Conv 'c': bias ["));
    m.nodes[1] = make_node("Add", {"c", "plane"}, "y");
    CHECK_THROWS_WITH(session(m), Catch::StartsWith("qtk.Conv 'c': bias ["));
  }
}

TEST_CASE("constants are folded within a budget", "[graph][hostile]") {
  // Each node asks for 32 MiB: all of them together for far more than the model may make.
  std::vector<node> nodes;
  std::vector<std::string> parts;
  for (int i = 0; i < 10; ++i) {
    parts.push_back(cat("big", i));
    nodes.push_back(make_node("Expand", {"one", "to"}, parts.back()));
  }
  nodes.push_back(make_node("Concat", parts, "all", {{"axis", std::int64_t{0}}}));
  nodes.push_back(make_node("Gather", {"all", "zero"}, "g"));
  nodes.push_back(make_node("Add", {"x", "g"}, "y"));
  model m = with_nodes({1}, nodes);
  m.set_weight("one", tensor<fp32>({1 << 16}));  // rows to copy whole: quick under sanitizers
  m.set_weight("to", graph_ops::int64_list({128, 1 << 16}));
  m.set_weight("zero", graph_ops::int64_list({0}));
  CHECK(weight_bytes(optimize(m)) < std::size_t{80} << 20);
  CHECK_THROWS_WITH(session(m, {.memory_limit = std::size_t{256} << 20}),
                    Catch::Contains("the limit is"));
  // What nobody reads costs nothing.
  m.nodes.back().inputs[1] = "one";
  CHECK(optimize(m).nodes.size() == 1);
}

TEST_CASE("long chains take time in proportion", "[graph][hostile]") {
  // Quadratic or recursive passes take minutes or the stack on these.
  const std::size_t n = std::getenv("QTK_TEST_LIGHT") != nullptr ? 1000 : 10000;
  const auto seconds = [](const auto& f) {
    const auto start = std::chrono::steady_clock::now();
    f();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const auto unary = [](const char* op) {
    return
        [op](const std::string& from, const std::string& to) { return make_node(op, {from}, to); };
  };
  const model identities = with_nodes({1}, chain(3 * n, "x", unary("Identity")));
  CHECK(seconds([&] { CHECK(optimize(identities).nodes.size() == 1); }) < 15);
  const model exponents = with_nodes({1}, chain(n, "x", unary("Neg")));
  CHECK(seconds([&] {
          CHECK(session(exponents).run(tensor<fp32>({1}, {2.0f})).data()[0] == 2.0f);
        }) < 15);
  const auto reshape = [](const std::string& from, const std::string& to) {
    return make_node("Reshape", {from, from}, to);
  };
  model reshapes = with_nodes({1}, chain(6 * n, "real", reshape));
  reshapes.nodes.insert(reshapes.nodes.begin(),
                        make_node("Cast", {"half"}, "real", {{"to", std::int64_t{1}}}));
  reshapes.set_weight("half", tensor<fp16>({1}));
  CHECK(seconds([&] { CHECK_THROWS_AS(session(reshapes), error); }) < 15);
}

TEST_CASE("operators without what they read or make, behind a layer", "[graph][hostile]") {
  for (const char* op : {"Add", "BatchNormalization", "Relu", "Clip", "Flatten", "Gemm"}) {
    model m = with_nodes({1, 3}, {make_node("MatMul", {"x", "w"}, "p"), make_node(op, {"p"}, "y")});
    m.set_weight("w", random_tensor({3, 3}, 1));
    const model one_input = optimize(m);
    m.nodes[1].outputs.clear();
    m.outputs[0].name = "x";
    m.nodes[0].outputs[0] = "x2";
    m.nodes[1].inputs[0] = "x2";
    for (const model& bad : {one_input, m, prune_channels(m, 0.5)}) try {
        (void)session(bad, {.optimize = false});
      } catch (const error&) {
      }
  }
}

TEST_CASE("weights whose names together read alike are told apart", "[graph][hostile]") {
  // "a b" and "c", "a" and "b c": one LSTM must not run on what was packed for the other.
  const auto lstm = [](const std::string& w, const std::string& r, std::size_t hidden,
                       const std::string& y) {
    return make_node("LSTM", {"x", w, r}, y, {{"hidden_size", static_cast<std::int64_t>(hidden)}});
  };
  const auto alone = [&](const std::string& w, const std::string& r, std::size_t hidden) {
    model m = with_nodes({2, 1, 3}, {lstm(w, r, hidden, "y")});
    m.set_weight(w, random_tensor({1, 4 * hidden, 3}, 1));
    m.set_weight(r, random_tensor({1, 4 * hidden, hidden}, 2));
    return m;
  };
  const tensor<fp32> x = random_tensor({2, 1, 3}, 3);
  model both = alone("a b", "c", 40);
  const model other = alone("a", "b c", 4);
  for (const auto& [name, w] : other.weights) both.weights.emplace(name, w);
  both.nodes.push_back(lstm("a", "b c", 4, "z"));
  both.outputs.push_back({.name = "z", .type = dtype::fp32, .dims = {}});
  const any_tensor in(x);
  const auto out = session(both).run(std::span(&in, 1));
  CHECK(qtk_test::distance(out[0].as<fp32>(), session(alone("a b", "c", 40)).run(x)) == 0.0);
  CHECK(qtk_test::distance(out[1].as<fp32>(), session(other).run(x)) == 0.0);
}

TEST_CASE("tables of transforms are not made to fold nothing", "[graph][hostile]") {
  model m =
      with_nodes({1}, {make_node("ConstantOfShape", {"s"}, "c"), make_node("DFT", {"c"}, "y")});
  m.opsets[""] = 17;
  m.set_weight("s", tensor<int64>({3}, {0, 536870911, 1}));
  CHECK_THROWS_AS(session(m), error);
}

TEST_CASE("nodes of qtk's own domain read what they hold", "[graph][hostile]") {
  const auto refused = [](const std::vector<std::string>& inputs, const shape& w) {
    for (const char* op : {"Linear", "Conv"}) {
      for (const char* behind : {"Relu", "Add", "BatchNormalization"}) {
        model m =
            with_nodes({2, 3}, {make_node(op, inputs, "p"), make_node(behind, {"p", "c"}, "y")});
        m.nodes[0].domain = std::string(qtk_domain);
        m.set_weight("w", tensor<fp32>(w));
        m.set_weight("c", tensor<fp32>({3}));
        CHECK_THROWS_AS(session(m), error);
        CHECK_THROWS_AS(session(equalize_layers(prune_channels(m, 0.5))), error);
      }
    }
  };
  refused({"x"}, {3, 3});
  refused({"x", ""}, {3, 3});
  refused({"", "w"}, {3, 3});
  refused({"x", "x"}, {3, 3});
  refused({"x", "w"}, {});
  refused({"x", "w"}, {3});
}
