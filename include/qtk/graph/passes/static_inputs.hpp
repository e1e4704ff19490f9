#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "qtk/graph/passes/fuse.hpp"
#include "qtk/quantize/scheme.hpp"

namespace qtk::inline QTK_ABI::passes {

/// Scale and zero point of a QuantizeLinear or DequantizeLinear of activations, one for the tensor
/// and known: in codes of uint8, which those of int8 are plus 128.
[[nodiscard]] inline std::optional<block_scale> activation_codes(const model& m, const node& n) {
  const tensor<fp32>* scale = floats(m, n, 1);
  const any_tensor* zero = n.has_input(2) ? m.find_weight(n.inputs[2]) : nullptr;
  const bool plain = scale != nullptr && scale->elements() == 1 &&
                     (zero != nullptr || !n.has_input(2)) && !n.attributes.contains("output_dtype");
  if (!plain || !std::isnormal(scale->data()[0]) || scale->data()[0] < 0.0f) return std::nullopt;
  block_scale b{scale->data()[0], 0};
  if (zero == nullptr) return b;
  if (zero->shape().elements() != 1) return std::nullopt;
  if (const auto* codes = zero->get_if<uint8>())
    b.zero_point = codes->data()[0];
  else if (const auto* signed_codes = zero->get_if<int8>())
    b.zero_point = signed_codes->data()[0] + 128;
  else
    return std::nullopt;
  return b;
}

/// Whether layers of fixed input codes run on these weights: int8, symmetric, one scale for each
/// row or for all, and sums that fit 32 bits.
[[nodiscard]] inline bool multiplies_codes(const any_tensor& w) {
  const auto* codes = w.get_if<int8>();
  if (codes == nullptr || codes->shape().rank() != 2 || codes->quantization().scales.empty())
    return false;
  const quantization& q = codes->quantization();
  return q.block[1] >= codes->shape()[1] && codes->shape()[1] <= 65793 &&
         std::all_of(q.zero_points.begin(), q.zero_points.end(), [](auto z) { return z == 0; });
}

/// A value behind QuantizeLinear and DequantizeLinear of the same parameters.
struct quantized_value {
  std::string source;
  block_scale codes;
};
[[nodiscard]] inline std::optional<quantized_value> behind_pair(const model& m,
                                                                const value_uses& uses,
                                                                const std::string& value) {
  const auto real = uses.maker(value);
  if (!real || !m.nodes[*real].is("DequantizeLinear")) return std::nullopt;
  const node& dequantize = m.nodes[*real];
  const auto codes = uses.maker(dequantize.inputs[0]);
  if (!codes || !m.nodes[*codes].is("QuantizeLinear")) return std::nullopt;
  const node& quantize = m.nodes[*codes];
  const auto from = activation_codes(m, quantize), to = activation_codes(m, dequantize);
  if (!from || !to || *from != *to || quantize.has_input(2) != dequantize.has_input(2))
    return std::nullopt;
  return quantized_value{quantize.inputs[0], *from};
}

/// How a layer quantizes its input ("x"), its residual ("r") or its output ("y"), where it does.
[[nodiscard]] inline std::optional<block_scale> fixed_codes(const node& layer,
                                                            const std::string& of) {
  if (!layer.attributes.contains(of + "_scale")) return std::nullopt;
  return block_scale{layer.number(of + "_scale", 0.0f),
                     static_cast<std::int32_t>(layer.integer(of + "_zero_point", 0))};
}
inline void set_codes(node& layer, const std::string& of, const block_scale& codes) {
  layer.attributes.insert_or_assign(of + "_scale", codes.scale);
  layer.attributes.insert_or_assign(of + "_zero_point", std::int64_t{codes.zero_point});
}

/// QuantizeLinear and DequantizeLinear with the same parameters in front of a layer with int8
/// weights: the layer quantizes its input by itself and multiplies codes, and quantizes its
/// residual. The integers are those that the two nodes say; the scales multiply the sum instead of
/// each product.
inline model fuse_static_inputs(model m) {
  const bool any = std::any_of(m.nodes.begin(), m.nodes.end(),
                               [](const node& n) { return n.is("QuantizeLinear"); });
  if (!any) return m;
  const value_uses uses(m);
  types_on_demand types(m);
  const auto real_pair = [&](const std::string& value) {
    auto found = behind_pair(m, uses, value);
    const value_type* t = found ? types.of(found->source) : nullptr;
    if (t != nullptr && t->type != dtype::fp32) found.reset();  // int32 and halves stay outside
    return found;
  };
  for (node& layer : m.nodes) {
    if (!is_layer(layer)) continue;
    const any_tensor* w = m.find_weight(layer.inputs[1]);
    if (w == nullptr || !multiplies_codes(*w)) continue;
    if (!layer.attributes.contains("x_scale")) {
      const auto x = real_pair(layer.inputs[0]);
      if (!x) continue;
      layer.inputs[0] = x->source;
      layer.attributes.insert_or_assign("compute", std::string("int8"));
      set_codes(layer, "x", x->codes);
    }
    if (!layer.has_input(3) || layer.attributes.contains("r_scale")) continue;
    if (const auto residual = real_pair(layer.inputs[3])) {
      layer.inputs[3] = residual->source;
      set_codes(layer, "r", residual->codes);
    }
  }
  return m;
}

}  // namespace qtk::inline QTK_ABI::passes
