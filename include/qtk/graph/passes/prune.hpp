#pragma once

#include <algorithm>
#include <map>

#include "qtk/graph/passes/quantize.hpp"
#include "qtk/prune/magnitude.hpp"
#include "qtk/prune/nm.hpp"
#include "qtk/prune/structured.hpp"

/// Pruning the layers of a model: passes over the graph on the masks of the prune room.
namespace qtk::inline QTK_ABI {

/// Whether each layer loses the same share of its weights, or all layers share one threshold.
enum class prune_scope : std::uint8_t { layer, global };

/// Zeros the weights of smallest magnitude of all layers at `sparsity` (0.5: half of them). Weights
/// stay dense: the model is smaller only once it is compressed, and not faster. The model is
/// optimized first.
[[nodiscard]] inline model prune_magnitude(model m, double sparsity,
                                           prune_scope scope = prune_scope::layer,
                                           const layer_filter& take = {}) {
  if (scope == prune_scope::layer)
    return passes::rewrite_weights(std::move(m), take, [&](const tensor<fp32>& w, const node&) {
      tensor<fp32> pruned = w;
      apply(pruned, magnitude_mask(w, sparsity));
      return pruned;
    });
  m = optimize(std::move(m));
  std::vector<tensor_view<const fp32>> all;
  std::map<const tensor<fp32>*, std::size_t> place;  // layers that share weights count once
  for (const node& n : m.nodes)
    if (passes::is_layer(n) && (!take || take(n)))
      if (const auto* w = passes::floats(m, n, 1); w != nullptr)
        if (place.try_emplace(w, all.size()).second) all.push_back(*w);
  const auto masks = global_magnitude_masks(all, sparsity);
  return passes::rewrite_weights(std::move(m), take, [&](const tensor<fp32>& w, const node&) {
    tensor<fp32> pruned = w;
    apply(pruned, masks[place.at(&w)]);
    return pruned;
  });
}

/// Keeps the n largest of each m consecutive weights along K in every layer: 2:4 is prune_nm(model,
/// 2, 4). The model is optimized first.
[[nodiscard]] inline model prune_nm(model model_, std::size_t n, std::size_t m,
                                    const layer_filter& take = {}) {
  return passes::rewrite_weights(std::move(model_), take, [&](const tensor<fp32>& w, const node&) {
    tensor<fp32> pruned = w;
    apply(pruned, nm_mask(w, n, m));
    return pruned;
  });
}

namespace passes {

/// The layer that alone reads the channels of `from`, through operators that treat each channel for
/// itself; null where channels are added to others, read twice or given out. Channels are axis 1 of
/// a convolution and the last of a linear layer: only Flatten leads from the one to the other.
[[nodiscard]] inline std::optional<std::size_t> channel_reader(const model& m,
                                                               const value_uses& uses,
                                                               std::size_t from) {
  static constexpr std::string_view each_element[] = {"Relu", "LeakyRelu", "Clip",    "Sigmoid",
                                                      "Tanh", "Dropout",   "Identity"};
  static constexpr std::string_view each_plane[] = {"MaxPool", "AveragePool", "GlobalAveragePool",
                                                    "GlobalMaxPool"};
  const auto among = [](const auto& table, const node& n) {
    return n.domain.empty() &&
           std::find(std::begin(table), std::end(table), n.op) != std::end(table);
  };
  std::string value = m.nodes[from].outputs[0];
  bool planes = m.nodes[from].op == "Conv";  // else channels are the last axis
  for (;;) {
    const auto reader = uses.only_reader(value);
    if (!reader) return std::nullopt;
    const node& n = m.nodes[*reader];
    if (n.inputs[0] != value || n.outputs.empty()) return std::nullopt;  // a residual or a bound
    if (is_layer(n))
      return (n.op == "Conv") == planes && n.integer("group", 1) == 1 ? reader : std::nullopt;
    if (planes && n.is("Flatten") && n.integer("axis", 1) == 1)
      planes = false;
    else if (!among(each_element, n) && !(planes && among(each_plane, n)))
      return std::nullopt;
    value = n.outputs[0];
  }
}

}  // namespace passes

/// Removes whole neurons and output channels: of each layer whose channels only one other layer
/// reads, the share `sparsity` with the smallest norm. Rows of its weights and its bias go, and so
/// do the columns of the reader: the model really is smaller and does less work. Layers behind
/// shortcuts keep their width. `removed`, where given, receives how many channels went. The model
/// is optimized first.
[[nodiscard]] inline model prune_channels(model m, double sparsity,
                                          slice_norm norm = slice_norm::l1,
                                          std::size_t* removed = nullptr) {
  m = optimize(std::move(m));
  const value_uses uses(m);
  passes::value_names names(m);
  std::size_t gone = 0;
  for (std::size_t i = 0; i < m.nodes.size(); ++i) {
    node& layer = m.nodes[i];
    if (!passes::is_layer(layer) || layer.has_input(3) || layer.integer("group", 1) != 1) continue;
    const auto reader = passes::channel_reader(m, uses, i);
    const tensor<fp32>* w = passes::floats(m, layer, 1);
    const tensor<fp32>* next = reader ? passes::floats(m, m.nodes[*reader], 1) : nullptr;
    const tensor<fp32>* bias = passes::floats(m, layer, 2);
    if (w == nullptr || next == nullptr || (layer.has_input(2) && bias == nullptr)) continue;
    const std::size_t channels = w->shape()[0], columns = next->shape()[1];
    if (columns % channels != 0) continue;  // not the layout that was thought of
    const auto keep = in_node(layer, [&] { return channels_to_keep(*w, sparsity, 0, norm); });
    if (keep.empty() || keep.size() == channels) continue;
    gone += channels - keep.size();
    const auto store = [&](node& n, std::size_t input, tensor<fp32> t) {
      std::string name = names.fresh(n.inputs[input] + ":kept");
      m.set_weight(name, std::move(t));
      n.inputs[input] = std::move(name);
    };
    auto rows = take(*w, 0, keep);
    // A column of the reader for each tap, or each pixel that was flattened, of a channel.
    auto reads = take(*next, 1, spread(keep, columns / channels));
    if (bias != nullptr) {
      tensor<fp32> flat = *bias;
      flat.reshape({channels});
      store(layer, 2, take(flat, 0, keep));
    }
    store(layer, 1, std::move(rows));
    store(m.nodes[*reader], 1, std::move(reads));
  }
  if (removed != nullptr) *removed = gone;
  return passes::remove_dead(std::move(m));
}

}  // namespace qtk::inline QTK_ABI
