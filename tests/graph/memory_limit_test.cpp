#include <qtk/graph.hpp>

#include "models.hpp"
#include "support/catch.hpp"

/// session_options::memory_limit: what tables, workspaces, bodies and late steps take counts before
/// it is taken, and the error names who asked.

using namespace qtk;
using qtk_test::body;
using qtk_test::body_of;
using qtk_test::ints;
using qtk_test::make_node;
using qtk_test::random_tensor;
using qtk_test::with_bodies;
using qtk_test::with_nodes;

namespace {

constexpr std::size_t mebi = std::size_t{1} << 20;

value_info any_value(std::string name, dtype type = dtype::fp32) {
  return {.name = std::move(name), .type = type, .dims = {}};
}
std::string failure(const model& m, std::size_t limit, const std::vector<any_tensor>& inputs) {
  try {
    (void)session(m, {.optimize = false, .memory_limit = limit}).run(inputs);
  } catch (const error& e) {
    return e.what();
  }
  return "no error";
}
session_memory memory_of(const model& m) {
  const session s(m);
  return s.memory(input_shapes(s.graph()));
}

}  // namespace

TEST_CASE("tables that binders make count before they are made", "[graph][limit]") {
  model tile = with_nodes({16}, {make_node("Tile", {"x", "times"}, "y")});
  tile.set_weight("times", graph_ops::int64_list({std::int64_t{1} << 20}));
  const std::size_t elements = std::size_t{16} << 20;
  CHECK(failure(tile, 64 * mebi, {tensor<fp32>({16})}) ==
        cat("Tile 'y': would take ", 16 * elements, " bytes, the limit is ", 64 * mebi));
  tile.set_weight("times", graph_ops::int64_list({4}));
  CHECK(memory_of(tile).packed_weights == 4 * 16);  // four runs

  model resize = with_nodes({1, 1, 1, 16}, {make_node("Resize", {"x", "", "scales"}, "y",
                                                      {{"mode", std::string("linear")}})});
  tensor<fp32> scales({4}, {1, 1, 1, 65536});
  resize.set_weight("scales", scales);
  CHECK_THAT(failure(resize, 8 * mebi, {tensor<fp32>({1, 1, 1, 16})}),
             Catch::StartsWith("Resize 'y': would take ") &&
                 Catch::EndsWith(cat("the limit is ", 8 * mebi)));
  // Those of all nodes together: each alone would fit.
  std::vector<node> nodes;
  for (int i = 0; i < 4; ++i) nodes.push_back(make_node("Tile", {"x", "times"}, cat("t", i)));
  nodes.push_back(make_node("Sum", {"t0", "t1", "t2", "t3"}, "y"));
  model several = with_nodes({16}, nodes);
  several.set_weight(
      "times", graph_ops::int64_list({1 << 15}));  // at most 8 MiB of tables, in the end half a MiB
  CHECK_THAT(failure(several, 9 * mebi + mebi / 4, {tensor<fp32>({16})}),
             Catch::StartsWith("Tile 't3': would take "));
  CHECK(failure(several, 32 * mebi, {tensor<fp32>({16})}) == "no error");
}

TEST_CASE("transforms take tables and a workspace", "[graph][limit]") {
  model m = with_nodes({1, 1000, 1}, {make_node("DFT", {"x"}, "y")});
  m.opsets[""] = 17;
  const session_memory memory = memory_of(m);
  CHECK(memory.packed_weights == (1000 + 1024 + 2048) * 16);
  CHECK(memory.arena >= (1000 + 2048) * 16);
  model longer = with_nodes({1, 4, 1}, {make_node("DFT", {"x", "length"}, "y")});
  longer.opsets[""] = 17;
  longer.set_weight("length", tensor<int64>({}, {1 << 23}));
  CHECK_THAT(failure(longer, 16 * mebi, {tensor<fp32>({1, 4, 1})}),
             Catch::StartsWith("DFT 'y': would take 67108864 bytes"));
}

TEST_CASE("recurrent layers compute in the arena", "[graph][limit]") {
  model m = with_nodes(
      {10, 4, 3}, {make_node("LSTM", {"x", "w", "r"}, "y", {{"hidden_size", std::int64_t{8}}})});
  m.set_weight("w", random_tensor({1, 32, 3}, 1));
  m.set_weight("r", random_tensor({1, 32, 8}, 2));
  const std::size_t gates = 10 * 4 * 32 * 4, y = 10 * 4 * 8 * 4;
  CHECK(memory_of(m).arena >= gates + y);
  CHECK_THAT(failure(m, gates, {tensor<fp32>({10, 4, 3})}), Catch::StartsWith("LSTM 'y': "));

  // Weights that only the run tells are packed then, with the same result.
  const tensor<fp32> x = random_tensor({10, 4, 3}, 3);
  const tensor<fp32> want = session(m).run(x);
  model given = m;
  given.weights.clear();
  for (const char* name : {"w", "r"}) given.inputs.push_back(any_value(name));
  const std::vector<any_tensor> inputs{x, *m.weights.at("w"), *m.weights.at("r")};
  const session s(given, {.shapes = {x.shape(), inputs[1].shape(), inputs[2].shape()}});
  const tensor<fp32> got = s.run(inputs).at(0).as<fp32>();
  REQUIRE(got.shape() == want.shape());
  CHECK(std::equal(got.span().begin(), got.span().end(), want.span().begin()));
}

TEST_CASE("bodies inherit the limit, what they stack counts", "[graph][limit]") {
  // A Loop whose body makes 4 MiB from a few bytes, carried or stacked.
  const auto loop = [](std::int64_t trips) {
    model inside = body({any_value("i", dtype::int64), any_value("go", dtype::boolean)},
                        {any_value("go", dtype::boolean), any_value("part")},
                        {make_node("Expand", {"x", "to"}, "part")});
    inside.set_weight("to", graph_ops::int64_list({1 << 20}));
    model m = with_nodes({1}, {with_bodies(make_node("Loop", {"trips", ""}, "y"),
                                           {body_of{"body", inside, {"x"}}})});
    m.set_weight("trips", tensor<int64>({}, {trips}));
    return m;
  };
  const std::vector<any_tensor> x{tensor<fp32>({1})};
  CHECK(failure(loop(2), 64 * mebi, x) == "no error");
  CHECK_THAT(failure(loop(1), 2 * mebi, x),
             Catch::Contains("Expand 'part': would take 4194304 bytes, the limit is 2097152"));
  CHECK(failure(loop(1000), 64 * mebi, x) ==
        cat("Loop 'y': would take ", 72 * mebi, " bytes, the limit is ", 64 * mebi));
}

TEST_CASE("a Loop that would run for years is refused before it starts", "[graph][limit]") {
  for (const bool identity : {false, true}) {
    model inside =
        body({any_value("i", dtype::int64), any_value("go", dtype::boolean), any_value("v")},
             {any_value(identity ? "on" : "go", dtype::boolean), any_value("w")},
             {make_node("Neg", {"v"}, "w"), make_node("Identity", {"go"}, "on")});
    model m = with_nodes(
        {1}, {with_bodies(make_node("Loop", {"trips", "", "x"}, "y"), {body_of{"body", inside}})});
    m.set_weight("trips", tensor<int64>({}, {std::numeric_limits<std::int64_t>::max()}));
    CHECK(failure(m, mebi, {tensor<fp32>({1})}) == "Loop 'y': more than 16777216 iterations");
    m.set_weight("trips", tensor<int64>({}, {3}));
    CHECK(failure(m, mebi, {tensor<fp32>({1})}) == "no error");
  }
}

TEST_CASE("what a Loop carries may not grow without bound", "[graph][limit]") {
  const model inside =
      body({any_value("i", dtype::int64), any_value("go", dtype::boolean), any_value("v")},
           {any_value("on", dtype::boolean), any_value("twice")},
           {make_node("Concat", {"v", "v"}, "twice", {{"axis", std::int64_t{0}}}),
            make_node("And", {"go", "go"}, "on")});
  model m = with_nodes(
      {1024}, {with_bodies(make_node("Loop", {"trips", "", "x"}, "y"), {body_of{"body", inside}})});
  m.set_weight("trips", tensor<int64>({}, {std::numeric_limits<std::int64_t>::max()}));
  CHECK_THAT(failure(m, 16 * mebi, {tensor<fp32>({1024})}), Catch::Contains("the limit is "));
}

TEST_CASE("values of late steps add up", "[graph][limit]") {
  std::vector<node> nodes;
  std::string from = "x";
  for (int i = 0; i < 8; ++i) {
    nodes.push_back(make_node("Expand", {"x", "to"}, cat("e", i)));
    if (i != 0)
      nodes.push_back(make_node("Add", {cat(i == 1 ? "e" : "s", i - 1), cat("e", i)},
                                i == 7 ? "y" : cat("s", i)));
  }
  model m = with_nodes({1}, nodes);
  m.inputs.push_back(any_value("to", dtype::int64));
  const std::vector<any_tensor> inputs{tensor<fp32>({1}), graph_ops::int64_list({1 << 18})};
  const auto run = [&](std::size_t limit) {
    try {
      (void)session(m, {.optimize = false, .shapes = {{1}, {1}}, .memory_limit = limit})
          .run(inputs);
    } catch (const error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  CHECK(run(15 * mebi) == "no error");
  CHECK_THAT(run(14 * mebi), Catch::StartsWith("Add 'y': would take 1048576 bytes"));
}

TEST_CASE("constant folding has a budget of work", "[graph][limit]") {
  fold_budget budget(with_nodes({1}, {}));
  bound_node b{.outputs = {{dtype::fp32, {1}}}, .run = {}};
  b.flops = 9e8;
  CHECK(budget.take(b));
  CHECK(budget.take(b));
  CHECK_FALSE(budget.take(b));
  b.flops = 0;
  b.workspace_bytes = 64 * mebi;
  CHECK_FALSE(budget.take(b));
  b.workspace_bytes = 0;
  CHECK(budget.take(b));
}

TEST_CASE("rows without elements take no time", "[graph][limit]") {
  constexpr std::int64_t many = std::int64_t{1} << 40;
  model m = with_nodes(
      {1}, {make_node("ConstantOfShape", {"dims"}, "rows"), make_node("ReduceSum", {"rows"}, "y")});
  m.set_weight("dims", graph_ops::int64_list({many, 0}));
  CHECK_THROWS_WITH(session(m), Catch::Contains("has no elements, but many rows"));
  model scan = with_nodes(
      {0}, {with_bodies(make_node("Scan", {"x"}, "y", {{"num_scan_inputs", std::int64_t{1}}}),
                        {body_of{"body", body({any_value("in")}, {any_value("in")}, {})}})});
  scan.inputs[0].dims = {};
  const session s(scan, {.shapes = {{1 << 25, 0}}});
  const std::vector<any_tensor> x{tensor<fp32>({1 << 25, 0})};
  CHECK_THROWS_WITH(s.run(x), "Scan 'y': more than 16777216 iterations");
}
