#include <qtk/core/thread_pool.hpp>
#include <qtk/graph/passes/calibrated.hpp>
#include <random>

#include "../ops/naive.hpp"
#include "models.hpp"
#include "support/catch.hpp"

using namespace qtk;
using qtk_test::distance;
using qtk_test::ints;
using qtk_test::make_node;
using qtk_test::random_tensor;
using qtk_test::with_nodes;

namespace {

struct layer {
  std::size_t out, kernel, stride, pad, groups = 1;
  bool residual = false;  // adds the input of the layer before
};

/// Layers with bias and Relu, one after the other.
model chain(std::initializer_list<std::size_t> x, const std::vector<layer>& layers) {
  std::vector<node> nodes;
  std::vector<std::pair<std::string, tensor<fp32>>> weights;
  std::string in = "x", before = "x";
  std::size_t channels = x.begin()[1];
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const layer& l = layers[i];
    const std::string name = cat("l", i);
    const auto seed = static_cast<std::uint32_t>(3 * i);
    weights.emplace_back(
        name + ".w",
        random_tensor({l.out, channels / l.groups, l.kernel, l.kernel}, seed, -0.3f, 0.3f));
    weights.emplace_back(name + ".b", random_tensor({l.out}, seed + 1));
    const auto k = static_cast<std::int64_t>(l.kernel), s = static_cast<std::int64_t>(l.stride),
               p = static_cast<std::int64_t>(l.pad);
    nodes.push_back(make_node("Conv", {in, name + ".w", name + ".b"}, name,
                              {{"kernel_shape", ints({k, k})},
                               {"strides", ints({s, s})},
                               {"pads", ints({p, p, p, p})},
                               {"group", static_cast<std::int64_t>(l.groups)}}));
    std::string sum = name;
    if (l.residual) nodes.push_back(make_node("Add", {name, before}, sum = name + ".sum"));
    const std::string out = i + 1 == layers.size() ? "y" : name + ".relu";
    nodes.push_back(make_node("Relu", {sum}, out));
    before = std::exchange(in, out);
    channels = l.out;
  }
  model m = with_nodes(x, std::move(nodes));
  for (auto& [name, w] : weights) m.set_weight(name, std::move(w));
  return m;
}

const std::vector<layer> mobile = {{16, 3, 2, 1},     {16, 3, 1, 1, 16}, {32, 1, 1, 0},
                                   {32, 3, 2, 1, 32}, {40, 1, 1, 0},     {40, 3, 1, 1}};

/// Whether the kernels here have all ways that run in bands: else groups are fewer.
bool all_ways() { return find_conv(conv_op::f32, active_isa()).spread != nullptr; }

}  // namespace

TEST_CASE("threads take rows through several layers, to the bit", "[graph]") {
  struct {
    std::initializer_list<std::size_t> x;
    std::vector<layer> layers;
    std::size_t threads, groups;
  } const cases[] = {
      {{1, 3, 120, 131}, mobile, 2, 1},
      {{1, 3, 120, 131}, mobile, 3, 1},
      {{2, 3, 120, 131}, mobile, 4, 1},
      {{2, 3, 90, 75}, mobile, 3, 1},
      {{1, 16, 61, 50}, {{16, 3, 1, 1}, {16, 3, 1, 1, 1, true}, {24, 5, 2, 2}}, 2, 1},
      {{1, 16, 61, 50}, {{16, 3, 1, 1}, {16, 3, 1, 1, 1, true}, {24, 5, 2, 2}}, 7, 0},
      {{1, 8, 70, 64}, {{12, 3, 1, 0}, {12, 3, 2, 0, 12}, {16, 2, 1, 1}}, 2, 1},
      {{4, 3, 120, 131}, mobile, 4, 0},  // an image for each thread
  };
  for (const auto& c : cases) {
    const model m = chain(c.x, c.layers);
    const shape x_shape(c.x);
    const auto x = random_tensor(x_shape, 9);
    const session alone(m);
    CHECK(alone.plan(std::span(&x_shape, 1))->groups().empty());
    const auto truth = alone.run(x);
    thread_pool pool(c.threads);
    const session shared(m, {.executor = pool});
    CAPTURE(x_shape, c.threads);
    const auto plan = shared.plan(std::span(&x_shape, 1));
    if (all_ways()) CHECK(plan->groups().size() == c.groups);
    for (int i = 0; i < 3; ++i) CHECK(distance(shared.run(x), truth) == 0.0);
  }
}

TEST_CASE("any layers give the same, however many threads share their rows", "[graph]") {
  std::mt19937 random(11);
  const auto pick = [&](std::size_t lo, std::size_t hi) { return lo + random() % (hi - lo + 1); };
  std::size_t groups = 0;
  for (int repeat = 0; repeat < 30; ++repeat) {
    const std::size_t images = pick(1, 2), channels = 4 * pick(1, 6), height = pick(20, 90),
                      width = pick(5, 90);
    std::vector<layer> layers;
    std::size_t in = channels, extent = std::min(height, width);
    for (std::size_t i = pick(2, 6); i > 0 && extent > 8; --i) {
      layer l{.out = 4 * pick(1, 8), .kernel = pick(1, 5), .stride = pick(1, 4) / 3 + 1, .pad = 0};
      l.pad = pick(0, l.kernel - 1);
      if (pick(0, 2) == 0) l.out = l.groups = in;  // depthwise
      extent = (extent + 2 * l.pad - l.kernel) / l.stride + 1;
      layers.push_back(l);
      in = l.out;
    }
    const model real = chain({images, channels, height, width}, layers);
    const shape x_shape{images, channels, height, width};
    const auto x = random_tensor(x_shape, 9);
    const any_tensor batch(x);
    calibrator seen(real);
    seen.observe(std::span(&batch, 1));
    thread_pool pool(pick(2, 5));
    for (const model& m : {real, quantize_static<int8>(real, seen)}) {
      const session shared(m, {.executor = pool});
      groups += shared.plan(std::span(&x_shape, 1))->groups().size();
      CAPTURE(repeat, x_shape, pool.concurrency());
      CHECK(distance(shared.run(x), session(m).run(x)) == 0.0);
    }
  }
  if (all_ways()) CHECK(groups > 3);
}

TEST_CASE("what is read elsewhere stays outside of a group of layers", "[graph]") {
  model m = chain({1, 3, 120, 131}, mobile);
  m.outputs.push_back({.name = "l2.relu", .type = dtype::fp32, .dims = {}});
  const any_tensor x(random_tensor({1, 3, 120, 131}, 9));
  thread_pool pool(2);
  const session alone(m), shared(m, {.executor = pool});
  const shape x_shape = x.shape();
  const auto plan = shared.plan(std::span(&x_shape, 1));
  if (all_ways()) {
    REQUIRE(plan->groups().size() == 2);
    CHECK(plan->groups()[0].last + 1 == plan->groups()[1].first);
  }
  const auto a = alone.run(std::span(&x, 1)), b = shared.run(std::span(&x, 1));
  for (std::size_t i = 0; i < 2; ++i) CHECK(distance(a[i].as<fp32>(), b[i].as<fp32>()) == 0.0);
}
