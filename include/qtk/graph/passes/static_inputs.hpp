#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

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

/// QuantizeLinear and DequantizeLinear with the same parameters in front of a layer with int8
/// weights: the layer quantizes its input by itself and multiplies codes. The integers are those
/// that the two nodes say; the scales multiply the sum instead of each product.
inline model fuse_static_inputs(model m) {
  const value_uses uses(m);
  for (node& layer : m.nodes) {
    if (!is_layer(layer) || layer.attributes.contains("x_scale")) continue;
    const any_tensor* w = m.find_weight(layer.inputs[1]);
    const auto real = uses.maker(layer.inputs[0]);
    if (w == nullptr || !multiplies_codes(*w) || !real) continue;
    const node& dequantize = m.nodes[*real];
    if (!dequantize.is("DequantizeLinear")) continue;
    const auto codes = uses.maker(dequantize.inputs[0]);
    if (!codes || !m.nodes[*codes].is("QuantizeLinear")) continue;
    const node& quantize = m.nodes[*codes];
    const auto from = activation_codes(m, quantize), to = activation_codes(m, dequantize);
    if (!from || !to || *from != *to || quantize.has_input(2) != dequantize.has_input(2)) continue;
    layer.inputs[0] = quantize.inputs[0];
    layer.attributes.insert_or_assign("compute", std::string("int8"));
    layer.attributes.insert_or_assign("x_scale", from->scale);
    layer.attributes.insert_or_assign("x_zero_point", std::int64_t{from->zero_point});
  }
  return m;
}

}  // namespace qtk::inline QTK_ABI::passes
