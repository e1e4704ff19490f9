#pragma once

#include <algorithm>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "qtk/graph/model.hpp"

/// What passes share: names for new values, removing nodes.
namespace qtk::inline QTK_ABI::passes {

/// Whether the model has one of these operators of ONNX: passes that find none do nothing.
[[nodiscard]] inline bool has_any(const model& m, std::initializer_list<std::string_view> ops) {
  return std::any_of(m.nodes.begin(), m.nodes.end(), [&](const node& n) {
    return n.domain.empty() && std::find(ops.begin(), ops.end(), n.op) != ops.end();
  });
}

/// Removes the nodes marked in `gone`.
inline void erase_nodes(model& m, const std::vector<bool>& gone) {
  std::vector<node> kept;
  for (std::size_t i = 0; i < m.nodes.size(); ++i)
    if (!gone[i]) kept.push_back(std::move(m.nodes[i]));
  m.nodes = std::move(kept);
}

/// The names of a model's values, to find ones that are free.
class value_names {
 public:
  value_names() = default;
  explicit value_names(const model& m) {
    for (const value_info& in : m.inputs) taken_[in.name];
    for (const auto& [name, w] : m.weights) taken_[name];
    for (const node& n : m.nodes)
      for (const std::string& out : n.outputs) taken_[out];
  }
  /// `base`, or base_1, base_2, ...; taken from now on.
  [[nodiscard]] std::string fresh(const std::string& base) {
    const auto [at, is_new] = taken_.try_emplace(base, 0);
    if (is_new) return base;
    std::string candidate;
    do candidate = cat(base, "_", ++at->second);
    while (!taken_.try_emplace(candidate, 0).second);
    return candidate;
  }

 private:
  std::map<std::string, std::size_t> taken_;  // with the last number that was appended
};

/// An operator of ONNX that lower_layers turns into a layer where its input 1 is a weight.
[[nodiscard]] inline bool takes_weights(const node& n) noexcept {
  return n.domain.empty() && (n.op == "Conv" || n.op == "Gemm" || n.op == "MatMul");
}

/// A layer made by lower_layers: qtk.Conv or qtk.Linear with an input, weights and an output. (What
/// lacks one is left to its binder, which says so.)
[[nodiscard]] inline bool is_layer(const node& n) noexcept {
  return n.domain == qtk_domain && (n.op == "Conv" || n.op == "Linear") && n.has_input(0) &&
         n.has_input(1) && !n.outputs.empty();
}

/// Sets input i, padding with absent ones.
inline void set_input(node& n, std::size_t i, std::string value) {
  if (n.inputs.size() <= i) n.inputs.resize(i + 1);
  n.inputs[i] = std::move(value);
}

}  // namespace qtk::inline QTK_ABI::passes
