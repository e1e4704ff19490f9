#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

#include "qtk/graph/passes/rewrite.hpp"
#include "qtk/graph/plan.hpp"

namespace qtk::inline QTK_ABI::passes {

/// The fp32 elements of a weight, or null where it isn't one or isn't fp32.
[[nodiscard]] inline const tensor<fp32>* floats(const model& m, const node& n, std::size_t input) {
  const any_tensor* w = n.has_input(input) ? m.find_weight(n.inputs[input]) : nullptr;
  return w != nullptr ? w->get_if<fp32>() : nullptr;
}

/// Types of a model's values as they were when this was made, inferred where somebody asks: most
/// models have nothing that a pass must ask about. At two bindings of the symbols, because what
/// holds at one may be chance.
class types_on_demand {
 public:
  static constexpr std::size_t bindings = 2;

  explicit types_on_demand(const model& m) : model_(m) {}
  types_on_demand(const types_on_demand&) = delete;
  types_on_demand& operator=(const types_on_demand&) = delete;

  /// Null where it has none.
  [[nodiscard]] const value_type* of(const std::string& value, std::size_t binding = 0) {
    std::optional<execution_plan>& types = types_[binding];
    if (!types) types.emplace(infer_types(model_, 2 + binding, binding == 0 ? 64 : 96));
    return types->type_of(value);
  }

 private:
  model model_;
  std::array<std::optional<execution_plan>, bindings> types_;  // refer to model_
};

/// Output channels of a layer: rows of its weights. 0 where its weights are none.
[[nodiscard]] inline std::size_t channels(const model& m, const node& layer) {
  const any_tensor* w = m.find_weight(layer.inputs[1]);
  return w != nullptr && w->shape().rank() > 0 ? w->shape()[0] : 0;
}

/// The only node that reads a layer's output, where nothing is fused behind the sum yet.
[[nodiscard]] inline node* follower(model& m, const value_uses& uses, const node& layer) {
  if (!is_layer(layer) || layer.attributes.contains("activation")) return nullptr;
  const auto reader = uses.only_reader(layer.outputs[0]);
  const bool makes = reader && !m.nodes[*reader].outputs.empty();
  return makes && !m.nodes[*reader].outputs[0].empty() ? &m.nodes[*reader] : nullptr;
}

/// Whether nobody wants more of the node than its first output.
[[nodiscard]] inline bool one_output(const node& n, const value_uses& uses) {
  return std::all_of(n.outputs.begin() + 1, n.outputs.end(), [&](const std::string& v) {
    return v.empty() || (uses.readers(v).empty() && !uses.is_output(v));
  });
}

/// Fuses a node behind a layer: the layer makes what the node made.
inline void take_over(node& layer, node& fused, std::vector<bool>& gone, const model& m) {
  layer.outputs[0] = fused.outputs[0];
  gone[static_cast<std::size_t>(&fused - m.nodes.data())] = true;
}

/// BatchNormalization behind a layer with fp32 weights, at inference:
///   y = gamma * (conv(x, w) + b - mean) / sqrt(var + eps) + beta
///     = conv(x, w * g) + (b - mean) * g + beta,   g = gamma / sqrt(var + eps), in double
inline model fuse_batch_norm(model m) {
  if (!has_any(m, {"BatchNormalization"})) return m;
  std::vector<bool> gone(m.nodes.size());
  const value_uses uses(m);
  value_names names(m);
  types_on_demand types(m);
  const auto is_matrix = [&](const std::string& v) {
    const value_type* t = types.of(v);
    return t != nullptr && t->dims.rank() == 2;
  };
  for (node& layer : m.nodes) {
    node* bn = layer.has_input(3) ? nullptr : follower(m, uses, layer);
    if (bn == nullptr || !bn->is("BatchNormalization") || bn->inputs.size() != 5) continue;
    if (bn->inputs[0] != layer.outputs[0] || bn->integer("training_mode", 0) != 0 ||
        !one_output(*bn, uses))
      continue;
    if (layer.op == "Linear" && !is_matrix(layer.outputs[0])) continue;  // axis 1 isn't the last
    const tensor<fp32>* w = floats(m, layer, 1);
    const tensor<fp32>* p[4] = {floats(m, *bn, 1), floats(m, *bn, 2), floats(m, *bn, 3),
                                floats(m, *bn, 4)};
    const tensor<fp32>* b = floats(m, layer, 2);
    if (w == nullptr || w->shape().rank() != 2) continue;
    const std::size_t N = w->shape()[0], K = w->shape()[1];
    const auto fits = [N](const tensor<fp32>* t) { return t != nullptr && t->elements() == N; };
    if (!std::all_of(p, p + 4, fits) || (layer.has_input(2) && !fits(b))) continue;
    tensor<fp32> weights(w->shape()), bias({N});
    const double epsilon = bn->number("epsilon", 1e-5f);
    for (std::size_t n = 0; n < N; ++n) {
      const double gamma = p[0]->data()[n], beta = p[1]->data()[n], mean = p[2]->data()[n];
      const double g = gamma / std::sqrt(p[3]->data()[n] + epsilon);
      for (std::size_t k = 0; k < K; ++k)
        weights.data()[n * K + k] = static_cast<float>(w->data()[n * K + k] * g);
      const double shift = b != nullptr ? b->data()[n] : 0.0;
      bias.data()[n] = static_cast<float>((shift - mean) * g + beta);
    }
    const std::string base = layer.outputs[0];
    const std::string w_name = names.fresh(base + ":weight"), b_name = names.fresh(base + ":bias");
    m.set_weight(w_name, std::move(weights));
    m.set_weight(b_name, std::move(bias));
    layer.inputs[1] = w_name;
    set_input(layer, 2, b_name);
    take_over(layer, *bn, gone, m);
  }
  erase_nodes(m, gone);
  return m;
}

/// Whether `s` adds one number to each channel of a layer's output and no dimension to its shape:
/// (O, 1, 1) or (1, O, 1, 1) behind a convolution, (N) behind a linear layer.
[[nodiscard]] inline bool per_channel_shape(const node& layer, const shape& s, std::size_t count) {
  if (s.elements() != count) return false;
  if (layer.op == "Linear") return s.rank() == 1;
  return (s.rank() == 3 || s.rank() == 4) && s[s.rank() - 3] == count;
}

/// Add of a constant per channel behind a layer becomes its bias.
inline model fuse_bias(model m) {
  std::vector<bool> gone(m.nodes.size());
  const value_uses uses(m);
  value_names names(m);
  for (node& layer : m.nodes) {
    node* add = layer.has_input(3) ? nullptr : follower(m, uses, layer);
    if (add == nullptr || !add->is("Add") || add->inputs.size() != 2) continue;
    const std::size_t other = add->inputs[0] == layer.outputs[0] ? 1 : 0;
    const tensor<fp32>* constant = floats(m, *add, other);
    const std::size_t N = channels(m, layer);
    if (constant == nullptr || !per_channel_shape(layer, constant->shape(), N)) continue;
    const tensor<fp32>* old = floats(m, layer, 2);
    if (layer.has_input(2) && (old == nullptr || old->elements() != N)) continue;
    tensor<fp32> bias({N});
    for (std::size_t n = 0; n < N; ++n)
      bias.data()[n] = constant->data()[n] + (old != nullptr ? old->data()[n] : 0.0f);
    const std::string name = names.fresh(layer.outputs[0] + ":bias");
    m.set_weight(name, std::move(bias));
    set_input(layer, 2, name);
    take_over(layer, *add, gone, m);
  }
  erase_nodes(m, gone);
  return m;
}

/// Mul by a constant, one for each channel or one for all, behind a layer goes into its weights and
/// bias: f(x) * g = f(x * g) for no activation, and for ReLU and leaky ReLU where g > 0.
inline model fuse_factor(model m) {
  std::vector<bool> gone(m.nodes.size());
  const value_uses uses(m);
  value_names names(m);
  for (node& layer : m.nodes) {
    if (!is_layer(layer) || layer.has_input(3)) continue;
    const auto reader = uses.only_reader(layer.outputs[0]);
    node* mul = reader ? &m.nodes[*reader] : nullptr;
    const tensor<fp32>* w = floats(m, layer, 1);
    if (mul == nullptr || !mul->is("Mul") || mul->inputs.size() != 2 || mul->outputs.empty() ||
        w == nullptr || w->shape().rank() != 2)
      continue;
    const tensor<fp32>* g = floats(m, *mul, mul->inputs[0] == layer.outputs[0] ? 1 : 0);
    const std::size_t N = w->shape()[0], K = w->shape()[1];
    const bool one = g != nullptr && g->elements() == 1 && g->shape().rank() <= 1;
    if (g == nullptr || (!one && !per_channel_shape(layer, g->shape(), N))) continue;
    const std::string act = layer.text("activation", "");
    const bool positive = std::all_of(g->span().begin(), g->span().end(), [](float v) {
      return v > 0 && v <= std::numeric_limits<float>::max();
    });
    if (!act.empty() && !(positive && (act == "relu" || act == "leaky_relu"))) continue;
    const tensor<fp32>* b = floats(m, layer, 2);
    if (layer.has_input(2) && (b == nullptr || b->elements() != N)) continue;
    const auto factor = [&](std::size_t n) { return g->data()[one ? 0 : n]; };
    tensor<fp32> weights(w->shape());
    for (std::size_t n = 0; n < N; ++n)
      for (std::size_t k = 0; k < K; ++k)
        weights.data()[n * K + k] = w->data()[n * K + k] * factor(n);
    if (b != nullptr) {
      tensor<fp32> bias({N});
      for (std::size_t n = 0; n < N; ++n) bias.data()[n] = b->data()[n] * factor(n);
      const std::string b_name = names.fresh(layer.outputs[0] + ":bias");
      m.set_weight(b_name, std::move(bias));
      layer.inputs[2] = b_name;
    }
    const std::string w_name = names.fresh(layer.outputs[0] + ":weight");
    m.set_weight(w_name, std::move(weights));
    layer.inputs[1] = w_name;
    take_over(layer, *mul, gone, m);
  }
  erase_nodes(m, gone);
  return m;
}

/// Add of another value of the same shape behind a layer becomes its residual: the sum happens
/// while the tile is in registers. Of two layers that meet in an Add, the later one takes it.
inline model fuse_residual(model m) {
  if (!has_any(m, {"Add"})) return m;
  std::vector<bool> gone(m.nodes.size());
  const value_uses uses(m);
  // Of the same shape at one binding of the symbols may be chance: [1, 3] is [N, 3] of one sample.
  types_on_demand types(m);
  const auto same_type = [&](const std::string& a, const std::string& b) {
    for (std::size_t i = 0; i < types.bindings; ++i) {
      const value_type *x = types.of(a, i), *y = types.of(b, i);
      if (x == nullptr || y == nullptr || *x != *y) return false;
    }
    return true;
  };
  for (std::size_t i = m.nodes.size(); i-- > 0;) {
    node& layer = m.nodes[i];
    node* add = layer.has_input(3) ? nullptr : follower(m, uses, layer);
    if (add == nullptr || !add->is("Add") || add->inputs.size() != 2 ||
        gone[static_cast<std::size_t>(add - m.nodes.data())])
      continue;
    const std::string other = add->inputs[add->inputs[0] == layer.outputs[0] ? 1 : 0];
    if (other == layer.outputs[0] || m.find_weight(other) != nullptr) continue;
    if (!same_type(layer.outputs[0], other)) continue;
    set_input(layer, 3, other);
    take_over(layer, *add, gone, m);
  }
  erase_nodes(m, gone);
  sort_nodes(m);  // the layer now waits for the residual
  return m;
}

/// Relu, LeakyRelu and Clip with constant bounds go into the layer before them.
inline model fuse_activation(model m) {
  std::vector<bool> gone(m.nodes.size());
  const value_uses uses(m);
  for (node& layer : m.nodes) {
    node* act = follower(m, uses, layer);
    if (act == nullptr || act->inputs[0] != layer.outputs[0]) continue;
    if (act->is("Relu")) {
      layer.attributes.emplace("activation", std::string("relu"));
    } else if (act->is("LeakyRelu")) {
      layer.attributes.emplace("activation", std::string("leaky_relu"));
      layer.attributes.insert_or_assign("alpha", act->number("alpha", 0.01f));
    } else if (act->is("Clip")) {
      constexpr float all = std::numeric_limits<float>::max();
      float bound[2] = {act->number("min", -all), act->number("max", all)};  // opset 6; 11: inputs
      bool known = true;
      for (std::size_t k = 0; k < 2; ++k)
        if (act->has_input(k + 1)) {
          const tensor<fp32>* t = floats(m, *act, k + 1);
          known = known && t != nullptr && t->elements() == 1;
          if (known) bound[k] = t->data()[0];
        }
      if (!known || bound[0] > bound[1]) continue;
      layer.attributes.emplace("activation", std::string("clip"));
      layer.attributes.insert_or_assign("lo", bound[0]);
      layer.attributes.insert_or_assign("hi", bound[1]);
    } else {
      continue;
    }
    take_over(layer, *act, gone, m);
  }
  erase_nodes(m, gone);
  return m;
}

}  // namespace qtk::inline QTK_ABI::passes
