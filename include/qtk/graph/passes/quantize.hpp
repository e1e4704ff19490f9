#pragma once

#include <functional>
#include <map>
#include <string>

#include "qtk/graph/optimize.hpp"
#include "qtk/ops/packed_weights.hpp"
#include "qtk/quantize/quantize.hpp"

/// Storing the weights of layers in another format: a pass over the graph.
namespace qtk::inline QTK_ABI {

/// Which layers a pass takes; empty takes all.
using layer_filter = std::function<bool(const node&)>;

/// The granularity that a format is stored with unless asked otherwise: a scale per output channel
/// for 8 bits, per 32 weights for 4.
template <quantized_format F>
[[nodiscard]] granularity default_granularity() {
  return F::bits == 8 ? per_channel(0) : per_group(32);
}

namespace passes {

/// Replaces the fp32 weights of every layer that `take` accepts by make(weights, layer), once for
/// layers that share them (for the first), and calls change(layer) on each.
template <class Make, class Change>
model rewrite_weights(model m, const layer_filter& take, const Make& make, const Change& change) {
  m = optimize(std::move(m));
  value_names names(m);
  std::map<std::string, std::string> made;  // old name -> new name
  for (node& n : m.nodes) {
    if (!is_layer(n) || (take && !take(n))) continue;
    const any_tensor* w = m.find_weight(n.inputs[1]);
    if (w == nullptr || !w->is<fp32>()) continue;
    auto [at, first] = made.try_emplace(n.inputs[1]);
    if (first) {
      at->second = names.fresh(n.inputs[1] + ":stored");
      m.set_weight(at->second, in_node(n, [&] { return any_tensor(make(w->as<fp32>(), n)); }));
    }
    n.inputs[1] = at->second;
    change(n);
  }
  return remove_dead(std::move(m));
}
template <class Make>
model rewrite_weights(model m, const layer_filter& take, const Make& make) {
  return rewrite_weights(std::move(m), take, make, [](node&) {});
}

}  // namespace passes

/// Weights stored as F, products in fp32: smaller files and less memory traffic. F is fp16, bf16
/// (no granularity), int8, int4 or uint4. The model is optimized first. qtk::error names the layer
/// whose weights hold a NaN or an infinity.
template <weight_format F>
[[nodiscard]] model quantize_weights(model m, const granularity& g,
                                     const layer_filter& take = {}) requires quantized_format<F> {
  return passes::rewrite_weights(
      std::move(m), take, [&](const tensor<fp32>& w, const node&) { return quantize<F>(w, g); },
      [](node& n) { n.attributes.erase("compute"); });
}
template <quantized_format F>
[[nodiscard]] model quantize_weights(model m) {
  return quantize_weights<F>(std::move(m), default_granularity<F>());
}
template <float_format F>
[[nodiscard]] model quantize_weights(model m, const layer_filter& take = {}) {
  return passes::rewrite_weights(std::move(m), take,
                                 [](const tensor<fp32>& w, const node&) { return quantize<F>(w); });
}

/// Weights stored as F and activations quantized at run time, products in integers: the one-liner
///   auto small = qtk::quantize_dynamic<qtk::int8>(model);
/// int8: a scale per output channel, activations uint8 per row. int4: a scale per 32 weights,
/// activations int8 per row. The model is optimized first.
template <quantized_format F>
[[nodiscard]] model quantize_dynamic(model m, const granularity& g = default_granularity<F>(),
                                     const layer_filter& take = {}) {
  m = passes::rewrite_weights(
      std::move(m), take, [&](const tensor<fp32>& w, const node&) { return quantize<F>(w, g); },
      [](node& n) { n.attributes.insert_or_assign("compute", std::string("int8")); });
  m.metadata.insert_or_assign("qtk.activations", "int8");
  return m;
}

}  // namespace qtk::inline QTK_ABI
