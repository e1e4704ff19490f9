#include <cstring>
#include <qtk/onnx.hpp>

#include "graph/models.hpp"
#include "support/catch.hpp"

using namespace qtk;
using qtk_test::ints;
using qtk_test::make_node;
using qtk_test::random_tensor;

namespace {

/// One node from x [2, 3, 4] (fp32) to y, in an operator set.
model one(std::int64_t opset, node n) {
  model m;
  m.opsets[""] = opset;
  m.inputs = {{.name = "x", .type = dtype::fp32, .dims = {{2, ""}, {3, ""}, {4, ""}}}};
  m.outputs = {{.name = "y", .type = dtype::fp32, .dims = {}}};
  m.nodes = {std::move(n)};
  return m;
}

/// Runs m as it is and raised; both must agree, bit for bit.
void check_raised(const model& m, std::int64_t to) {
  const model raised = onnx::raise_opset(m, to);
  CHECK(raised.opset() == to);
  const auto x = random_tensor({2, 3, 4}, 1);
  const auto before = session(m).run(x), after = session(raised).run(x);
  REQUIRE(before.shape() == after.shape());
  CHECK(std::memcmp(before.data(), after.data(), before.span().size_bytes()) == 0);
}

std::string failure(const model& m, std::int64_t to) {
  try {
    (void)onnx::raise_opset(m, to);
  } catch (const error& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("attributes that became inputs", "[io][onnx]") {
  check_raised(one(7, make_node("Clip", {"x"}, "y", {{"min", -0.5f}, {"max", 0.25f}})), 13);
  check_raised(
      one(9, make_node("Slice", {"x"}, "y",
                       {{"starts", ints({1, 0})}, {"ends", ints({3, 2})}, {"axes", ints({1, 2})}})),
      13);
  check_raised(
      one(10, make_node("Pad", {"x"}, "y", {{"pads", ints({0, 1, 0, 0, 0, 2})}, {"value", 0.5f}})),
      13);
  check_raised(one(12, make_node("Unsqueeze", {"x"}, "y", {{"axes", ints({0, 2})}})), 21);
}

TEST_CASE("Softmax normalized over all that follows its axis", "[io][onnx]") {
  check_raised(one(11, make_node("Softmax", {"x"}, "y", {{"axis", std::int64_t{1}}})), 13);
  check_raised(one(11, make_node("Softmax", {"x"}, "y")), 21);
  const model last = one(11, make_node("Softmax", {"x"}, "y", {{"axis", std::int64_t{-1}}}));
  CHECK(onnx::raise_opset(last, 13).nodes.size() == 1);
  // In set 13 the axis means itself alone: nothing to do.
  const model modern = one(13, make_node("Softmax", {"x"}, "y", {{"axis", std::int64_t{1}}}));
  CHECK(onnx::raise_opset(modern, 21).nodes.size() == 1);
}

TEST_CASE("what only training used goes", "[io][onnx]") {
  node n = make_node("Dropout", {"x"}, "y", {{"ratio", 0.5f}});
  n.outputs.push_back("mask");
  const node raised = onnx::raise_opset(one(8, n), 13).nodes[0];
  CHECK(raised.outputs == std::vector<std::string>{"y"});
  CHECK(raised.attributes.empty());
  model m = one(8, n);
  m.outputs.push_back({.name = "mask", .type = dtype::fp32, .dims = {}});
  CHECK(failure(m, 13) == "Dropout 'y': output 'mask' cannot be moved from operator set 8 to 13");
  CHECK(failure(one(8, make_node("BatchNormalization", {"x"}, "y", {{"spatial", std::int64_t{0}}})),
                13) == "BatchNormalization 'y': spatial = 0 was dropped in set 9");
}

TEST_CASE("operators that are not known to stay the same", "[io][onnx]") {
  CHECK(failure(one(11, make_node("ReduceSum", {"x"}, "y")), 13) ==
        "ReduceSum 'y': cannot be moved from operator set 11 to 13");
  CHECK(failure(one(6, make_node("Relu", {"x"}, "y")), 13) ==
        "model: operator set 6 cannot be raised to 13, only 7 and newer to 22 at most");
  CHECK(failure(one(11, make_node("ReduceSum", {"x"}, "y")), 11) == "no error");
}
