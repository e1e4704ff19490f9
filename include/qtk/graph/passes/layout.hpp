#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <set>

#include "qtk/graph/passes/rewrite.hpp"
#include "qtk/graph/plan.hpp"

namespace qtk::inline QTK_ABI::passes {

namespace detail {

/// Moves Transpose and Squeeze behind what works element by element. Each is put off until somebody
/// needs it done: then it is written, once; two that cancel never are.
class layout_mover {
 public:
  explicit layout_mover(model m)
      : m_(std::move(m)),
        typed_(m_),
        uses_(typed_),
        names_(m_),
        types_(infer_types(typed_, 2, 64)) {}

  model run() && {
    std::vector<node> nodes = std::move(m_.nodes);
    m_.nodes.clear();
    for (node& n : nodes)
      if (!put_off(n) && !follow(n) && !reduce(n)) {
        for (std::string& v : n.inputs) v = written(v);
        m_.nodes.push_back(std::move(n));
      }
    for (const value_info& out : m_.outputs) {
      const auto it = views_.find(out.name);
      if (it == views_.end() || it->second.done) continue;
      if (it->second.is_source())
        push("Identity", {it->second.source}, out.name);
      else
        static_cast<void>(written(out.name));
    }
    return std::move(m_);
  }

 private:
  /// A value that is `source` turned by `perm`, then without the dimensions `squeezed` (ascending);
  /// both empty: the source itself.
  struct view {
    std::string source;
    std::vector<std::int64_t> perm, squeezed;
    bool done = false;  // a node makes it
    [[nodiscard]] bool is_source() const noexcept { return perm.empty() && squeezed.empty(); }
    [[nodiscard]] bool same(const view& v) const {
      return perm == v.perm && squeezed == v.squeezed;
    }
  };

  [[nodiscard]] std::optional<std::size_t> rank(const std::string& v) const {
    const value_type* t = types_.type_of(v);
    return t == nullptr ? std::nullopt : std::optional(t->dims.rank());
  }
  /// Not yet written, else null.
  [[nodiscard]] const view* pending(const std::string& v) const {
    const auto it = views_.find(v);
    return it == views_.end() || it->second.done ? nullptr : &it->second;
  }
  node& push(std::string op, std::vector<std::string> inputs, const std::string& output) {
    node& n = m_.nodes.emplace_back();
    n.op = std::move(op);
    n.name = output;
    n.inputs = std::move(inputs);
    n.outputs = {output};
    return n;
  }
  void give_axes(node& n, std::vector<std::int64_t> axes, std::int64_t as_input_since) {
    if (m_.opset() < as_input_since) {
      n.attributes.insert_or_assign("axes", std::move(axes));
      return;
    }
    tensor<int64> t({axes.size()});
    std::copy(axes.begin(), axes.end(), t.data());
    const std::string name = names_.fresh(n.outputs[0] + ":axes");
    m_.set_weight(name, std::move(t));
    set_input(n, 1, name);
  }
  /// The name to read `v` by, which a node makes.
  [[nodiscard]] std::string written(const std::string& v) {
    const auto it = views_.find(v);
    if (it == views_.end() || it->second.done) return v;
    view& w = it->second;
    if (w.is_source()) return w.source;
    w.done = true;
    std::string from = w.source;
    if (!w.perm.empty()) {
      const std::string to = w.squeezed.empty() ? v : names_.fresh(v + ":turned");
      push("Transpose", {from}, to).attributes.emplace("perm", w.perm);
      from = to;
    }
    if (!w.squeezed.empty()) give_axes(push("Squeeze", {from}, v), w.squeezed, 13);
    return v;
  }

  /// The axes of a node: an attribute, a weight, or none.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> axes(
      const node& n, std::optional<std::size_t> of_rank) const {
    std::vector<std::int64_t> list = n.integers("axes");
    if (n.has_input(1)) {
      const any_tensor* w = m_.find_weight(n.inputs[1]);
      if (w == nullptr || !w->is<int64>()) return std::nullopt;
      list.assign(w->as<int64>().span().begin(), w->as<int64>().span().end());
    }
    for (std::int64_t& a : list) {
      if (a < 0 && of_rank) a += static_cast<std::int64_t>(*of_rank);
      if (a < 0 || (of_rank && a >= static_cast<std::int64_t>(*of_rank))) return std::nullopt;
    }
    std::sort(list.begin(), list.end());
    if (std::adjacent_find(list.begin(), list.end()) != list.end()) return std::nullopt;
    return list;
  }

  /// Of a value that gets rank `r` by losing `squeezed`: which dimensions stay.
  [[nodiscard]] static std::vector<std::int64_t> kept_dimensions(
      const std::vector<std::int64_t>& squeezed, std::size_t r) {
    std::vector<std::int64_t> kept;
    for (std::int64_t d = 0; kept.size() < r; ++d)
      if (!std::binary_search(squeezed.begin(), squeezed.end(), d)) kept.push_back(d);
    return kept;
  }

  /// Transpose, Squeeze and Unsqueeze.
  bool put_off(const node& n) {
    if (!n.domain.empty() || n.inputs.empty() || n.outputs.size() != 1) return false;
    const std::string &x = n.inputs[0], &y = n.outputs[0];
    const view* before = pending(x);
    if (m_.find_weight(x) != nullptr) return false;
    const bool plain = before == nullptr || before->is_source();
    view made = before != nullptr ? *before : view{.source = x, .perm = {}, .squeezed = {}};
    if (n.op == "Transpose") {
      std::vector<std::int64_t> perm = n.integers("perm");
      const auto r = perm.empty() ? rank(x) : std::optional(perm.size());
      if (!r) return false;
      if (perm.empty())
        for (std::size_t d = *r; d-- > 0;) perm.push_back(static_cast<std::int64_t>(d));
      for (std::int64_t& p : perm) {
        if (p < 0) p += static_cast<std::int64_t>(*r);
        if (p < 0 || p >= static_cast<std::int64_t>(*r)) return false;
      }
      std::vector<std::int64_t> in_order = perm;
      std::sort(in_order.begin(), in_order.end());
      if (std::adjacent_find(in_order.begin(), in_order.end()) != in_order.end()) return false;
      if (!made.perm.empty() && *r + made.squeezed.size() != made.perm.size()) return false;
      // Of the view's dimensions: those that go lead, then the others in their new order.
      const std::vector<std::int64_t> there = kept_dimensions(made.squeezed, *r);
      std::vector<std::int64_t> all = made.squeezed;
      for (const std::int64_t p : perm) all.push_back(there[static_cast<std::size_t>(p)]);
      if (!made.perm.empty())
        for (std::int64_t& p : all) p = made.perm[static_cast<std::size_t>(p)];
      std::iota(made.squeezed.begin(), made.squeezed.end(), 0);
      made.perm = std::is_sorted(all.begin(), all.end()) ? std::vector<std::int64_t>{} : all;
      views_.insert_or_assign(y, made);
      if (!made.perm.empty() && uses_.readers(y).size() > 1) static_cast<void>(written(y));
      return true;
    }
    if (n.op == "Squeeze" && plain) {
      const auto list = axes(n, rank(x));
      if (!list || list->empty()) return false;
      made.squeezed = *list;
      views_.insert_or_assign(y, made);
      return true;
    }
    if (n.op == "Unsqueeze" && !made.squeezed.empty()) {
      const auto list = axes(n, std::nullopt);
      if (!list || *list != made.squeezed) return false;
      made.squeezed.clear();
      views_.insert_or_assign(y, made);
      return true;
    }
    return false;
  }

  /// A weight that meets a view of rank `r`, as it meets the view's source.
  [[nodiscard]] std::optional<std::string> moved_weight(const std::string& name, const view& v,
                                                        std::size_t r) {
    const any_tensor& w = *m_.find_weight(name);
    if (w.shape().rank() > r) return std::nullopt;
    // The weight gives the result more dimensions than the view has.
    if (!v.perm.empty() && v.perm.size() != r + v.squeezed.size()) return std::nullopt;
    if (w.shape().elements() == 1 && w.shape().rank() <= 1) return name;
    const tensor<fp32>* t = w.get_if<fp32>();
    if (t == nullptr) return std::nullopt;
    // The view's dimensions, with those that went; then in the order of the source.
    shape wide;
    for (std::size_t d = 0; d < r + v.squeezed.size(); ++d) wide.push_back(1);
    const std::vector<std::int64_t> there = kept_dimensions(v.squeezed, r);
    for (std::size_t d = 0; d < w.shape().rank(); ++d)
      wide[static_cast<std::size_t>(there[d + r - w.shape().rank()])] = w.shape()[d];
    shape to = wide;
    if (!v.perm.empty()) {
      // Of more than one dimension the elements would move, too.
      if (std::count_if(wide.begin(), wide.end(), [](std::size_t d) { return d != 1; }) > 1)
        return std::nullopt;
      for (std::size_t d = 0; d < wide.rank(); ++d)
        to[static_cast<std::size_t>(v.perm[d])] = wide[d];
    }
    tensor<fp32> out(to);
    std::copy(t->span().begin(), t->span().end(), out.data());
    const std::string made = names_.fresh(name + ":moved");
    m_.set_weight(made, std::move(out));
    return made;
  }

  /// Functions of each element: they read the source, and the view is of what they make.
  bool follow(node& n) {
    static const std::set<std::string_view> alone{
        "Abs",      "Cast",     "Ceil",        "Clip",      "Elu",       "Erf",     "Exp",
        "Floor",    "Gelu",     "HardSigmoid", "HardSwish", "LeakyRelu", "Log",     "Mish",
        "Neg",      "Not",      "Reciprocal",  "Relu",      "Round",     "Sigmoid", "Sign",
        "Softplus", "Softsign", "Sqrt",        "Tanh"};
    static const std::set<std::string_view> pairs{"Add", "Div", "Max", "Min", "Mul", "Pow", "Sub"};
    if (!n.domain.empty() || n.outputs.size() != 1 || n.inputs.empty()) return false;
    const view* v = pending(n.inputs[0]);
    std::vector<std::string> inputs = n.inputs;
    if (alone.contains(n.op)) {
      if (v == nullptr || v->is_source()) return false;
      for (std::size_t i = 1; i < n.inputs.size(); ++i)  // bounds of Clip
        if (n.has_input(i) && m_.find_weight(n.inputs[i]) == nullptr) return false;
      inputs[0] = v->source;
    } else if (pairs.contains(n.op) && n.inputs.size() == 2) {
      const view* other = pending(n.inputs[1]);
      if (v == nullptr || v->is_source()) v = other;
      if (v == nullptr || v->is_source()) return false;
      const auto r = rank(n.outputs[0]);
      if (!r) return false;
      for (std::size_t i = 0; i < 2; ++i) {
        const view* own = pending(n.inputs[i]);
        if (own != nullptr && own->same(*v) && rank(n.inputs[i]) == r) {
          inputs[i] = own->source;
        } else if (m_.find_weight(n.inputs[i]) != nullptr) {
          const auto moved = moved_weight(n.inputs[i], *v, *r);
          if (!moved) return false;
          inputs[i] = *moved;
        } else {
          return false;
        }
      }
    } else if (n.op == "BatchNormalization" && v != nullptr && v->perm.empty() &&
               !v->squeezed.empty() && v->squeezed[0] >= 2) {
      inputs[0] = v->source;
    } else {
      return false;
    }
    const std::string y = n.outputs[0];
    view made = *v;
    made.done = false;
    made.source = names_.fresh(y + ":source");
    n.inputs = std::move(inputs);
    n.outputs[0] = made.source;
    m_.nodes.push_back(std::move(n));
    views_.insert_or_assign(y, made);
    if (!made.perm.empty() && uses_.readers(y).size() > 1) static_cast<void>(written(y));
    return true;
  }

  /// Reductions of a turned value: other axes of the source, where what remains keeps its order.
  bool reduce(node& n) {
    if (!n.domain.empty() || !n.op.starts_with("Reduce") || n.outputs.size() != 1 ||
        n.inputs.empty() || n.integer("keepdims", 1) != 0)
      return false;
    const view* v = pending(n.inputs[0]);
    const auto r = rank(n.inputs[0]);
    if (v == nullptr || v->perm.empty() || !r) return false;
    const auto list = axes(n, *r);
    if (!list || list->empty()) return false;
    // What the view lost is of one element: reducing it changes nothing.
    std::vector<std::int64_t> kept, reduced;
    for (const std::int64_t d : v->squeezed)
      reduced.push_back(v->perm[static_cast<std::size_t>(d)]);
    const std::vector<std::int64_t> there = kept_dimensions(v->squeezed, *r);
    for (std::size_t d = 0; d < *r; ++d) {
      const bool goes =
          std::binary_search(list->begin(), list->end(), static_cast<std::int64_t>(d));
      (goes ? reduced : kept).push_back(v->perm[static_cast<std::size_t>(there[d])]);
    }
    if (!std::is_sorted(kept.begin(), kept.end())) return false;
    std::sort(reduced.begin(), reduced.end());
    const bool attribute = n.attributes.contains("axes");
    n.inputs[0] = v->source;
    n.inputs.resize(1);
    give_axes(n, std::move(reduced), attribute ? m_.opset() + 1 : 0);
    m_.nodes.push_back(std::move(n));
    return true;
  }

  model m_;
  model typed_;
  value_uses uses_;
  value_names names_;
  execution_plan types_;
  std::map<std::string, view> views_;
};

}  // namespace detail

/// Moves Transpose and Squeeze behind functions of each element and into reductions, so that pairs
/// of them cancel and layers meet what follows them.
inline model move_layouts(model m) {
  return has_any(m, {"Transpose", "Squeeze"}) ? detail::layout_mover(std::move(m)).run() : m;
}

}  // namespace qtk::inline QTK_ABI::passes
