#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "qtk/graph/convert.hpp"
#include "qtk/graph/passes/fold.hpp"
#include "qtk/graph/plan.hpp"

/// Functions that a file writes out by their parts become one operator of the domain qtk:
///   Gelu                (x)                   attribute `approximate` as in ONNX
///   LayerNormalization  (x, scale?, bias?)    over `axis` alone; scale and bias one for each of it
///   Lookup              (indices, w (N, K), bias?)
///                       the rows of w^T that indices name; zeros for those outside of [-K, K)
namespace qtk::inline QTK_ABI::passes {

namespace detail {

/// Looks from a value back to what made it.
class parts {
 public:
  explicit parts(const model& m) : m_(m), uses_(m) {}

  [[nodiscard]] const value_uses& uses() const noexcept { return uses_; }
  /// The ONNX node `op` that makes `value`, or null.
  [[nodiscard]] const node* made_by(const std::string& value, std::string_view op) const {
    const auto i = uses_.maker(value);
    const bool pair = op == "Add" || op == "Sub" || op == "Mul" || op == "Div" || op == "Pow";
    const std::size_t inputs = op == "OneHot" ? 3 : pair ? 2 : 1;  // at least, in a valid model
    return i && m_.nodes[*i].is(op) && m_.nodes[*i].inputs.size() >= inputs &&
                   m_.nodes[*i].outputs[0] == value
               ? &m_.nodes[*i]
               : nullptr;
  }
  /// The only reader of `value`, where it is the ONNX node `op` of two inputs.
  [[nodiscard]] const node* read_by(const std::string& value, std::string_view op) const {
    const auto i = uses_.only_reader(value);
    return i && m_.nodes[*i].is(op) && m_.nodes[*i].inputs.size() == 2 ? &m_.nodes[*i] : nullptr;
  }
  [[nodiscard]] static const std::string& other(const node& n, const std::string& value) {
    return n.inputs[n.inputs[0] == value ? 1 : 0];
  }
  /// The number that a weight of one element is.
  [[nodiscard]] std::optional<double> number(const std::string& value) const {
    const any_tensor* w = m_.find_weight(value);
    const tensor<fp32>* t = w != nullptr ? w->get_if<fp32>() : nullptr;
    if (t == nullptr || t->elements() != 1) return std::nullopt;
    return static_cast<double>(t->data()[0]);
  }
  [[nodiscard]] static bool close(double a, double b) { return std::abs(a - b) <= 1e-5 * b; }
  /// x and c where the value is x `op` c; for Add and Mul in any order.
  struct with_number {
    std::string x;
    double c;
  };
  [[nodiscard]] std::optional<with_number> split(const std::string& value,
                                                 std::string_view op) const {
    const node* n = made_by(value, op);
    if (n == nullptr || n->inputs.size() != 2) return std::nullopt;
    if (const auto c = number(n->inputs[1])) return with_number{n->inputs[0], *c};
    if (op == "Div" || op == "Pow") return std::nullopt;
    if (const auto c = number(n->inputs[0])) return with_number{n->inputs[1], *c};
    return std::nullopt;
  }
  /// The factors of a product of products; inner ones only where nobody else wants them.
  void factors(const node& mul, double& scale, std::vector<std::string>& left) const {
    for (const std::string& v : mul.inputs) {
      const node* inner = made_by(v, "Mul");
      if (const auto c = number(v))
        scale *= *c;
      else if (inner != nullptr && uses_.only_reader(v) && left.size() < 8)
        factors(*inner, scale, left);
      else
        left.push_back(v);
    }
  }
  /// The x whose square the value is.
  [[nodiscard]] std::optional<std::string> square(const std::string& value) const {
    if (const auto p = split(value, "Pow"); p && p->c == 2.0) return p->x;
    const node* n = made_by(value, "Mul");
    return n != nullptr && n->inputs.size() == 2 && n->inputs[0] == n->inputs[1]
               ? std::optional(n->inputs[0])
               : std::nullopt;
  }

 private:
  const model& m_;
  value_uses uses_;
};

[[nodiscard]] inline node own_operator(const node& root, std::string op,
                                       std::vector<std::string> inputs) {
  node n;
  n.op = std::move(op);
  n.name = root.name;
  n.domain = qtk_domain;
  n.inputs = std::move(inputs);
  n.outputs = {root.outputs[0]};
  return n;
}

/// Whether `e`, a factor beside x / 2, is 1 + erf(x / sqrt(2)).
[[nodiscard]] inline bool is_erf_part(const parts& p, const std::string& x, const std::string& e) {
  const auto sum = p.split(e, "Add");
  const node* erf = sum && sum->c == 1.0 ? p.made_by(sum->x, "Erf") : nullptr;
  if (erf == nullptr) return false;
  const auto times = p.split(erf->inputs[0], "Mul"), over = p.split(erf->inputs[0], "Div");
  return (times && times->x == x && parts::close(times->c, std::sqrt(0.5))) ||
         (over && over->x == x && parts::close(over->c, std::sqrt(2.0)));
}

/// Whether it is 1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)).
[[nodiscard]] inline bool is_tanh_part(const parts& p, const std::string& x, const std::string& e) {
  const auto sum = p.split(e, "Add");
  const node* tanh = sum && sum->c == 1.0 ? p.made_by(sum->x, "Tanh") : nullptr;
  if (tanh == nullptr) return false;
  const auto scaled = p.split(tanh->inputs[0], "Mul");
  if (!scaled || !parts::close(scaled->c, std::sqrt(2.0 / 3.14159265358979))) return false;
  const node* inner = p.made_by(scaled->x, "Add");
  if (inner == nullptr || (inner->inputs[0] != x && inner->inputs[1] != x)) return false;
  const auto cubic = p.split(parts::other(*inner, x), "Mul");
  if (!cubic || !parts::close(cubic->c, 0.044715)) return false;
  if (const auto power = p.split(cubic->x, "Pow")) return power->x == x && power->c == 3.0;
  const node* cube = p.made_by(cubic->x, "Mul");
  return cube != nullptr && (cube->inputs[0] == x || cube->inputs[1] == x) &&
         p.square(parts::other(*cube, x)) == x;
}

}  // namespace detail

/// 0.5 * x * (1 + erf(x / sqrt(2))), its factors in any order, and the form with tanh.
inline model fuse_gelu(model m) {
  if (!has_any(m, {"Erf", "Tanh"})) return m;
  const model before = m;
  const detail::parts p(before);
  for (node& n : m.nodes) {
    if (!n.is("Mul") || n.inputs.size() != 2) continue;
    double scale = 1;
    std::vector<std::string> left;
    p.factors(n, scale, left);
    if (left.size() != 2 || scale != 0.5) continue;
    for (std::size_t i = 0; i < 2; ++i) {
      const std::string x = left[i], e = left[1 - i];
      const bool exact = detail::is_erf_part(p, x, e);
      if (!exact && !detail::is_tanh_part(p, x, e)) continue;
      n = detail::own_operator(n, "Gelu", {x});
      if (!exact) n.attributes.emplace("approximate", std::string("tanh"));
      break;
    }
  }
  return remove_dead(std::move(m));
}

namespace detail {

class norm_recognition {
 public:
  explicit norm_recognition(model m)
      : m_(std::move(m)),
        before_(m_),
        p_(before_),
        types_(infer_types(before_, 2, 64)),
        names_(m_) {}

  model run() && {
    for (std::size_t i = 0; i < before_.nodes.size(); ++i)
      if (!divided(before_.nodes[i])) static_cast<void>(distributed(before_.nodes[i]));
    return remove_dead(std::move(m_));
  }

 private:
  struct moments {
    std::string x, mean;
    std::size_t axis, size;  // how many elements it has
    double epsilon;
  };

  /// The one axis that a ReduceMean with keepdims reduces.
  [[nodiscard]] std::optional<std::size_t> axis_of(const node& mean) const {
    auto axes = mean.integers("axes");
    if (mean.has_input(1)) {
      const any_tensor* w = before_.find_weight(mean.inputs[1]);
      if (w == nullptr || !w->is<int64>()) return std::nullopt;
      axes.assign(w->as<int64>().span().begin(), w->as<int64>().span().end());
    }
    const value_type* t = types_.type_of(mean.inputs[0]);
    if (axes.size() != 1 || t == nullptr || t->type != dtype::fp32 ||
        mean.integer("keepdims", 1) != 1)
      return std::nullopt;
    const auto rank = static_cast<std::int64_t>(t->dims.rank());
    const std::int64_t a = axes[0] < 0 ? axes[0] + rank : axes[0];
    return a >= 0 && a < rank ? std::optional(static_cast<std::size_t>(a)) : std::nullopt;
  }

  /// Whose sqrt(variance + epsilon) the value is.
  [[nodiscard]] std::optional<moments> deviation(const std::string& value) const {
    const node* root = p_.made_by(value, "Sqrt");
    const auto sum = root != nullptr ? p_.split(root->inputs[0], "Add") : std::nullopt;
    const node* variance = sum ? p_.made_by(sum->x, "ReduceMean") : nullptr;
    if (variance == nullptr) return std::nullopt;
    const auto centered = p_.square(variance->inputs[0]);
    const node* sub = centered ? p_.made_by(*centered, "Sub") : nullptr;
    const node* mean = sub != nullptr ? p_.made_by(sub->inputs[1], "ReduceMean") : nullptr;
    if (mean == nullptr || mean->inputs[0] != sub->inputs[0]) return std::nullopt;
    const auto axis = axis_of(*mean);
    if (!axis || axis_of(*variance) != axis) return std::nullopt;
    return moments{mean->inputs[0], mean->outputs[0], *axis,
                   types_.type_of(mean->inputs[0])->dims[*axis], sum->c};
  }
  [[nodiscard]] bool is_centered(const std::string& value, const moments& of) const {
    const node* sub = p_.made_by(value, "Sub");
    const node* mean = sub != nullptr ? p_.made_by(sub->inputs[1], "ReduceMean") : nullptr;
    return mean != nullptr && sub->inputs[0] == of.x && mean->inputs[0] == of.x &&
           axis_of(*mean) == of.axis;
  }

  /// The weight as one number for each index of the axis, "" where it is none.
  [[nodiscard]] std::string per_axis(const std::string& value, const moments& of) {
    const any_tensor* w = before_.find_weight(value);
    const tensor<fp32>* t = w != nullptr ? w->get_if<fp32>() : nullptr;
    if (t == nullptr || t->elements() != of.size) return "";
    const std::size_t rank = types_.type_of(of.x)->dims.rank(), own = t->shape().rank();
    for (std::size_t d = 0; d < own; ++d) {
      if (own > rank) return "";
      if (t->shape()[d] != (d + rank - own == of.axis ? of.size : 1)) return "";
    }
    if (own == 0 || own + of.axis < rank) return "";
    const std::string flat = names_.fresh(value + ":list");
    tensor<fp32> list({of.size});
    std::copy(t->span().begin(), t->span().end(), list.data());
    m_.set_weight(flat, std::move(list));
    return flat;
  }

  void put(const node& root, const moments& of, std::string scale, std::string bias) {
    node n = own_operator(root, "LayerNormalization", {of.x, std::move(scale), std::move(bias)});
    n.attributes.emplace("axis", static_cast<std::int64_t>(of.axis));
    n.attributes.emplace("epsilon", static_cast<float>(of.epsilon));
    m_.nodes[static_cast<std::size_t>(&root - before_.nodes.data())] = std::move(n);
  }

  /// (x - mean) / deviation [* scale [+ bias]]
  bool divided(const node& n) {
    std::optional<moments> of;
    if (n.is("Div") && n.inputs.size() == 2) {
      of = deviation(n.inputs[1]);
      if (!of || !is_centered(n.inputs[0], *of)) return false;
    } else if (n.is("Mul") && n.inputs.size() == 2) {
      for (std::size_t i = 0; i < 2 && !of; ++i) {
        const node* inverse = p_.made_by(n.inputs[i], "Reciprocal");
        if (inverse == nullptr) continue;
        of = deviation(inverse->inputs[0]);
        if (of && !is_centered(n.inputs[1 - i], *of)) of.reset();
      }
    }
    if (!of) return false;
    const node* root = &n;
    std::string scale, bias;
    if (const node* mul = p_.read_by(n.outputs[0], "Mul")) {
      scale = per_axis(parts::other(*mul, n.outputs[0]), *of);
      if (!scale.empty()) root = mul;
      const node* add = scale.empty() ? nullptr : p_.read_by(mul->outputs[0], "Add");
      bias = add != nullptr ? per_axis(parts::other(*add, mul->outputs[0]), *of) : "";
      if (!bias.empty()) root = add;
    }
    put(*root, *of, std::move(scale), std::move(bias));
    return true;
  }

  /// x * g + (bias - mean * g), g = scale / deviation
  bool distributed(const node& n) {
    if (!n.is("Add") || n.inputs.size() != 2) return false;
    for (std::size_t i = 0; i < 2; ++i) {
      const node *product = p_.made_by(n.inputs[i], "Mul"),
                 *shift = p_.made_by(n.inputs[1 - i], "Sub");
      const node* moved = shift != nullptr ? p_.made_by(shift->inputs[1], "Mul") : nullptr;
      if (product == nullptr || moved == nullptr) continue;
      for (const std::string& g : moved->inputs) {
        const node* gain = p_.made_by(g, "Mul");
        if (gain == nullptr) continue;
        for (const std::string& v : gain->inputs) {
          const node* inverse = p_.made_by(v, "Reciprocal");
          const auto of = inverse != nullptr ? deviation(inverse->inputs[0]) : std::nullopt;
          if (!of || parts::other(*moved, g) != of->mean) continue;
          const bool whole = std::count(product->inputs.begin(), product->inputs.end(), g) == 1 &&
                             parts::other(*product, g) == of->x;
          if (!whole) continue;
          const std::string scale = per_axis(parts::other(*gain, v), *of),
                            bias = per_axis(shift->inputs[0], *of);
          if (scale.empty() || bias.empty()) continue;
          put(n, *of, scale, bias);
          return true;
        }
      }
    }
    return false;
  }

  model m_;
  const model before_;
  parts p_;
  execution_plan types_;
  value_names names_;
};

}  // namespace detail

/// (x - mean) / sqrt(variance + epsilon) * scale + bias along one axis, also with the product
/// distributed over the difference.
inline model fuse_layer_norm(model m) {
  return has_any(m, {"ReduceMean"}) ? detail::norm_recognition(std::move(m)).run() : m;
}

/// Linear of OneHot reads rows of the weights.
inline model fuse_lookup(model m) {
  if (!has_any(m, {"OneHot"})) return m;
  const model before = m;
  const detail::parts p(before);
  value_names names(m);
  std::vector<node> nodes;
  for (node& n : m.nodes) {
    const node* reshape = nullptr;
    const node* hot = nullptr;
    const tensor<int64>* to = nullptr;
    if (n.is("Linear", qtk_domain) && !n.has_input(3) && !n.attributes.contains("activation") &&
        !n.attributes.contains("x_scale")) {
      reshape = p.made_by(n.inputs[0], "Reshape");
      hot = p.made_by(reshape != nullptr ? reshape->inputs[0] : n.inputs[0], "OneHot");
      const any_tensor* w = reshape != nullptr && reshape->has_input(1)
                                ? before.find_weight(reshape->inputs[1])
                                : nullptr;
      to = w != nullptr ? w->get_if<int64>() : nullptr;
    }
    const any_tensor* depth = hot != nullptr ? before.find_weight(hot->inputs[1]) : nullptr;
    const any_tensor* levels = hot != nullptr ? before.find_weight(hot->inputs[2]) : nullptr;
    const std::size_t K = hot != nullptr ? before.find_weight(n.inputs[1])->shape()[1] : 0;
    const bool plain =
        K != 0 && depth != nullptr && levels != nullptr && depth->shape().elements() == 1 &&
        converted(*depth, dtype::int64).as<int64>().data()[0] == static_cast<std::int64_t>(K) &&
        levels->is<fp32>() && levels->as<fp32>().elements() == 2 &&
        levels->as<fp32>().data()[0] == 0.0f && levels->as<fp32>().data()[1] == 1.0f &&
        hot->integer("axis", -1) == -1;
    // Dimensions that are copied, not given, could be of the codes.
    const bool rows =
        reshape == nullptr || (to != nullptr && to->elements() == 2 && to->data()[0] == -1 &&
                               to->data()[1] == static_cast<std::int64_t>(K));
    if (!plain || !rows) {
      nodes.push_back(std::move(n));
      continue;
    }
    node lookup = detail::own_operator(n, "Lookup", {hot->inputs[0], n.inputs[1]});
    if (n.has_input(2)) lookup.inputs.push_back(n.inputs[2]);
    if (reshape != nullptr) {
      const auto N = static_cast<std::int64_t>(before.find_weight(n.inputs[1])->shape()[0]);
      const std::string found = names.fresh(n.outputs[0] + ":rows"),
                        shape = names.fresh(n.outputs[0] + ":shape");
      tensor<int64> dims({2}, {-1, N});
      m.set_weight(shape, std::move(dims));
      lookup.outputs = {found};
      nodes.push_back(std::move(lookup));
      node back;
      back.op = "Reshape";
      back.name = n.outputs[0];
      back.inputs = {found, shape};
      back.outputs = {n.outputs[0]};
      nodes.push_back(std::move(back));
    } else {
      nodes.push_back(std::move(lookup));
    }
  }
  m.nodes = std::move(nodes);
  return remove_dead(std::move(m));
}

}  // namespace qtk::inline QTK_ABI::passes
