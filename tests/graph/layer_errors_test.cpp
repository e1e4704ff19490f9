#include <algorithm>
#include <qtk/graph/layer_errors.hpp>
#include <qtk/graph/passes/mixed.hpp>

#include "models.hpp"
#include "support/catch.hpp"

using namespace qtk;
using qtk_test::random_tensor;
using qtk_test::residual_model;

namespace {

std::vector<any_tensor> batches() {
  std::vector<any_tensor> out;
  for (std::uint32_t seed = 0; seed < 3; ++seed)
    out.emplace_back(random_tensor({4, 3, 8, 8}, 100 + seed));
  return out;
}

std::vector<layer_error> errors(const model& real, const model& small) {
  layer_error_meter meter(real, small);
  for (const any_tensor& x : batches()) meter.add({&x, 1});
  return meter.result();
}

/// The value that each layer makes, in order.
std::vector<std::string> layer_outputs(const model& m) {
  std::vector<std::string> out;
  for (const node& n : optimize(m).nodes)
    if (passes::is_layer(n)) out.push_back(n.outputs[0]);
  return out;
}

}  // namespace

TEST_CASE("errors by layer: none between a model and itself") {
  const auto all = errors(residual_model(), residual_model());
  REQUIRE(all.size() == 4);
  for (const layer_error& e : all) {
    CHECK(e.accumulated.max_abs == 0.0);
    CHECK(e.alone.max_abs == 0.0);
    CHECK(e.alone.cosine == Approx(1.0));
  }
}

TEST_CASE("errors by layer: what is quantized before counts in one and not in the other") {
  const model m = residual_model();
  const auto names = layer_outputs(m);
  // The first layer alone is in int4: later ones pass its error on and add none.
  const auto all = errors(m, quantize_mixed(m, {{names[0], layer_format::int4_dynamic}}));
  CHECK(all[0].accumulated.sqnr_db == Approx(all[0].alone.sqnr_db));
  CHECK(all[0].alone.sqnr_db < 40.0);
  for (std::size_t i = 1; i < all.size(); ++i) {
    CHECK(all[i].alone.max_abs == 0.0);
    CHECK(all[i].accumulated.sqnr_db < 40.0);
  }
}

TEST_CASE("errors by layer: those of the outputs are what two sessions differ by") {
  const model m = residual_model(), small = quantize_dynamic<int8>(m);
  const session a(m), b(small);
  error_sums sums;
  for (const any_tensor& x : batches())
    sums.add(a.run(x.as<fp32>()).view(), b.run(x.as<fp32>()).view());
  CHECK(errors(m, small).back().accumulated.sqnr_db == Approx(sums.result().sqnr_db));
}

TEST_CASE("errors by layer: a channel of huge inputs makes its layer the worst") {
  model m = residual_model();
  // One input of fc1 is 1000 times the others: a scale for the row leaves those few codes.
  tensor<fp32> gamma = m.find_weight("b2.gamma")->as<fp32>();
  gamma.data()[3] *= 1000.0f;
  m.set_weight("b2.gamma", gamma);
  const auto all = errors(m, quantize_dynamic<int8>(m));
  const auto worst = std::min_element(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.alone.sqnr_db < b.alone.sqnr_db;
  });
  for (const layer_error& e : all)
    UNSCOPED_INFO(e.layer << " " << e.accumulated.sqnr_db << " " << e.alone.sqnr_db);
  CHECK(worst->output == layer_outputs(m)[2]);
  CHECK(worst_first(all).front().accumulated.sqnr_db <= worst->accumulated.sqnr_db);
}

TEST_CASE("errors by layer: models that do not belong together") {
  model other = residual_model(), none = qtk_test::with_nodes({2}, {});
  none.nodes.push_back(qtk_test::make_node("Relu", {"x"}, "y"));
  CHECK_THROWS_WITH(layer_error_meter(none, none), Catch::Contains("has no layers"));
  CHECK_THROWS_WITH(layer_error_meter(other, none), Catch::Contains("not two forms of one model"));
}

TEST_CASE("mixed formats: each layer is stored as asked") {
  const model m = residual_model();
  const auto names = layer_outputs(m);
  const model mixed = quantize_mixed(m, {{names[0], layer_format::fp16},
                                         {names[1], layer_format::int8_dynamic},
                                         {names[2], layer_format::int4_dynamic}});
  const auto stored = [&](std::size_t i) {
    for (const node& n : mixed.nodes)
      if (n.outputs[0] == names[i])
        return std::pair(mixed.find_weight(n.inputs[1])->dtype(), n.text("compute", "fp32"));
    return std::pair(dtype::fp32, std::string("absent"));
  };
  CHECK(stored(0) == std::pair(dtype::fp16, std::string("fp32")));
  CHECK(stored(1) == std::pair(dtype::int8, std::string("int8")));
  CHECK(stored(2) == std::pair(dtype::int4, std::string("int8")));
  CHECK(stored(3) == std::pair(dtype::fp32, std::string("fp32")));
}
