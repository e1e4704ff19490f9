#include <limits>
#include <optional>
#include <string>

#include "../ops/naive.hpp"
#include "models.hpp"
#include "support/catch.hpp"

/// Attention by its parts, in the forms that exporters write, against the parts themselves.

using namespace qtk;
using qtk_test::count;
using qtk_test::distance;
using qtk_test::ints;
using qtk_test::make_node;
using qtk_test::random_tensor;
using qtk_test::with_nodes;

namespace {

constexpr std::size_t B = 2, L = 5, H = 3, D = 8;

/// How a file writes it.
struct form {
  bool merged_turn = true;    // one Transpose to (B, H, d, L), or one more behind that of the heads
  bool both_scaled = false;   // Q and K by the root each, or the logits
  bool divided = false;       // by Div
  bool joined_behind = true;  // Transpose and Reshape of Y
  shape mask = {};            // rank 0: none
  bool mask_first = false;    // mask + logits
};

/// x (B, L, H * D): three projections, heads, attention.
model layer(const form& f) {
  model m = with_nodes({B, L, H * D}, {});
  const auto add = [&m](node n) { m.nodes.push_back(std::move(n)); };
  const auto one = [](float v) { return tensor<fp32>({}, {v}); };
  const float scale = 0.35355339f;  // 1 / sqrt(8)
  m.set_weight("scale", one(f.divided ? 1 / scale : scale));
  m.set_weight("root", one(std::sqrt(scale)));
  m.set_weight("heads", tensor<int64>({4}, {0, 0, static_cast<std::int64_t>(H), -1}));
  m.set_weight("flat", tensor<int64>({3}, {0, 0, -1}));
  for (const std::string p : {"q", "k", "v"}) {
    m.set_weight(p + ".w", random_tensor({H * D, H * D}, static_cast<unsigned>(p[0])));
    add(make_node("MatMul", {"x", p + ".w"}, p + ".rows"));
    add(make_node("Reshape", {p + ".rows", "heads"}, p + ".cut"));
    const bool last = p == "k" && f.merged_turn;
    add(make_node("Transpose", {p + ".cut"}, p + ".turned",
                  {{"perm", last ? ints({0, 2, 3, 1}) : ints({0, 2, 1, 3})}}));
  }
  std::string q = "q.turned", k = "k.turned";
  if (!f.merged_turn) {
    add(make_node("Transpose", {k}, "k.again", {{"perm", ints({0, 1, 3, 2})}}));
    k = "k.again";
  }
  if (f.both_scaled) {
    add(make_node("Mul", {q, "root"}, "q.scaled"));
    add(make_node("Mul", {"root", k}, "k.scaled"));
    q = "q.scaled";
    k = "k.scaled";
  }
  add(make_node("MatMul", {q, k}, "qk"));
  std::string logits = "qk";
  if (!f.both_scaled) {
    add(make_node(f.divided ? "Div" : "Mul", {"qk", "scale"}, "scaled"));
    logits = "scaled";
  }
  if (f.mask.rank() != 0) {
    m.set_weight("mask", random_tensor(f.mask, 9, -2.0f, 2.0f));
    add(f.mask_first ? make_node("Add", {"mask", logits}, "masked")
                     : make_node("Add", {logits, "mask"}, "masked"));
    logits = "masked";
  }
  add(make_node("Softmax", {logits}, "p"));
  add(make_node("MatMul", {"p", "v.turned"}, f.joined_behind ? "heads.y" : "y"));
  if (f.joined_behind) {
    add(make_node("Transpose", {"heads.y"}, "y.turned", {{"perm", ints({0, 2, 1, 3})}}));
    add(make_node("Reshape", {"y.turned", "flat"}, "y"));
  }
  return m;
}

double changed(const model& m, const shape& x) {
  const auto in = random_tensor(x, 5);
  return distance(session(m).run(in), session(m, {.optimize = false}).run(in));
}

}  // namespace

TEST_CASE("attention is recognized in every form, heads and all", "[graph]") {
  for (const bool merged : {false, true})
    for (const bool both : {false, true})
      for (const bool divided : {false, true})
        for (const shape& mask : {shape{}, shape{L}, shape{L, L}, shape{B, 1, 1, L},
                                  shape{1, H, L, L}, shape{B, 1, L, 1}}) {
          const form f{.merged_turn = merged,
                       .both_scaled = both,
                       .divided = divided,
                       .mask = mask,
                       .mask_first = divided};
          CAPTURE(merged, both, divided, to_string(mask));
          const model m = layer(f), small = optimize_to_run(m);
          CHECK(count(small, "Attention", qtk_domain) == 1);
          CHECK(small.nodes.size() == 4);  // with the three projections
          CHECK(changed(m, {B, L, H * D}) < 1e-5);
        }
}

TEST_CASE("attention keeps a dimension of heads where the file does", "[graph]") {
  const model m = layer({.joined_behind = false, .mask = {L, L}});
  const model small = optimize_to_run(m);
  CHECK(count(small, "Attention", qtk_domain) == 1);
  CHECK(count(small, "Softmax") == 0);
  CHECK(changed(m, {B, L, H * D}) < 1e-5);
}

TEST_CASE("attention without heads, over a batch", "[graph]") {
  for (const shape& mask : {shape{}, shape{6}, shape{6, 6}, shape{4, 6, 6}, shape{4, 1, 6}}) {
    model m =
        with_nodes({4, 6, 10}, {make_node("Mul", {"x", "half"}, "q"),
                                make_node("Transpose", {"x"}, "k", {{"perm", ints({0, 2, 1})}}),
                                make_node("MatMul", {"q", "k"}, "s"),
                                make_node("Softmax", {"s"}, "p", {{"axis", std::int64_t{2}}}),
                                make_node("MatMul", {"p", "x"}, "y")});
    m.set_weight("half", tensor<fp32>({1}, {0.5f}));
    if (mask.rank() != 0) {
      m.nodes[3].inputs[0] = "masked";
      m.nodes.insert(m.nodes.begin() + 3, make_node("Add", {"s", "mask"}, "masked"));
      m.set_weight("mask", random_tensor(mask, 9, -2.0f, 2.0f));
    }
    CAPTURE(to_string(mask));
    const model small = optimize_to_run(m);
    CHECK(count(small, "Attention", qtk_domain) == 1);
    CHECK(count(small, "Softmax") == 0);
    CHECK(changed(m, {4, 6, 10}) < 1e-5);
  }
}

TEST_CASE("what only looks like attention stays as it is", "[graph]") {
  const auto stays = [](const model& m, const shape& x) {
    CHECK(count(optimize_to_run(m), "Attention", qtk_domain) == 0);
    CHECK(changed(m, x) < 1e-5);
  };
  model axis = layer({});
  for (node& n : axis.nodes)
    if (n.is("Softmax")) n.attributes["axis"] = std::int64_t{2};
  stays(axis, {B, L, H * D});
  model set_12 = layer({});  // there the default axis is 1
  set_12.opsets[""] = 12;
  stays(set_12, {B, L, H * D});
  model wanted = layer({});
  wanted.outputs.push_back({.name = "p", .type = dtype::fp32, .dims = {}});
  CHECK(count(optimize_to_run(wanted), "Attention", qtk_domain) == 0);
  model grown = layer({.joined_behind = false});  // the mask broadcasts the logits
  grown.inputs[0].dims[0].size = 1;
  grown.set_weight("mask", random_tensor({4, 1, L, L}, 3));
  for (node& n : grown.nodes)
    if (n.is("Softmax")) n.inputs[0] = "masked";
  grown.nodes.insert(grown.nodes.end() - 2, make_node("Add", {"scaled", "mask"}, "masked"));
  stays(grown, {1, L, H * D});
}

TEST_CASE("as many heads as a symbol says are not counted", "[graph]") {
  model m = with_nodes({2, 3, 8}, {});
  m.inputs[0].dims[2] = {std::nullopt, "D"};
  m.set_weight("heads", tensor<int64>({4}, {0, 0, -1, 4}));
  m.set_weight("flat", tensor<int64>({3}, {0, 0, -1}));
  m.nodes = {make_node("Reshape", {"x", "heads"}, "cut"),
             make_node("Transpose", {"cut"}, "q", {{"perm", ints({0, 2, 1, 3})}}),
             make_node("Transpose", {"cut"}, "k", {{"perm", ints({0, 2, 3, 1})}}),
             make_node("MatMul", {"q", "k"}, "s"),
             make_node("Softmax", {"s"}, "p"),
             make_node("MatMul", {"p", "q"}, "a"),
             make_node("Transpose", {"a"}, "t", {{"perm", ints({0, 2, 1, 3})}}),
             make_node("Reshape", {"t", "flat"}, "y")};
  for (const std::size_t width : {8u, 12u, 64u}) {
    const tensor<fp32> x = random_tensor({2, 3, width}, 5);
    const auto y = [&](bool optimized) {
      return session(m, {.optimize = optimized, .shapes = {x.shape()}}).run(x);
    };
    CHECK(distance(y(true), y(false)) < 1e-5);
  }
}

TEST_CASE("a number of more dimensions than what it multiplies", "[graph]") {
  model m =
      with_nodes({2, 3, 4}, {make_node("Mul", {"x", "one"}, "q"),
                             make_node("Transpose", {"q"}, "k", {{"perm", ints({0, 1, 3, 2})}}),
                             make_node("MatMul", {"q", "k"}, "s"), make_node("Softmax", {"s"}, "p"),
                             make_node("MatMul", {"p", "q"}, "y")});
  m.set_weight("one", tensor<fp32>({1, 1, 1, 1}, {0.5f}));
  CHECK(changed(m, {2, 3, 4}) < 1e-5);
}

TEST_CASE("a row that sees no key gives zeros", "[graph]") {
  model m = with_nodes({2, 3, 4},
                       {make_node("Transpose", {"x"}, "k", {{"perm", ints({0, 2, 1})}}),
                        make_node("MatMul", {"x", "k"}, "s"), make_node("Add", {"s", "mask"}, "t"),
                        make_node("Softmax", {"t"}, "p"), make_node("MatMul", {"p", "x"}, "y")});
  const float never = -std::numeric_limits<float>::infinity();
  m.set_weight("mask", tensor<fp32>({3, 3}, {0, never, never, never, never, never, 0, 0, 0}));
  const tensor<fp32> x = random_tensor({2, 3, 4}, 1), y = session(m).run(x);
  for (std::size_t b = 0; b < 2; ++b)
    for (std::size_t d = 0; d < 4; ++d) {
      CHECK(y.data()[b * 12 + d] == Approx(x.data()[b * 12 + d]));
      CHECK(y.data()[b * 12 + 4 + d] == 0.0f);
    }
}
