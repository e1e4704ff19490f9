#include <qtk/graph/passes/calibrated.hpp>
#include <qtk/io/onnx_export.hpp>

#include "../ops/naive.hpp"
#include "models.hpp"
#include "support/catch.hpp"

using namespace qtk;
using qtk_test::count;
using qtk_test::distance;
using qtk_test::ints;
using qtk_test::make_node;
using qtk_test::random_tensor;
using qtk_test::residual_model;
using qtk_test::with_nodes;

namespace {

void observe(calibrator& seen, const tensor<fp32>& x) {
  const any_tensor batch(x);
  seen.observe(std::span(&batch, 1));
}

/// Sum of squares of the difference of what two models answer.
double loss_between(const model& a, const model& b, const tensor<fp32>& x) {
  const tensor<fp32> p = session(a).run(x), q = session(b).run(x);
  double sum = 0.0;
  for (std::size_t i = 0; i < p.elements(); ++i) {
    const double d = static_cast<double>(p.data()[i]) - static_cast<double>(q.data()[i]);
    sum += d * d;
  }
  return sum;
}

/// As ONNX says it, node by node, without any pass.
tensor<fp32> unfused(const model& m, const tensor<fp32>& x) {
  return session(onnx::to_standard(m), {.optimize = false}).run(x);
}

/// One layer, its input quantized statically.
model one_layer(node n, const tensor<fp32>& w, const tensor<fp32>& x, const static_options& o) {
  n.inputs = {"x", "w", "b"};
  model m = with_nodes({}, {std::move(n)});
  for (const std::size_t d : x.shape()) m.inputs[0].dims.push_back({d, ""});
  m.set_weight("w", w);
  m.set_weight("b", random_tensor({m.nodes[0].is("Conv") ? w.shape()[0] : w.shape()[1]}, 9));
  if (m.nodes[0].is("MatMul")) {
    m.nodes[0].inputs.pop_back();
    m.weights.erase("b");
  }
  calibrator seen(m);
  observe(seen, x);
  return quantize_static<int8>(m, seen, o);
}

}  // namespace

TEST_CASE("a layer of fixed scales computes what QuantizeLinear and DequantizeLinear say",
          "[graph]") {
  const auto conv = [](std::int64_t group) {
    return make_node("Conv", {}, "y",
                     {{"pads", ints({1, 1, 1, 1})}, {"strides", ints({2, 1})}, {"group", group}});
  };
  const auto image = random_tensor({2, 8, 9, 9}, 1, -1.0f, 3.0f);
  struct {
    const char* name;
    node n;
    tensor<fp32> w, x;
  } cases[] = {
      {"conv", conv(1), random_tensor({6, 8, 3, 3}, 2), image},
      {"groups", conv(2), random_tensor({6, 4, 3, 3}, 2), image},
      {"depthwise", conv(8), random_tensor({8, 1, 3, 3}, 2), image},
      {"matmul", make_node("MatMul", {}, "y"), random_tensor({70, 5}, 3),
       random_tensor({2, 3, 70}, 4, -2.0f, 1.0f)},
      {"gemm", make_node("Gemm", {}, "y"), random_tensor({70, 5}, 3),
       random_tensor({4, 70}, 4, 0.5f, 1.0f)},
  };
  for (const auto& c : cases)
    for (const symmetry how : {symmetry::asymmetric, symmetry::symmetric})
      for (const granularity& g : {per_channel(0), per_tensor()}) {
        INFO(c.name);
        const model q = one_layer(c.n, c.w, c.x, {.activations = how, .weights = g});
        // Beyond what was observed, too: codes saturate.
        tensor<fp32> x = c.x;
        for (float& v : x.span()) v *= 1.5f;
        const tensor<fp32> fused = session(q).run(x);
        CHECK(distance(fused, unfused(q, x)) < 2e-5);
        // The file read back is the same layer, bit by bit.
        const model again = optimize(onnx::to_standard(q));
        CHECK(count(again, "QuantizeLinear") == 0);
        CHECK(distance(session(again).run(x), fused) == 0.0);
      }
}

TEST_CASE("codes of int8 are fused, other parameters are not", "[graph]") {
  const auto x = random_tensor({4, 70}, 4);
  const model q =
      onnx::to_standard(one_layer(make_node("Gemm", {}, "y"), random_tensor({70, 5}, 3), x, {}));
  std::string zero, scale;
  for (const node& n : q.nodes)
    if (n.is("QuantizeLinear")) scale = n.inputs[1], zero = n.inputs[2];
  model as_signed = q;
  as_signed.set_weight(zero, tensor<int8>({}, {std::int8_t{-3}}));
  const model fused = optimize(as_signed);
  CHECK(count(fused, "QuantizeLinear") == 0);
  CHECK(distance(session(fused).run(x), session(as_signed, {.optimize = false}).run(x)) < 2e-5);

  model wide = q;
  wide.set_weight(zero, tensor<uint16>({}, {std::uint16_t{300}}));
  CHECK(count(optimize(wide), "QuantizeLinear") == 1);
  model differ = q;
  differ.set_weight("other", tensor<fp32>({}, {0.25f}));
  for (node& n : differ.nodes)
    if (n.is("DequantizeLinear") && n.inputs[1] == scale) n.inputs[1] = "other";
  CHECK(count(optimize(differ), "QuantizeLinear") == 1);
}

TEST_CASE("a model quantized statically", "[graph]") {
  const model m = residual_model();
  const auto x = random_tensor({64, 3, 8, 8}, 1);
  for (const calibration how : calibrations) {
    CAPTURE(name(how));
    calibrator seen(m, {.activations = any_observer(how, codes_of<uint8>, symmetry::asymmetric)});
    observe(seen, x);
    const model q = quantize_static<int8>(m, seen);
    const double noise = loss_between(m, q, x);
    double signal = 0.0;
    const tensor<fp32> y = session(m).run(x);
    for (const float v : y.span()) signal += static_cast<double>(v) * static_cast<double>(v);
    CHECK(10.0 * std::log10(signal / noise) > 25.0);
    CHECK(q.metadata.at("qtk.calibration") == name(how));
    CHECK(q.metadata.at("qtk.calibration.samples") == "64");
    CHECK(q.metadata.at("qtk.calibration.data").size() == 8 + 16);
    CHECK(session(q).graph().metadata == q.metadata);
    // One QuantizeLinear a layer: each reads another value.
    const model standard = onnx::to_standard(q);
    CHECK(count(standard, "QuantizeLinear") == 4);
    CHECK(!standard.metadata.contains("qtk.activations"));
    CHECK(distance(session(standard).run(x), session(q).run(x)) == 0.0);
  }
  calibrator none(m);
  CHECK_THROWS_WITH(quantize_static<int8>(m, none), Catch::Contains("was not calibrated"));
}

TEST_CASE("rewrites before quantization keep what the model computes", "[graph]") {
  model m = residual_model();
  const auto x = random_tensor({8, 3, 8, 8}, 1);
  const tensor<fp32> y = session(m).run(x);
  calibrator seen(m, {.hessians = true});
  observe(seen, x);
  const model smooth = smooth_inputs(m, seen);
  CHECK(count(smooth, "Mul") == 4);
  CHECK(count(optimize(smooth), "Mul") == 3);  // that of the last goes into the layer before it
  CHECK(distance(session(smooth).run(x), y) < 1e-4);
  const model awq = scale_for_awq<int4>(m, seen, per_channel(0));
  CHECK(distance(session(awq).run(x), y) < 1e-4);

  // Two layers of very uneven channels: one scale for all serves them after equalization.
  const std::int64_t turned = 1;
  model pair = with_nodes({4, 16}, {make_node("Gemm", {"x", "w1", "b1"}, "h", {{"transB", turned}}),
                                    make_node("Relu", {"h"}, "r"),
                                    make_node("Gemm", {"r", "w2"}, "y", {{"transB", turned}})});
  auto w1 = random_tensor({24, 16}, 1), w2 = random_tensor({5, 24}, 2);
  for (std::size_t n = 0; n < 24; ++n)
    for (std::size_t k = 0; k < 16; ++k)
      w1.view().row(n)[k] *= std::exp2(static_cast<float>(n) / 3.0f);
  for (std::size_t n = 0; n < 5; ++n)
    for (std::size_t k = 0; k < 24; ++k)
      w2.view().row(n)[k] *= std::exp2(static_cast<float>(k) / -3.0f);
  pair.set_weight("w1", std::move(w1));
  pair.set_weight("w2", std::move(w2));
  pair.set_weight("b1", random_tensor({24}, 3));
  const auto rows = random_tensor({4, 16}, 5);
  const model even = equalize_layers(pair);
  CHECK(loss_between(pair, even, rows) < 1e-6);
  const auto by_tensor = [&](const model& from) {
    calibrator ranges(from);
    observe(ranges, rows);
    return loss_between(pair, quantize_static<int8>(from, ranges, {.weights = per_tensor()}), rows);
  };
  CHECK(by_tensor(even) < 0.3 * by_tensor(pair));
}

TEST_CASE("algorithms for weights in a graph beat rounding to the nearest", "[graph]") {
  // Inputs of unequal size that depend on each other, as in a trained network.
  const auto mix = random_tensor({32, 32}, 7);
  auto x = random_tensor({256, 32}, 8);
  const auto noise = x;
  for (std::size_t r = 0; r < 256; ++r)
    for (std::size_t k = 0; k < 32; ++k) {
      float sum = 0.0f;
      for (std::size_t j = 0; j < 6; ++j) sum += noise.view().row(r)[j] * mix.view().row(k)[j];
      x.view().row(r)[k] =
          (sum + 0.1f * noise.view().row(r)[k]) * std::exp2(static_cast<float>(k % 7) - 3.0f);
    }
  model m = with_nodes({256, 32}, {make_node("MatMul", {"x", "w"}, "y")});
  m.set_weight("w", random_tensor({32, 48}, 9));
  calibrator seen(m, {.hessians = true});
  observe(seen, x);
  const auto loss = [&](weight_algorithm a, int bits, const granularity& g) {
    const model q = quantize_weights<int4>(
        m, {.algorithm = a, .weights = g, .bits = bits, .bias_correction = false}, &seen);
    CHECK(q.metadata.at("qtk.algorithm") == name(a));
    return loss_between(m, q, x);
  };
  for (const int bits : {4, 3})
    for (const granularity& g : {per_channel(0), per_group(16)}) {
      const double rtn = loss(weight_algorithm::rtn, bits, g);
      CHECK(loss(weight_algorithm::clip, bits, g) < rtn);
      CHECK(loss(weight_algorithm::gptq, bits, g) < 0.5 * rtn);
      CHECK(loss(weight_algorithm::awq, bits, g) < rtn);
      CHECK(loss(weight_algorithm::smoothquant, bits, g) < 4.0 * rtn);
      CHECK(loss(weight_algorithm::hqq, bits, g) < 2.0 * rtn);
    }
  CHECK_THROWS_WITH(quantize_weights(m, weight_options<int4>{.algorithm = weight_algorithm::gptq}),
                    Catch::Contains("needs data"));
}

TEST_CASE("MatMulNBits holds the same weights as DequantizeLinear", "[graph]") {
  model m = with_nodes({3, 70}, {make_node("MatMul", {"x", "w"}, "h"),
                                 make_node("Add", {"h", "b"}, "r"), make_node("Relu", {"r"}, "y")});
  m.set_weight("w", random_tensor({70, 5}, 3));
  m.set_weight("b", random_tensor({5}, 4));
  const auto x = random_tensor({3, 70}, 5);
  for (const symmetry how : {symmetry::symmetric, symmetry::asymmetric}) {
    const model q = quantize_weights(m, weight_options<int4>{.how = how});
    const model packed = passes::use_matmul_nbits(onnx::to_standard(q));
    REQUIRE(count(packed, "MatMulNBits", "com.microsoft") == 1);
    CHECK(count(packed, "DequantizeLinear") == 0);
    CHECK(packed.weights.size() == (how == symmetry::symmetric ? 3 : 4));
    const session back(packed);
    CHECK(count(back.graph(), "Linear", "qtk") == 1);
    CHECK(back.graph().nodes.size() == 1);
    CHECK(distance(back.run(x), session(q).run(x)) == 0.0);
    // Sizes that a file makes up are left to whoever runs the node.
    model wrong = packed;
    for (node& n : wrong.nodes)
      if (n.op == "MatMulNBits") n.attributes.insert_or_assign("K", std::int64_t{1} << 30);
    CHECK(count(optimize(wrong), "MatMulNBits", "com.microsoft") == 1);
  }
}

TEST_CASE("bias correction takes back the shift of the mean", "[graph]") {
  const model m = with_nodes({64, 40}, {make_node("MatMul", {"x", "w"}, "y")});
  model with = m;
  with.set_weight("w", random_tensor({40, 6}, 3));
  const auto x = random_tensor({64, 40}, 4, 0.0f, 2.0f);
  calibrator seen(with);
  observe(seen, x);
  const auto quantized = [&](bool correct) {
    return quantize_weights<int4>(with, {.bits = 3, .bias_correction = correct}, &seen);
  };
  CHECK(loss_between(with, quantized(true), x) < 0.7 * loss_between(with, quantized(false), x));
}
