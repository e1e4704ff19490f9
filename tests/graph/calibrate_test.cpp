#include <qtk/graph/calibrate.hpp>

#include "../ops/naive.hpp"
#include "models.hpp"
#include "support/catch.hpp"

using namespace qtk;
using qtk_test::distance;
using qtk_test::ints;
using qtk_test::make_node;
using qtk_test::random_tensor;
using qtk_test::residual_model;

namespace {

const node& layer(const model& m, const std::string& input) {
  for (const node& n : m.nodes)
    if (passes::is_layer(n) && n.inputs[0] == input) return n;
  throw std::runtime_error(input);
}

void observe(calibrator& seen, const tensor<fp32>& x) {
  const any_tensor batch(x);
  seen.observe(std::span(&batch, 1));
}

}  // namespace

TEST_CASE("a session gives the values between layers", "[graph]") {
  const std::string values[] = {"r1", "x", "flat"};
  const session s(with_outputs(optimize(residual_model()), values), {.optimize = false});
  const any_tensor x(random_tensor({2, 3, 8, 8}, 1));
  const auto out = s.run(std::span(&x, 1));
  REQUIRE(out.size() == 4);
  const session plain(residual_model());
  CHECK(distance(out[0].as<fp32>(), plain.run(x.as<fp32>())) == 0.0);
  CHECK(out[1].shape() == shape{2, 8, 8, 8});
  CHECK(distance(out[2].as<fp32>(), x.as<fp32>()) == 0.0);
  CHECK(out[3].shape() == shape{2, 32});
  const std::string unknown[] = {"nobody"};
  CHECK_THROWS_WITH(with_outputs(residual_model(), unknown), Catch::Contains("nobody"));
}

TEST_CASE("a calibrator sees what layers meet, however the data are cut", "[graph]") {
  const model m = optimize(residual_model());
  calibrator whole(m, {.hessians = true}), parts(m, {.hessians = true});
  const auto x = random_tensor({6, 3, 8, 8}, 1, -2.0f, 3.0f);
  observe(whole, x);
  for (std::size_t i = 0; i < 3; ++i) {
    tensor<fp32> part({2, 3, 8, 8});
    std::copy_n(x.data() + i * part.elements(), part.elements(), part.data());
    observe(parts, part);
  }
  CHECK(whole.samples() == 6);
  CHECK(parts.samples() == 6);
  CHECK(whole.data_hash() == parts.data_hash());
  for (const char* value : {"x", "r1", "flat"})
    CHECK(whole.range(layer(m, value)) == parts.range(layer(m, value)));
  const auto [lo, hi] = std::minmax_element(x.span().begin(), x.span().end());
  CHECK(whole.range(layer(m, "x")) == value_range{*lo, *hi});
  CHECK(whole.range(layer(m, "r1")).lo == 0.0f);  // behind Relu
  CHECK(whole.of(layer(m, "x")).mean.mean().elements() == 3);
  CHECK(whole.of(layer(m, "flat")).mean.mean().elements() == 32);
  // Convolutions see patches, linear layers rows; no more than was asked for.
  CHECK(whole.of(layer(m, "x")).rows->channels() == 27);
  CHECK(whole.of(layer(m, "x")).rows->samples() == 6 * 64);
  CHECK(whole.of(layer(m, "flat")).rows->samples() == 6);
  calibrator few(m, {.hessians = true, .rows = 10});
  observe(few, x);
  observe(few, x);
  CHECK(few.of(layer(m, "x")).rows->samples() == 20);
  CHECK(few.data_hash() != whole.data_hash());
}

TEST_CASE("rows of a layer times its weights are its outputs", "[graph]") {
  const std::size_t groups = GENERATE(std::size_t{1}, std::size_t{2});
  node n = make_node("Conv", {"x", "w"}, "y",
                     {{"kernel_shape", ints({3, 2})},
                      {"pads", ints({1, 0, 2, 1})},
                      {"strides", ints({2, 1})},
                      {"dilations", ints({1, 2})},
                      {"group", static_cast<std::int64_t>(groups)}});
  const auto x = random_tensor({2, 4, 7, 6}, 1), w = random_tensor({4, 4 / groups, 3, 2}, 2);
  const window_2d window{3, 2, 2, 1, 1, 2, 1, 0, 2, 1};
  const auto y = qtk_test::naive_conv(x, w, window, groups);
  const tensor<fp32> rows = layer_rows(n, x, 100000, 0);
  const std::size_t pixels = y.shape()[2] * y.shape()[3], O = 4 / groups, K = w.elements() / 4;
  REQUIRE(rows.shape() == shape{2 * groups * pixels, K});
  double worst = 0.0;
  for (std::size_t r = 0; r < rows.rows(); ++r)
    for (std::size_t o = 0; o < O; ++o) {
      const std::size_t image = r / (pixels * groups), group = r / pixels % groups;
      double sum = 0.0;
      for (std::size_t k = 0; k < K; ++k)
        sum += static_cast<double>(rows.view().row(r)[k]) *
               static_cast<double>(w.data()[(group * O + o) * K + k]);
      const std::size_t at = ((image * groups + group) * O + o) * pixels + r % pixels;
      worst = std::max(worst, std::abs(sum - static_cast<double>(y.data()[at])));
    }
  CHECK(worst < 1e-5);
}

TEST_CASE("a calibrator names what is wrong", "[graph]") {
  const model m = optimize(residual_model());
  calibrator seen(m);
  CHECK_THROWS_WITH(seen.of(layer(m, "x")), Catch::Contains("was not calibrated"));
  auto x = random_tensor({1, 3, 8, 8}, 1);
  x.data()[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(observe(seen, x), Catch::Contains("Conv"));
  calibrator none(m, {.take = [](const node& n) { return n.op == "Linear"; }});
  observe(none, random_tensor({1, 3, 8, 8}, 1));
  CHECK_THROWS_WITH(none.of(layer(m, "x")), Catch::Contains("was not calibrated"));
  CHECK(none.samples() == 1);
}
