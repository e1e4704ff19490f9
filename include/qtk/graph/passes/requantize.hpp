#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qtk/graph/passes/fold.hpp"
#include "qtk/graph/passes/static_inputs.hpp"

namespace qtk::inline QTK_ABI::passes {

/// Operators that select and move elements of input 0, or of all (Concat): they do to codes what
/// they do to the reals, whose order is the same.
[[nodiscard]] inline bool moves_elements(const node& n) {
  static const std::set<std::string_view> ops{
      "Concat",  "DepthToSpace", "Expand",    "Flatten",  "Gather", "Identity",
      "MaxPool", "Pad",          "Reshape",   "Relu",     "Slice",  "SpaceToDepth",
      "Squeeze", "Tile",         "Transpose", "Unsqueeze"};
  return n.domain.empty() && ops.contains(n.op) && n.outputs.size() == 1 && n.has_input(0);
}

namespace detail {

/// Finds the values that nobody wants but as codes of one scale, and that can be had as such.
class code_carrier {
 public:
  explicit code_carrier(model m) : m_(std::move(m)), uses_(m_), names_(m_) {}

  model run() && {
    // An operator that cannot have all its inputs as codes reads none as codes: others must know.
    for (std::size_t before = 1; before != 0;) {
      find_wanted();
      before = find_carried();
      if (++rounds_ > max_rounds) return std::move(m_);
    }
    for (const auto& [value, scale] : carried_) rewrite_maker(value, scale);
    for (node& n : m_.nodes) rewrite_reader(n);
    return remove_dead(std::move(m_));
  }

 private:
  static constexpr int max_rounds = 16;

  [[nodiscard]] static bool is_data(const node& n, std::size_t input) {
    return input == 0 || n.op == "Concat";
  }
  /// Whether that holds for codes of this scale.
  [[nodiscard]] bool commutes(const node& n, const block_scale& scale) const {
    if (n.op == "Relu") return scale.zero_point == 0;  // saturation does it
    if (n.op != "Pad" || n.text("mode", "constant") != "constant") return true;
    if (!n.has_input(2)) return n.number("value", 0.0f) == 0.0f;
    const tensor<fp32>* value = floats(m_, n, 2);
    return value != nullptr && value->elements() == 1 && value->data()[0] == 0.0f;
  }

  /// Of a QuantizeLinear that only DequantizeLinear of the same parameters read.
  [[nodiscard]] std::optional<block_scale> pair_scale(const node& quantize) const {
    const auto scale = activation_codes(m_, quantize);
    const std::string& codes = quantize.outputs[0];
    if (!scale || uses_.is_output(codes)) return std::nullopt;
    const auto& readers = uses_.readers(codes);
    const bool alike = std::all_of(readers.begin(), readers.end(), [&](std::size_t r) {
      const node& n = m_.nodes[r];
      return n.is("DequantizeLinear") && n.inputs[0] == codes && activation_codes(m_, n) == scale &&
             n.has_input(2) == quantize.has_input(2);
    });
    return alike ? scale : std::nullopt;
  }

  /// As which codes a node wants one of its inputs.
  [[nodiscard]] std::optional<block_scale> wanted_by(const node& n, std::size_t input) const {
    if (is_layer(n))
      return input == 0 ? fixed_codes(n, "x") : input == 3 ? fixed_codes(n, "r") : std::nullopt;
    if (n.is("QuantizeLinear")) return input == 0 ? pair_scale(n) : std::nullopt;
    if (!moves_elements(n) || !is_data(n, input)) return std::nullopt;
    const auto it = wanted_.find(n.outputs[0]);
    return it == wanted_.end() ? std::nullopt : std::optional(it->second);
  }

  void find_wanted() {
    wanted_.clear();
    for (std::size_t i = m_.nodes.size(); i-- > 0;) {
      const node& n = m_.nodes[i];
      if (n.outputs.empty() || n.outputs[0].empty() || blocked_.contains(i)) continue;
      const std::string& value = n.outputs[0];
      if (uses_.is_output(value) || uses_.readers(value).empty()) continue;
      std::optional<block_scale> all;
      bool same = true;
      for (const std::size_t r : uses_.readers(value))
        for (std::size_t k = 0; same && k < m_.nodes[r].inputs.size(); ++k) {
          if (m_.nodes[r].inputs[k] != value) continue;
          const auto one = wanted_by(m_.nodes[r], k);
          same = one && (!all || *all == *one);
          all = one;
        }
      if (same && all && (!moves_elements(n) || commutes(n, *all))) wanted_.emplace(value, *all);
    }
  }

  /// Gives the number of operators that were blocked.
  std::size_t find_carried() {
    carried_.clear();
    std::size_t blocked = 0;
    for (std::size_t i = 0; i < m_.nodes.size(); ++i) {
      const node& n = m_.nodes[i];
      const auto wanted = n.outputs.empty() ? wanted_.end() : wanted_.find(n.outputs[0]);
      if (wanted == wanted_.end()) continue;
      bool can = false;
      if (moves_elements(n)) {
        can = true;
        for (std::size_t k = 0; k < n.inputs.size(); ++k)
          can = can && (!is_data(n, k) || carried_.contains(n.inputs[k]));
        if (!can) {
          blocked_.insert(i);
          ++blocked;
        }
      } else if (is_layer(n)) {
        can = n.attributes.contains("x_scale");
      } else if (n.is("DequantizeLinear")) {
        const any_tensor* zero = n.has_input(2) ? m_.find_weight(n.inputs[2]) : nullptr;
        can = activation_codes(m_, n) == wanted->second &&
              ((zero != nullptr && zero->is<uint8>()) || carried_source(n).has_value());
      }
      if (can) carried_.insert(*wanted);
    }
    return blocked;
  }

  /// Of a DequantizeLinear behind a QuantizeLinear of a carried value: that value.
  [[nodiscard]] std::optional<std::string> carried_source(const node& dequantize) const {
    const auto maker = uses_.maker(dequantize.inputs[0]);
    if (!maker || !m_.nodes[*maker].is("QuantizeLinear")) return std::nullopt;
    const std::string& value = m_.nodes[*maker].inputs[0];
    return carried_.contains(value) ? std::optional(value) : std::nullopt;
  }
  /// The value that holds the codes of a carried one.
  [[nodiscard]] std::string codes_of(const std::string& value) const {
    const auto maker = uses_.maker(value);
    const node* n = maker ? &m_.nodes[*maker] : nullptr;
    if (n == nullptr || !n->is("DequantizeLinear")) return value;
    const auto source = carried_source(*n);
    return source ? codes_of(*source) : n->inputs[0];
  }

  std::string code_weight(const std::string& base, std::int32_t code) {
    const std::string name = names_.fresh(base + ":zero_point");
    m_.set_weight(name, tensor<uint8>({}, {static_cast<std::uint8_t>(code)}));
    return name;
  }

  void rewrite_maker(const std::string& value, const block_scale& scale) {
    node& n = m_.nodes[*uses_.maker(value)];
    if (is_layer(n)) {
      set_codes(n, "y", scale);
    } else if (n.op == "Relu") {
      n.op = "Identity";
    } else if (n.op == "Pad" && n.text("mode", "constant") == "constant") {
      set_input(n, 2, code_weight(value, scale.zero_point));
    }
  }

  void rewrite_reader(node& n) {
    if (n.is("DequantizeLinear")) {
      const auto source = carried_source(n);
      if (!source) return;
      n.inputs[0] = codes_of(*source);
      if (n.has_input(2)) n.inputs[2] = code_weight(n.outputs[0], carried_.at(*source).zero_point);
      return;
    }
    const bool reads = is_layer(n) || (moves_elements(n) && carried_.contains(n.outputs[0]));
    for (std::string& v : n.inputs)
      if (reads && carried_.contains(v)) v = codes_of(v);
  }

  model m_;
  value_uses uses_;
  value_names names_;
  int rounds_ = 0;
  std::set<std::size_t> blocked_;               // nodes
  std::map<std::string, block_scale> wanted_;   // values
  std::map<std::string, block_scale> carried_;  // of those
};

}  // namespace detail

/// Between layers of fixed scales values stay codes: what is only read by layers that quantize it
/// alike, or by QuantizeLinear, is written as codes by the layer that makes it. Operators in
/// between that only select and move elements (MaxPool, Reshape, Concat, ...) do that to codes.
/// Every code is the one that quantizing the float would have given, but where that is a tie but
/// for the last bits of fp32 (layer_codes); what a DequantizeLinear of the same scale makes of a
/// code becomes that code again.
inline model fuse_requantize(model m) {
  const bool any = std::any_of(m.nodes.begin(), m.nodes.end(), [](const node& n) {
    return is_layer(n) && n.attributes.contains("x_scale");
  });
  return any ? detail::code_carrier(std::move(m)).run() : m;
}

}  // namespace qtk::inline QTK_ABI::passes
