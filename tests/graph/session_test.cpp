#include <qtk/core/thread_pool.hpp>
#include <thread>

#include "../ops/naive.hpp"
#include "models.hpp"
#include "support/catch.hpp"

using namespace qtk;
using qtk_test::distance;
using qtk_test::make_node;
using qtk_test::random_tensor;
using qtk_test::residual_model;

TEST_CASE("memory is known before the first run and is what the plan holds", "[graph]") {
  const session s(residual_model());
  const shape one[] = {{1, 3, 8, 8}}, four[] = {{4, 3, 8, 8}};
  const session_memory a = s.memory(one), b = s.memory(four);
  CHECK(a.packed_weights == b.packed_weights);
  CHECK(a.packed_weights >= (8 * 27 + 8 * 72 + 6 * 32 + 5 * 6) * sizeof(float));
  CHECK(b.arena > a.arena);
  CHECK(a.constants > 0);  // biases
  // Two values of (8, 8, 8) live at the same time around the shortcut; a third would be waste.
  CHECK(a.arena >= 2 * 8 * 64 * sizeof(float));
  CHECK(a.arena < 3 * 8 * 64 * sizeof(float) + a.packed_weights + 65536);
}

TEST_CASE("a session is shared by threads", "[graph]") {
  const session s(quantize_dynamic<int8>(residual_model()));
  const auto x = random_tensor({3, 3, 8, 8}, 1);
  const auto truth = s.run(x);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) wrong += distance(s.run(x), truth) != 0.0;
    });
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
}

TEST_CASE("an executor does not change the result", "[graph]") {
  const auto x = random_tensor({3, 3, 8, 8}, 1);
  for (const model& m : {residual_model(), quantize_dynamic<int8>(residual_model()),
                         quantize_dynamic<int4>(residual_model())}) {
    const auto truth = session(m).run(x);
    for (const std::size_t threads : {2u, 3u, 7u}) {
      thread_pool pool(threads);
      CHECK(distance(session(m, {.executor = pool}).run(x), truth) == 0.0);
    }
  }
}

TEST_CASE("the receipt accounts for the run: layers add up to it", "[graph]") {
  const session s(residual_model());
  const auto x = random_tensor({256, 3, 8, 8}, 1);  // long enough for scopes to weigh nothing
  static_cast<void>(s.run(x));
  profile::reset();
  profile::enable();
  for (int i = 0; i < 5; ++i) static_cast<void>(s.run(x));
  profile::enable(false);
  double whole = 0, layers = 0;
  for (const profile::event& e : profile::snapshot())
    (e.depth == 0 ? whole : layers) += static_cast<double>(e.end - e.begin);
  profile::reset();
  REQUIRE(whole > 0);
  CHECK(layers <= whole);
  CHECK(layers > 0.95 * whole);
}

TEST_CASE("wrong inputs are named", "[graph]") {
  const session s(residual_model());
  CHECK_THROWS_WITH(s.run(tensor<fp32>({1, 3, 8, 9})),
                    "input 'x': got [1, 3, 8, 9], the model takes fp32 [N, 3, 8, 8]");
  CHECK_THROWS_WITH(s.run(tensor<fp32>({3, 8, 8})),
                    "input 'x': got [3, 8, 8], the model takes fp32 [N, 3, 8, 8]");
  const any_tensor integers(tensor<int64>({1, 3, 8, 8}));
  CHECK_THROWS_WITH(s.run(std::span(&integers, 1)),
                    "input 'x': is int64, the model takes fp32 [N, 3, 8, 8]");
  CHECK_THROWS_AS(s.run(std::span<const any_tensor>{}), error);
}

TEST_CASE("an operator that is not supported is named with its node", "[graph]") {
  model m = residual_model();
  m.nodes.push_back(make_node("HologramConv", {"y"}, "z"));
  m.outputs[0].name = "z";
  CHECK_THROWS_WITH(session(m), "HologramConv 'z': operator HologramConv is not supported");
}

TEST_CASE("cycles, missing and repeated values are named", "[graph]") {
  model m;
  m.opsets[""] = 13;
  m.inputs = {{.name = "x", .type = dtype::fp32, .dims = {{1, ""}}}};
  m.outputs = {{.name = "b", .type = dtype::fp32, .dims = {}}};
  m.nodes = {make_node("Add", {"x", "b"}, "a"), make_node("Relu", {"a"}, "b")};
  CHECK_THROWS_WITH(sort_nodes(m), "Add 'a': is part of a cycle");
  m.nodes = {make_node("Relu", {"ghost"}, "b")};
  CHECK_THROWS_WITH(sort_nodes(m), "Relu 'b': input 'ghost' is made by no node");
  m.nodes = {make_node("Relu", {"x"}, "b"), make_node("Exp", {"x"}, "b")};
  CHECK_THROWS_WITH(sort_nodes(m), "Exp 'b': value 'b' is made twice");
}

TEST_CASE("an arena above the limit is refused", "[graph]") {
  CHECK_THROWS_WITH(session(residual_model(), {.batch = 4, .memory_limit = 1000}),
                    Catch::Contains("the limit is 1000"));
}

TEST_CASE("shapes follow the input through views and slices", "[graph]") {
  model m;
  m.opsets[""] = 13;
  m.inputs = {{.name = "x", .type = dtype::fp32, .dims = {{std::nullopt, "N"}, {2, ""}, {6, ""}}}};
  m.outputs = {{.name = "y", .type = dtype::fp32, .dims = {}}};
  const auto list = [&](const char* name, std::vector<std::int64_t> v) {
    m.set_weight(name, graph_ops::int64_list(v));
  };
  list("zero", {0});
  list("start", {-1});
  list("end", {-100});
  list("axis", {2});
  list("step", {-2});
  list("minus", {-1});
  m.nodes = {make_node("Slice", {"x", "start", "end", "axis", "step"}, "s"),
             make_node("Shape", {"s"}, "dims"),
             make_node("Gather", {"dims", "zero"}, "n"),
             make_node("Concat", {"n", "minus"}, "target", {{"axis", std::int64_t{0}}}),
             make_node("Reshape", {"s", "target"}, "flat"),
             make_node("Transpose", {"flat"}, "y", {{"perm", qtk_test::ints({1, 0})}})};
  const session s(m);
  tensor<fp32> x({2, 2, 6});
  for (std::size_t i = 0; i < 24; ++i) x.data()[i] = static_cast<float>(i);
  const auto y = s.run(x);
  REQUIRE(y.shape() == shape{6, 2});
  CHECK(y.at(0, 0) == 5);  // x[0, 0, 5]
  CHECK(y.at(1, 0) == 3);
  CHECK(y.at(3, 0) == 11);  // x[0, 1, 5]
  CHECK(y.at(5, 1) == 19);  // x[1, 1, 1]
}
