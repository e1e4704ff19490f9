#include <qtk/quantize.hpp>

#include "../ops/naive.hpp"
#include "models.hpp"
#include "support/catch.hpp"

using namespace qtk;
using qtk_test::distance;
using qtk_test::make_node;
using qtk_test::random_tensor;
using qtk_test::residual_model;

namespace {

double zeros(const tensor<fp32>& w) {
  return static_cast<double>(std::count(w.span().begin(), w.span().end(), 0.0f)) /
         static_cast<double>(w.elements());
}

/// conv(3 -> 8) relu, maxpool, conv(8 -> 6) relu, flatten, linear(6 * 4 -> 10) relu, linear(10 ->
/// 4)
model chain() {
  model m;
  m.opsets[""] = 13;
  m.inputs = {
      {.name = "x", .type = dtype::fp32, .dims = {{std::nullopt, "N"}, {3, ""}, {4, ""}, {4, ""}}}};
  m.outputs = {{.name = "y", .type = dtype::fp32, .dims = {}}};
  const attribute same = qtk_test::ints({1, 1, 1, 1}), two = qtk_test::ints({2, 2});
  m.set_weight("w1", random_tensor({8, 3, 3, 3}, 1));
  m.set_weight("b1", random_tensor({8}, 2));
  m.set_weight("w2", random_tensor({6, 8, 3, 3}, 3));
  m.set_weight("w3", random_tensor({10, 24}, 4));
  m.set_weight("b3", random_tensor({10}, 5));
  m.set_weight("w4", random_tensor({4, 10}, 6));
  m.nodes = {make_node("Conv", {"x", "w1", "b1"}, "c1", {{"pads", same}}),
             make_node("Relu", {"c1"}, "r1"),
             make_node("MaxPool", {"r1"}, "p1", {{"kernel_shape", two}, {"strides", two}}),
             make_node("Conv", {"p1", "w2"}, "c2", {{"pads", same}}),
             make_node("Relu", {"c2"}, "r2"),
             make_node("Flatten", {"r2"}, "f"),
             make_node("Gemm", {"f", "w3", "b3"}, "g3", {{"transB", std::int64_t{1}}}),
             make_node("Relu", {"g3"}, "r3"),
             make_node("Gemm", {"r3", "w4"}, "y", {{"transB", std::int64_t{1}}})};
  return m;
}

const tensor<fp32>& weights_of(const model& m, const std::string& layer) {
  for (const node& n : m.nodes)
    if (n.name == layer) return m.find_weight(n.inputs[1])->as<fp32>();
  FAIL("no layer " << layer);
  std::abort();
}

}  // namespace

TEST_CASE("magnitude pruning zeros the asked share, per layer or over all", "[graph]") {
  const model each = prune_magnitude(residual_model(), 0.5);
  for (const char* layer : {"c1", "c2", "fc1.product", "y"})
    CHECK(zeros(weights_of(each, layer)) == Approx(0.5).margin(0.02));
  const model all = prune_magnitude(residual_model(), 0.5, prune_scope::global);
  double zero = 0, total = 0;
  for (const char* layer : {"c1", "c2", "fc1.product", "y"}) {
    const auto& w = weights_of(all, layer);
    zero += zeros(w) * static_cast<double>(w.elements());
    total += static_cast<double>(w.elements());
  }
  CHECK(zero / total == Approx(0.5).margin(0.001));
}

TEST_CASE("N:M pruning keeps N of each M along K", "[graph]") {
  const model pruned = prune_nm(residual_model(), 2, 4);
  const auto& w = weights_of(pruned, "c2");
  for (std::size_t r = 0; r < w.rows(); ++r)
    for (std::size_t k = 0; k + 4 <= w.cols(); k += 4)
      CHECK(std::count(w.data() + r * w.cols() + k, w.data() + r * w.cols() + k + 4, 0.0f) == 2);
}

TEST_CASE("channels that go take their columns along", "[graph]") {
  std::size_t removed = 0;
  const model small = prune_channels(chain(), 0.5, slice_norm::l1, &removed);
  CHECK(weights_of(small, "c1").shape() == shape{4, 27});
  CHECK(weights_of(small, "c2").shape() == shape{3, 36});
  CHECK(weights_of(small, "g3").shape() == shape{5, 12});
  CHECK(weights_of(small, "y").shape() == shape{4, 5});
  CHECK(removed == 4 + 3 + 5);
  const session s(small);
  CHECK(s.run(random_tensor({2, 3, 4, 4}, 9)).shape() == shape{2, 4});
  const shape one[] = {{1, 3, 4, 4}};
  CHECK(s.memory(one).packed_weights < session(chain()).memory(one).packed_weights);
}

TEST_CASE("removing channels equals zeroing them", "[graph]") {
  // Without bias and behind ReLU a channel of zero weights feeds zeros to the next layer, so the
  // same choice made by zeroing rows (and the columns that read them) must give the same answer.
  model m = chain();
  m.nodes[0].inputs.resize(2);
  m.nodes[6].inputs.resize(2);
  const model small = prune_channels(m, 0.25);
  model zeroed = m;
  std::vector<std::size_t> lost;
  for (const char* name : {"w1", "w2", "w3"}) {
    tensor<fp32> w = m.find_weight(name)->as<fp32>();
    const std::size_t rows = w.shape()[0], columns = w.elements() / rows;
    const std::size_t previous = name[1] == '2' ? 8 : name[1] == '3' ? 6 : columns;
    for (std::size_t r = 0; r < rows; ++r)
      for (const std::size_t c : lost)
        std::fill_n(w.data() + r * columns + c * (columns / previous), columns / previous, 0.0f);
    const auto keep = channels_to_keep(w, 0.25);
    CHECK(keep.size() < rows);
    lost.clear();
    for (std::size_t r = 0; r < rows; ++r)
      if (std::find(keep.begin(), keep.end(), r) == keep.end()) {
        lost.push_back(r);
        std::fill_n(w.data() + r * columns, columns, 0.0f);
      }
    zeroed.set_weight(name, std::move(w));
  }
  const auto x = random_tensor({2, 3, 4, 4}, 11);
  CHECK(distance(session(small).run(x), session(zeroed).run(x)) < 1e-5);
}

TEST_CASE("layers around a shortcut keep their width", "[graph]") {
  const model m = prune_channels(residual_model(), 0.5);
  CHECK(weights_of(m, "c1").shape()[0] == 8);
  CHECK(weights_of(m, "c2").shape()[0] == 8);
  CHECK(weights_of(m, "fc1.product").shape()[0] == 3);
  CHECK(weights_of(m, "y").shape()[1] == 3);
}

TEST_CASE("channels that a reader takes for something else stay", "[graph]") {
  const auto unchanged = [](const model& m, const shape& x) {
    std::size_t removed = 0;
    const model pruned = prune_channels(m, 0.5, slice_norm::l1, &removed);
    CHECK(removed == 0);
    const auto in = random_tensor(x, 3);
    CHECK(distance(session(pruned).run(in), session(m).run(in)) == 0.0);
  };
  // The product reads columns of the image: 8 of them, as there are channels.
  model columns = qtk_test::with_nodes(
      {1, 3, 8, 8}, {make_node("Conv", {"x", "w"}, "c"), make_node("MatMul", {"c", "m"}, "y")});
  columns.set_weight("w", random_tensor({8, 3, 1, 1}, 1));
  columns.set_weight("m", random_tensor({8, 5}, 2));
  unchanged(columns, {1, 3, 8, 8});
  // Flattened rows of 6 features: a column of the reader is a row and a feature, not a feature.
  model rows = qtk_test::with_nodes(
      {1, 4, 3}, {make_node("MatMul", {"x", "w"}, "p"), make_node("Flatten", {"p"}, "f"),
                  make_node("MatMul", {"f", "m"}, "y")});
  rows.set_weight("w", random_tensor({3, 6}, 1));
  rows.set_weight("m", random_tensor({24, 2}, 2));
  unchanged(rows, {1, 4, 3});
  // Without the Flatten features stay features, whatever the rank.
  rows.nodes.erase(rows.nodes.begin() + 1);
  rows.nodes[1].inputs[0] = "p";
  rows.set_weight("m", random_tensor({6, 2}, 2));
  std::size_t removed = 0;
  CHECK(session(prune_channels(rows, 0.5, slice_norm::l1, &removed))
            .run(random_tensor({1, 4, 3}, 3))
            .shape() == shape{1, 4, 2});
  CHECK(removed == 3);
}
