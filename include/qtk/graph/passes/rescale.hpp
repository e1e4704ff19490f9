#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "qtk/graph/calibrate.hpp"
#include "qtk/quantize/awq.hpp"
#include "qtk/quantize/equalize.hpp"
#include "qtk/quantize/smoothquant.hpp"

/// Rewrites that move factors between activations and weights, so that one or both lose less when
/// they are quantized: the model computes what it did, up to roundings. Observe activations
/// afterwards.
namespace qtk::inline QTK_ABI {

namespace passes {

/// Weights of a layer in the shape that says which channel each belongs to: (N, K), or of a
/// convolution (O, I / group, kh, kw).
[[nodiscard]] inline shape filter_shape(const node& layer, const shape& matrix) {
  if (layer.op == "Linear") return matrix;
  const auto kernel = layer.integers("kernel_shape");
  const auto kh = static_cast<std::size_t>(kernel.at(0)),
             kw = static_cast<std::size_t>(kernel.at(1));
  return {matrix[0], matrix[1] / (kh * kw), kh, kw};
}
[[nodiscard]] inline std::size_t layer_groups(const node& layer) {
  return static_cast<std::size_t>(layer.integer("group", 1));
}

/// Divides the inputs of layers by s and multiplies their weights: s = scales(layer, weights, taps)
/// for each column, equal over the `taps` columns of an input channel; empty leaves a layer as it
/// is. Layers that share weights share the s of the first. The division is a Mul in front of the
/// layer. Convolutions in groups stay.
template <class Scales>
[[nodiscard]] model divide_inputs(model m, const layer_filter& take, const Scales& scales) {
  m = optimize(std::move(m));
  struct scaled {
    std::string weights, factor;
  };
  std::map<std::string, scaled> made;                               // by weights
  std::map<std::pair<std::string, std::string>, std::string> muls;  // by input and factor
  value_names names(m);
  std::vector<node> nodes;
  for (node& n : m.nodes) {
    const tensor<fp32>* w = is_layer(n) && (!take || take(n)) ? floats(m, n, 1) : nullptr;
    if (w == nullptr || layer_groups(n) != 1) {
      nodes.push_back(std::move(n));
      continue;
    }
    const shape filters = filter_shape(n, w->shape());
    const std::size_t taps = filters.rank() == 4 ? filters[2] * filters[3] : 1;
    auto [at, first] = made.try_emplace(n.inputs[1]);
    if (first) {
      const std::vector<float> s = in_node(n, [&] { return scales(n, *w, taps); });
      if (!s.empty()) {
        const std::size_t channels = filters[1];
        tensor<fp32> inverse(n.op == "Conv" ? shape{channels, 1, 1} : shape{channels});
        for (std::size_t c = 0; c < channels; ++c) inverse.data()[c] = 1.0f / s[c * taps];
        at->second = {names.fresh(n.inputs[1] + ":scaled"), names.fresh(n.inputs[1] + ":inverse")};
        m.set_weight(at->second.weights, scale_channels(*w, s));
        m.set_weight(at->second.factor, std::move(inverse));
      }
    }
    if (!at->second.weights.empty()) {
      auto [mul, new_mul] = muls.try_emplace({n.inputs[0], at->second.factor});
      if (new_mul) {
        mul->second = names.fresh(n.inputs[0] + ":scaled");
        node& divide = nodes.emplace_back();
        divide.op = "Mul";
        divide.name = mul->second;
        divide.inputs = {n.inputs[0], at->second.factor};
        divide.outputs = {mul->second};
      }
      n.inputs[0] = mul->second;
      n.inputs[1] = at->second.weights;
    }
    nodes.push_back(std::move(n));
  }
  m.nodes = std::move(nodes);
  return remove_dead(std::move(m));
}

/// Of each input channel the mean or the largest of its taps, given back to all of them.
template <class Join>
[[nodiscard]] std::vector<float> over_taps(std::vector<float> v, std::size_t taps,
                                           const Join& join) {
  for (std::size_t c = 0; c + taps <= v.size(); c += taps) {
    const auto first = v.begin() + static_cast<std::ptrdiff_t>(c);
    std::fill_n(first, taps, join(std::span<const float>(&*first, taps)));
  }
  return v;
}
[[nodiscard]] inline float largest(std::span<const float> v) {
  return *std::max_element(v.begin(), v.end());
}

}  // namespace passes

/// SmoothQuant: moves what makes input channels hard to quantize into the weights
/// (smoothquant_scales()). `seen` must have hessians.
[[nodiscard]] inline model smooth_inputs(model m, const calibrator& seen, double alpha = 0.5,
                                         const layer_filter& take = {}) {
  return passes::divide_inputs(
      std::move(m), take, [&](const node& n, const tensor<fp32>& w, std::size_t taps) {
        const auto& rows = seen.of(n).rows;
        QTK_CHECK(rows.has_value(), "smooth_inputs", "needs hessians of the inputs");
        return smoothquant_scales(passes::over_taps(rows->max_abs(), taps, passes::largest),
                                  passes::over_taps(channel_max_abs(w), taps, passes::largest),
                                  alpha);
      });
}

/// AWQ: scales weights of channels with large inputs up before they are rounded to F, as far as the
/// layer's output gains (awq()). `seen` must have hessians.
template <quantized_format F>
[[nodiscard]] model scale_for_awq(model m, const calibrator& seen, const granularity& g,
                                  const awq_options<F>& o = {}, const layer_filter& take = {}) {
  return passes::divide_inputs(
      std::move(m), take,
      [&](const node& n, const tensor<fp32>& w, std::size_t taps) -> std::vector<float> {
        const auto& rows = seen.of(n).rows;
        QTK_CHECK(rows.has_value(), "scale_for_awq", "needs hessians of the inputs");
        awq_options<F> options = o;
        options.taps = taps;
        awq_result<F> found = awq<F>(w, *rows, g, options);
        return found.alpha == 0.0 ? std::vector<float>() : std::move(found.scales);
      });
}

/// Cross-layer equalization (equalize()) of each pair of layers where the second alone reads what
/// the first makes and nothing but none, ReLU or leaky ReLU stands between: `rounds` times over all
/// pairs. Helps scales for a whole tensor; those for each channel gain little.
[[nodiscard]] inline model equalize_layers(model m, std::size_t rounds = 3) {
  m = optimize(std::move(m));
  const value_uses uses(m);
  const auto own_floats = [&](const node& n, std::size_t i) {
    return passes::floats(m, n, i) != nullptr && uses.readers(n.inputs[i]).size() == 1 &&
           !uses.is_output(n.inputs[i]);
  };
  for (std::size_t round = 0; round < rounds; ++round)
    for (node& first : m.nodes) {
      if (!passes::is_layer(first) || first.has_input(3)) continue;
      const auto reader = uses.only_reader(first.outputs[0]);
      if (!reader || !passes::is_layer(m.nodes[*reader])) continue;
      const node& second = m.nodes[*reader];
      const std::string act = first.text("activation", "");
      const bool linear = act.empty() || act == "relu" || act == "leaky_relu";
      if (!linear || second.op != first.op || second.inputs[0] != first.outputs[0] ||
          std::count(second.inputs.begin(), second.inputs.end(), first.outputs[0]) != 1 ||
          !own_floats(first, 1) || !own_floats(second, 1) ||
          (first.has_input(2) && !own_floats(first, 2)))
        continue;
      tensor<fp32> w1 = *passes::floats(m, first, 1), w2 = *passes::floats(m, second, 1);
      tensor<fp32> b1 = first.has_input(2) ? *passes::floats(m, first, 2) : tensor<fp32>();
      const shape matrix = w2.shape();
      w2.reshape(passes::filter_shape(second, matrix));
      static_cast<void>(equalize(w1, b1.span(), w2, passes::layer_groups(second)));
      w2.reshape(matrix);
      m.set_weight(first.inputs[1], std::move(w1));
      m.set_weight(second.inputs[1], std::move(w2));
      if (first.has_input(2)) m.set_weight(first.inputs[2], std::move(b1));
    }
  return m;
}

}  // namespace qtk::inline QTK_ABI
