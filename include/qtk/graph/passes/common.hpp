#pragma once

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <set>

#include "qtk/graph/passes/rewrite.hpp"

namespace qtk::inline QTK_ABI::passes {

namespace detail {

/// What a node computes, as text; nothing where two such nodes may differ or where the attributes
/// are large.
[[nodiscard]] inline std::optional<std::string> computation(const node& n) {
  static const std::set<std::string_view> random{
      "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
      "Bernoulli",    "Multinomial",      "Dropout"};
  if (n.captures != 0 || n.inputs.empty() || random.contains(n.op)) return std::nullopt;
  std::string text = cat(n.domain, "\n", n.op, "\n", n.outputs.size());
  for (const std::string& v : n.inputs) text += cat("\n", v.size(), " ", v);
  for (const auto& [key, value] : n.attributes) {
    text += cat("\n", key, " ", value.index());
    const auto write = [&](const auto& list) {
      for (const auto& v : list) text += cat(" ", v);
    };
    if (const auto* i = std::get_if<std::int64_t>(&value))
      text += cat(" ", *i);
    else if (const auto* s = std::get_if<std::string>(&value))
      text += cat(" ", s->size(), " ", *s);
    else if (const auto* f = std::get_if<float>(&value))
      text += cat(" ", std::bit_cast<std::uint32_t>(*f));
    else if (const auto* list = std::get_if<std::vector<std::int64_t>>(&value))
      write(*list);
    else
      return std::nullopt;
  }
  return text;
}

}  // namespace detail

/// Of nodes that compute the same from the same, the first does it for all.
inline model remove_duplicates(model m) {
  const value_uses uses(m);
  std::map<std::string, std::size_t> first;  // by computation
  std::map<std::string, std::string> now;    // a value that went -> the one that equals it
  std::vector<bool> gone(m.nodes.size());
  for (std::size_t i = 0; i < m.nodes.size(); ++i) {
    node& n = m.nodes[i];
    for (std::string& in : n.inputs)
      if (const auto it = now.find(in); it != now.end()) in = it->second;
    const auto what = detail::computation(n);
    if (!what) continue;
    const auto [at, is_new] = first.try_emplace(*what, i);
    if (is_new || std::any_of(n.outputs.begin(), n.outputs.end(),
                              [&](const std::string& v) { return uses.is_output(v); }))
      continue;
    const node& same = m.nodes[at->second];
    // An output that the first left out cannot stand for one that is wanted.
    bool named = true;
    for (std::size_t k = 0; k < n.outputs.size(); ++k)
      named = named && (n.outputs[k].empty() || !same.outputs[k].empty());
    if (!named) continue;
    for (std::size_t k = 0; k < n.outputs.size(); ++k)
      if (!n.outputs[k].empty()) now.emplace(n.outputs[k], same.outputs[k]);
    gone[i] = true;
  }
  erase_nodes(m, gone);
  return m;
}

}  // namespace qtk::inline QTK_ABI::passes
