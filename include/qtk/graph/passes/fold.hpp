#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "qtk/graph/passes/rewrite.hpp"
#include "qtk/graph/plan.hpp"

namespace qtk::inline QTK_ABI::passes {

/// Drops nodes and weights that no graph output depends on.
inline model remove_dead(model m) {
  std::set<std::string_view> needed;
  for (const value_info& out : m.outputs) needed.insert(out.name);
  std::vector<bool> gone(m.nodes.size());
  for (std::size_t i = m.nodes.size(); i-- > 0;) {  // readers come after makers
    const node& n = m.nodes[i];
    gone[i] = std::none_of(n.outputs.begin(), n.outputs.end(),
                           [&](const std::string& v) { return !v.empty() && needed.contains(v); });
    if (!gone[i]) needed.insert(n.inputs.begin(), n.inputs.end());
  }
  std::erase_if(m.weights, [&](const auto& w) { return !needed.contains(w.first); });
  erase_nodes(m, gone);
  return m;
}

/// Removes Identity, and Dropout as it is at inference, where the output isn't the graph's.
inline model remove_identity(model m) {
  const value_uses uses(m);
  std::map<std::string, std::string> now;  // a value that went -> the one that it equals
  std::vector<bool> gone(m.nodes.size());
  for (std::size_t i = 0; i < m.nodes.size(); ++i) {
    node& n = m.nodes[i];
    for (std::string& in : n.inputs)  // makers come before readers: one step leads to the end
      if (const auto it = now.find(in); it != now.end()) in = it->second;
    if (!n.is("Identity") && !n.is("Dropout")) continue;
    if (n.inputs.empty() || n.outputs.empty() || uses.is_output(n.outputs[0])) continue;
    if (n.outputs.size() > 1 && !uses.readers(n.outputs[1]).empty()) continue;  // Dropout's mask
    if (n.is("Dropout") && n.has_input(2)) continue;                            // training_mode
    now.emplace(n.outputs[0], n.inputs[0]);
    gone[i] = true;
  }
  erase_nodes(m, gone);
  return m;
}

/// Whether every reader of `value` takes it as the weights of a layer: input 1 of Conv, MatMul or
/// Gemm, or, of a matrix, the Reshape to the filters of a Conv.
[[nodiscard]] inline bool read_as_weights(const model& m, const value_uses& uses,
                                          const std::string& value, bool matrix,
                                          bool reshaped = false) {
  const auto& readers = uses.readers(value);
  return !readers.empty() && !uses.is_output(value) &&
         std::all_of(readers.begin(), readers.end(), [&](std::size_t i) {
           const node& n = m.nodes[i];
           if (std::count(n.inputs.begin(), n.inputs.end(), value) != 1) return false;
           if (n.is("Reshape"))
             return matrix && !reshaped && n.inputs[0] == value && !n.outputs.empty() &&
                    read_as_weights(m, uses, n.outputs[0], false, true);
           return takes_weights(n) && n.inputs.size() > 1 && n.inputs[1] == value &&
                  (!reshaped || n.op == "Conv");
         });
}

/// The block that shares a scale under DequantizeLinear's axis and block_size.
[[nodiscard]] inline shape dequantize_block(const node& n, const shape& codes, const shape& scale) {
  if (scale.elements() == 1 && scale.rank() <= 1) return per_tensor().block(codes);
  const std::size_t axis = codes.axis(n.integer("axis", 1));
  shape block = codes;
  if (scale.rank() == 1) {
    for (std::size_t d = 0; d < codes.rank(); ++d) block[d] = d == axis ? 1 : codes[d];
  } else {
    const std::int64_t size = n.integer("block_size", 0);
    QTK_CHECK(size > 0, n.label(), "block_size is ", size, " for scales ", scale);
    for (std::size_t d = 0; d < codes.rank(); ++d)
      block[d] = d == axis ? static_cast<std::size_t>(size) : 1;
  }
  return block;
}

/// The codes of a DequantizeLinear with its scales and zero points.
[[nodiscard]] inline any_tensor with_scales(const node& n, any_tensor codes,
                                            const tensor<fp32>& scale, const any_tensor* zero) {
  QTK_CHECK(zero == nullptr ||
                (zero->dtype() == codes.dtype() && zero->shape().elements() == scale.elements()),
            n.label(), "zero points are ", name(zero->dtype()), " ", zero->shape(), " for ",
            name(codes.dtype()), " with scales ", scale.shape());
  for (const float s : scale.span()) QTK_CHECK(std::isfinite(s), n.label(), "a scale is ", s);
  quantization q{.block = dequantize_block(n, codes.shape(), scale.shape()),
                 .scales = {scale.span().begin(), scale.span().end()},
                 .zero_points = {}};
  if (zero != nullptr)
    zero->visit([&]<class F>(const tensor<F>& t) {
      if constexpr (F::quantized)
        for (std::size_t r = 0; r < t.rows(); ++r)
          for (std::size_t c = 0; c < t.cols(); ++c) q.zero_points.push_back(t.at(r, c));
    });
  codes.visit([&]<class F>(tensor<F>& t) {
    if constexpr (F::quantized) t.set_quantization(std::move(q));
  });
  return codes;
}

/// Turns DequantizeLinear(weight, scale, zero point) and Cast(fp16 or bf16 weight), where layers
/// read them, into a weight that carries its format: the layer then runs on what the file stores.
inline model fold_stored_formats(model m) {
  const value_uses uses(m);
  std::vector<bool> gone(m.nodes.size());
  for (std::size_t i = 0; i < m.nodes.size(); ++i) {
    const node& n = m.nodes[i];
    if (!n.is("Cast") && !n.is("DequantizeLinear")) continue;
    const any_tensor* w = n.inputs.empty() ? nullptr : m.find_weight(n.inputs[0]);
    if (w == nullptr || n.outputs.size() != 1 ||
        !read_as_weights(m, uses, n.outputs[0], w->shape().rank() == 2))
      continue;
    if (n.is("Cast") && (w->is<fp16>() || w->is<bf16>()) && n.integer("to", 0) == 1 /* FLOAT */) {
      m.weights.insert_or_assign(n.outputs[0], m.weights.at(n.inputs[0]));
      gone[i] = true;
    } else if (n.is("DequantizeLinear") && (w->is<int8>() || w->is<int4>() || w->is<uint4>())) {
      const any_tensor* scale = n.has_input(1) ? m.find_weight(n.inputs[1]) : nullptr;
      const any_tensor* zero = n.has_input(2) ? m.find_weight(n.inputs[2]) : nullptr;
      if (scale == nullptr || !scale->is<fp32>() || (n.has_input(2) && zero == nullptr)) continue;
      any_tensor codes = in_node(n, [&] { return with_scales(n, *w, scale->as<fp32>(), zero); });
      m.set_weight(n.outputs[0], std::move(codes));
      gone[i] = true;
    }
  }
  erase_nodes(m, gone);
  return m;
}

/// Whether the weight is codes with scales: they are not among what an operator reads.
[[nodiscard]] inline bool has_scales(const any_tensor& w) {
  return w.visit([](const auto& t) { return !t.quantization().scales.empty(); });
}

/// Runs every node whose inputs are all weights, once, and keeps the result as a weight: within
/// what fold_budget grants, what comes after stays a node.
inline model fold_constants(model m) {
  fold_budget budget(m);
  std::vector<bool> gone(m.nodes.size());
  for (std::size_t i = 0; i < m.nodes.size(); ++i) {
    const node& n = m.nodes[i];
    const bool known =
        !n.inputs.empty() && std::all_of(n.inputs.begin(), n.inputs.end(), [&](const auto& v) {
          // Codes that a pass gave scales are a layer's, not an operand.
          return v.empty() || (m.find_weight(v) != nullptr && !has_scales(*m.find_weight(v)));
        });
    const op_definition* op = find_op(n.op, n.domain);
    const bool constant = n.is("Constant") && n.inputs.empty();
    if ((!known && !constant) || op == nullptr || is_layer(n) || takes_weights(n)) continue;
    // A plan of this node alone folds it: the values that it keeps are the answer.
    model one;
    one.opsets = m.opsets;
    one.nodes = {n};
    for (const std::string& in : n.inputs)
      if (!in.empty()) one.weights.emplace(in, m.weights.at(in));
    for (const std::string& out : n.outputs)
      if (!out.empty())
        one.outputs.push_back({.name = out, .type = dtype::fp32, .dims = {}, .untyped = false});
    binding_cache cache;
    const execution_plan plan(one, {}, {.folds_within = &budget}, cache);
    bool all = true;
    for (const std::size_t v : plan.outputs()) all = all && plan.values()[v].constant != nullptr;
    if (!all) continue;
    for (std::size_t k = 0; k < one.outputs.size(); ++k) {
      m.set_weight(one.outputs[k].name, *plan.values()[plan.outputs()[k]].constant);
    }
    gone[i] = true;
  }
  erase_nodes(m, gone);
  return m;
}

}  // namespace qtk::inline QTK_ABI::passes
