#pragma once

#include <vector>

#include "qtk/graph/model.hpp"

/// What passes share: replacing values and removing nodes.
namespace qtk::inline QTK_ABI::passes {

/// Every reader of `from` reads `to` from now on. Graph outputs keep their names: a value that is
/// one cannot be replaced.
inline void replace_uses(model& m, const std::string& from, const std::string& to) {
  for (node& n : m.nodes)
    for (std::string& in : n.inputs)
      if (in == from) in = to;
}

/// Removes the nodes marked in `gone`.
inline void erase_nodes(model& m, const std::vector<bool>& gone) {
  std::vector<node> kept;
  for (std::size_t i = 0; i < m.nodes.size(); ++i)
    if (!gone[i]) kept.push_back(std::move(m.nodes[i]));
  m.nodes = std::move(kept);
}

/// A value name that nothing has: `base`, or base_1, base_2, ...
[[nodiscard]] inline std::string fresh_name(const model& m, const std::string& base) {
  const auto taken = [&](const std::string& v) {
    if (m.find_weight(v) != nullptr) return true;
    for (const node& n : m.nodes)
      for (const std::string& out : n.outputs)
        if (out == v) return true;
    for (const value_info& in : m.inputs)
      if (in.name == v) return true;
    return false;
  };
  std::string candidate = base;
  for (std::size_t i = 1; taken(candidate); ++i) candidate = cat(base, "_", i);
  return candidate;
}

/// A layer made by lower_layers: qtk.Conv or qtk.Linear.
[[nodiscard]] inline bool is_layer(const node& n) noexcept {
  return n.domain == qtk_domain && (n.op == "Conv" || n.op == "Linear");
}

/// Sets input i, padding with absent ones.
inline void set_input(node& n, std::size_t i, std::string value) {
  if (n.inputs.size() <= i) n.inputs.resize(i + 1);
  n.inputs[i] = std::move(value);
}

}  // namespace qtk::inline QTK_ABI::passes
