#pragma once

#include <algorithm>
#include <qtk/graph.hpp>
#include <qtk/graph/ops/common.hpp>
#include <string_view>

#include "support/random.hpp"

namespace qtk_test {

inline qtk::node make_node(std::string op, std::vector<std::string> inputs, std::string output,
                           std::map<std::string, qtk::attribute, std::less<>> attributes = {}) {
  qtk::node n;
  n.op = std::move(op);
  n.name = output;
  n.inputs = std::move(inputs);
  n.outputs = {std::move(output)};
  n.attributes = std::move(attributes);
  return n;
}

/// Nodes of a model that are this operator.
inline std::size_t count(const qtk::model& m, std::string_view op, std::string_view domain = "") {
  return static_cast<std::size_t>(std::count_if(
      m.nodes.begin(), m.nodes.end(), [&](const qtk::node& n) { return n.is(op, domain); }));
}

inline std::vector<std::int64_t> ints(std::initializer_list<std::int64_t> v) { return v; }

/// Input "x" of that shape, output "y".
inline qtk::model with_nodes(std::initializer_list<std::size_t> x, std::vector<qtk::node> nodes) {
  using namespace qtk;
  model m;
  m.opsets[""] = 13;
  m.inputs = {{.name = "x", .type = dtype::fp32, .dims = {}}};
  for (const std::size_t d : x) m.inputs[0].dims.push_back({d, ""});
  m.outputs = {{.name = "y", .type = dtype::fp32, .dims = {}}};
  m.nodes = std::move(nodes);
  return m;
}

/// What an If, Loop or Scan holds under attribute `key`; `captured` are values of the graph around.
struct body_of {
  std::string key;
  qtk::model body;
  std::vector<std::string> captured = {};
};

/// The node with these bodies: what they capture becomes inputs of the node.
inline qtk::node with_bodies(qtk::node n, std::vector<body_of> bodies) {
  const std::size_t own = n.inputs.size();
  for (body_of& b : bodies) {
    qtk::subgraph s;
    for (const std::string& value : b.captured) {
      s.captured.push_back(n.inputs.size());
      n.inputs.push_back(value);
      b.body.inputs.push_back(
          {.name = value, .type = qtk::dtype::fp32, .dims = {}, .untyped = true});
    }
    s.body = std::move(b.body);
    n.attributes.emplace(b.key, std::make_shared<const qtk::subgraph>(std::move(s)));
  }
  n.captures = n.inputs.size() - own;
  return n;
}

inline qtk::model body(std::vector<qtk::value_info> inputs, std::vector<qtk::value_info> outputs,
                       std::vector<qtk::node> nodes) {
  qtk::model m;
  m.inputs = std::move(inputs);
  m.outputs = std::move(outputs);
  m.nodes = std::move(nodes);
  return m;
}

/// A small residual classifier as a framework exports it: Conv + BatchNormalization + Relu, a
/// shortcut Add, pooling, Flatten, MatMul + Add, Gemm. Input "x" [N, 3, 8, 8], output "y" [N, 5].
inline qtk::model residual_model() {
  using namespace qtk;
  model m;
  m.name = "residual";
  m.opsets[""] = 13;
  m.inputs = {
      {.name = "x", .type = dtype::fp32, .dims = {{std::nullopt, "N"}, {3, ""}, {8, ""}, {8, ""}}}};
  m.outputs = {{.name = "y", .type = dtype::fp32, .dims = {{std::nullopt, "N"}, {5, ""}}}};
  const auto batch_norm = [&](const std::string& in, const std::string& out, std::size_t n,
                              std::uint32_t seed) {
    m.set_weight(out + ".gamma", random_tensor({n}, seed, 0.5f, 1.5f));
    m.set_weight(out + ".beta", random_tensor({n}, seed + 1));
    m.set_weight(out + ".mean", random_tensor({n}, seed + 2));
    m.set_weight(out + ".var", random_tensor({n}, seed + 3, 0.5f, 2.0f));
    m.nodes.push_back(make_node("BatchNormalization",
                                {in, out + ".gamma", out + ".beta", out + ".mean", out + ".var"},
                                out));
  };
  const attribute same = ints({1, 1, 1, 1});
  m.set_weight("c1.w", random_tensor({8, 3, 3, 3}, 10));
  m.set_weight("c2.w", random_tensor({8, 8, 3, 3}, 20));
  m.set_weight("c2.b", random_tensor({8}, 21));
  m.set_weight("fc1.w", random_tensor({32, 6}, 30));
  m.set_weight("fc1.b", random_tensor({6}, 31));
  m.set_weight("fc2.w", random_tensor({5, 6}, 40));
  m.set_weight("fc2.b", random_tensor({5}, 41));
  m.nodes.push_back(make_node("Conv", {"x", "c1.w"}, "c1", {{"pads", same}}));
  batch_norm("c1", "b1", 8, 50);
  m.nodes.push_back(make_node("Relu", {"b1"}, "r1"));
  m.nodes.push_back(make_node("Conv", {"r1", "c2.w", "c2.b"}, "c2", {{"pads", same}}));
  batch_norm("c2", "b2", 8, 60);
  m.nodes.push_back(make_node("Add", {"b2", "r1"}, "sum"));
  m.nodes.push_back(make_node("Relu", {"sum"}, "r2"));
  m.nodes.push_back(make_node("MaxPool", {"r2"}, "p",
                              {{"kernel_shape", ints({4, 4})}, {"strides", ints({4, 4})}}));
  m.nodes.push_back(make_node("Flatten", {"p"}, "flat"));
  m.nodes.push_back(make_node("MatMul", {"flat", "fc1.w"}, "fc1.product"));
  m.nodes.push_back(make_node("Add", {"fc1.product", "fc1.b"}, "fc1"));
  m.nodes.push_back(make_node("LeakyRelu", {"fc1"}, "r3", {{"alpha", 0.1f}}));
  m.nodes.push_back(
      make_node("Gemm", {"r3", "fc2.w", "fc2.b"}, "y", {{"transB", std::int64_t{1}}}));
  return m;
}

}  // namespace qtk_test
