#pragma once

#include <optional>
#include <string>
#include <vector>

#include "qtk/graph/passes/fuse.hpp"
#include "qtk/graph/passes/recognize.hpp"

/// Attention that a file writes out by its parts becomes one operator of the domain qtk,
///   Attention   (Q, K, V, mask?)   attributes scale, q_num_heads, kv_num_heads as in ONNX,
/// which goes head by head and never holds the logits of all heads (Vaswani et al. 2017, eq. 1).
namespace qtk::inline QTK_ABI::passes {

namespace detail {

class attention_recognition {
 public:
  explicit attention_recognition(model m)
      : m_(std::move(m)),
        before_(m_),
        p_(before_),
        types_(before_),
        names_(m_),
        opset_(opset_of(before_.opsets, "")) {}

  model run() && {
    m_.nodes.clear();
    for (const node& n : before_.nodes) found_.push_back(recognize(n));
    // What the Transpose and Reshape behind a product of heads did, Attention does where they
    // stood.
    for (std::size_t i = 0; i < before_.nodes.size(); ++i)
      if (auto& f = found_[i]; f && f->root != i) {
        found_[f->root] = std::move(f);
        f.reset();
      }
    for (std::size_t i = 0; i < before_.nodes.size(); ++i)
      if (found_[i])
        put(before_.nodes[i], *found_[i]);
      else
        m_.nodes.push_back(before_.nodes[i]);
    return remove_dead(std::move(m_));
  }

 private:
  using permutation = std::vector<std::int64_t>;

  /// A factor of the two products: the value whose dimensions `order` permutes (empty: as they
  /// are), without what it was multiplied by.
  struct operand {
    std::string value;
    permutation order;
  };
  struct attention {
    operand q, k, v;
    std::string mask;
    double scale = 1;
    std::size_t heads = 0;  // 0: Q, K and V have a dimension of heads
    std::size_t root = 0;   // the node whose output it makes
  };

  /// The dimensions of a value where they are known, at binding i.
  [[nodiscard]] const shape* dims(const std::string& value, std::size_t i = 0) const {
    const value_type* t = types_.of(value, i);
    return t != nullptr && t->type == dtype::fp32 ? &t->dims : nullptr;
  }
  /// Whether f(dims of each value...) holds at both bindings of the symbols.
  template <class Function, class... Values>
  [[nodiscard]] bool always(Function f, const Values&... values) const {
    for (std::size_t i = 0; i < types_.bindings; ++i)
      if (((dims(values, i) == nullptr) || ...) || !f(*dims(values, i)...)) return false;
    return true;
  }

  /// Takes the numbers off that a value was multiplied or divided by, where they gave it no rank.
  [[nodiscard]] std::string unscaled(std::string value, double& scale) const {
    const auto same = [](const shape& a, const shape& b) { return a == b; };
    for (;;) {
      if (const auto product = p_.split(value, "Mul"); product && always(same, product->x, value)) {
        scale *= product->c;
        value = product->x;
      } else if (const auto quotient = p_.split(value, "Div");
                 quotient && quotient->c != 0 && always(same, quotient->x, value)) {
        scale /= quotient->c;
        value = quotient->x;
      } else {
        return value;
      }
    }
  }
  [[nodiscard]] operand look_through(const std::string& value, double& scale) const {
    const std::size_t rank = dims(value)->rank();
    operand o{unscaled(value, scale), permutation(rank)};
    for (std::size_t d = 0; d < rank; ++d) o.order[d] = static_cast<std::int64_t>(d);
    const node* turn = p_.made_by(o.value, "Transpose");
    if (turn == nullptr || turn->integers("perm").size() != rank) return o;
    return {unscaled(turn->inputs[0], scale), turn->integers("perm")};
  }

  /// Where (B, L, H, d) came from as (B, L, H * d); "" where it didn't.
  [[nodiscard]] std::string joined(const operand& o, double& scale) const {
    const node* reshape = p_.made_by(o.value, "Reshape");
    if (reshape == nullptr) return "";
    const bool splits = always(
        [](const shape& from, const shape& to) {
          return from.rank() == 3 && to.rank() == 4 && from[0] == to[0] && from[1] == to[1] &&
                 from[2] == to[2] * to[3];
        },
        reshape->inputs[0], o.value);
    return splits ? unscaled(reshape->inputs[0], scale) : "";
  }

  /// softmax(scale * Q K^T + mask) V where `product` is the last product.
  [[nodiscard]] std::optional<attention> recognize(const node& product) const {
    if (!product.is("MatMul") || product.inputs.size() != 2 || product.outputs.empty()) return {};
    const node* softmax = p_.made_by(product.inputs[0], "Softmax");
    if (softmax == nullptr || !p_.uses().only_reader(product.inputs[0])) return {};
    const shape* of = dims(softmax->inputs[0]);
    if (of == nullptr || (of->rank() != 3 && of->rank() != 4)) return {};
    const std::size_t rank = of->rank();
    const std::int64_t axis = softmax->integer("axis", opset_ >= 13 ? -1 : 1);
    if (axis != -1 && axis != static_cast<std::int64_t>(rank) - 1) return {};

    attention a;
    std::string logits = softmax->inputs[0];
    const node* scores = p_.made_by(unscaled(logits, a.scale), "MatMul");
    if (scores == nullptr) {
      const node* add = p_.made_by(logits, "Add");
      for (std::size_t i = 0; add != nullptr && scores == nullptr && i < 2; ++i) {
        a.scale = 1;
        logits = add->inputs[i];
        a.mask = add->inputs[1 - i];
        scores = p_.made_by(unscaled(logits, a.scale), "MatMul");
      }
    }
    if (scores == nullptr || scores->inputs.size() != 2) return {};
    if (!a.mask.empty() && !is_mask(a.mask, softmax->inputs[0])) return {};
    const std::string &q = scores->inputs[0], &k = scores->inputs[1], &v = product.inputs[1];
    const bool heads_match = always(
        [rank](const shape& Q, const shape& K, const shape& V, const shape& L) {
          for (const shape* s : {&Q, &K, &V, &L})
            if (s->rank() != rank) return false;
          for (std::size_t d = 0; d + 2 < rank; ++d)
            if (Q[d] != L[d] || K[d] != L[d] || V[d] != L[d]) return false;
          return true;
        },
        q, k, v, softmax->inputs[0]);
    if (!heads_match) return {};
    a.q = look_through(q, a.scale);
    a.k = look_through(k, a.scale);
    a.v = {v, {}};
    std::swap(a.k.order[rank - 1], a.k.order[rank - 2]);  // K of K^T
    a.root = static_cast<std::size_t>(&product - before_.nodes.data());
    if (rank == 3)
      a.heads = 1;
    else
      join_heads(product, v, a);
    return a;
  }

  /// Whether ONNX's Attention may add it to the logits: nothing but ones is broadcast.
  [[nodiscard]] bool is_mask(const std::string& mask, const std::string& logits) const {
    return always(
        [](const shape& m, const shape& all) {
          if (m.rank() < 1 || m.rank() > all.rank()) return false;
          for (std::size_t d = 0; d < m.rank(); ++d)
            if (m[d] != 1 && m[d] != all[d + all.rank() - m.rank()]) return false;
          return true;
        },
        mask, logits);
  }

  /// Q, K and V as they were before they were cut into heads, and Y after its heads are joined,
  /// where a file does so in the common way.
  void join_heads(const node& product, const std::string& v, attention& a) const {
    static const permutation cut{0, 2, 1, 3};
    double scale = a.scale, none = 1;
    const operand values = look_through(v, none);
    const std::string q = a.q.order == cut ? joined(a.q, scale) : "",
                      k = a.k.order == cut ? joined(a.k, scale) : "",
                      w = values.order == cut ? joined(values, none) : "";
    if (q.empty() || k.empty() || w.empty() || none != 1) return;
    const auto turn = p_.uses().only_reader(product.outputs[0]);
    if (!turn || !before_.nodes[*turn].is("Transpose") || before_.nodes[*turn].outputs.empty() ||
        before_.nodes[*turn].integers("perm") != cut)
      return;
    const auto reshape = p_.uses().only_reader(before_.nodes[*turn].outputs[0]);
    if (!reshape || !before_.nodes[*reshape].is("Reshape") ||
        before_.nodes[*reshape].outputs.empty())
      return;
    const bool joins = always(
        [](const shape& from, const shape& to) {
          return to.rank() == 3 && to[0] == from[0] && to[1] == from[2] &&
                 to[2] == from[1] * from[3];
        },
        product.outputs[0], before_.nodes[*reshape].outputs[0]);
    if (!joins) return;
    const std::size_t heads = (*dims(product.outputs[0]))[1];
    if (!always([heads](const shape& y) { return y[1] == heads; }, product.outputs[0])) return;
    a.heads = heads;
    a.q = {q, {}};
    a.k = {k, {}};
    a.v = {w, {}};
    a.scale = scale;
    a.root = *reshape;
  }

  /// A value in the order asked for, by a Transpose where that is another than its own.
  [[nodiscard]] std::string in_order(const operand& o) {
    bool own = true;
    for (std::size_t d = 0; d < o.order.size(); ++d)
      own = own && o.order[d] == static_cast<std::int64_t>(d);
    if (own) return o.value;
    const std::string to = names_.fresh(o.value + ":heads");
    add("Transpose", {o.value}, to).attributes.emplace("perm", o.order);
    return to;
  }
  node& add(std::string op, std::vector<std::string> inputs, const std::string& output) {
    node& n = m_.nodes.emplace_back();
    n.op = std::move(op);
    n.name = output;
    n.inputs = std::move(inputs);
    n.outputs = {output};
    return n;
  }

  void put(const node& root, const attention& a) {
    const std::string q = in_order(a.q), k = in_order(a.k), v = in_order(a.v);
    std::string mask = a.mask;
    if (a.heads == 1 && !mask.empty() && dims(mask)->rank() == 3) {  // (B, q, k): of one head
      const std::string axes = names_.fresh(mask + ":axes"), to = names_.fresh(mask + ":head");
      m_.set_weight(axes, tensor<int64>({1}, {1}));
      add("Unsqueeze", {mask, axes}, to);
      mask = to;
    }
    node n = own_operator(root, "Attention", {q, k, v, mask});
    n.attributes.emplace("scale", static_cast<float>(a.scale));
    if (a.heads != 0) {
      n.attributes.emplace("q_num_heads", static_cast<std::int64_t>(a.heads));
      n.attributes.emplace("kv_num_heads", static_cast<std::int64_t>(a.heads));
    }
    m_.nodes.push_back(std::move(n));
  }

  model m_;
  const model before_;
  parts p_;
  mutable types_on_demand types_;  // a classifier's Softmax never asks
  value_names names_;
  std::int64_t opset_;
  std::vector<std::optional<attention>> found_;
};

}  // namespace detail

/// softmax(scale * Q K^T + mask) V, with a Transpose and a Reshape for the heads of each or
/// without. (A row whose mask is -infinity everywhere gives zeros, as in ONNX's Attention, instead
/// of NaN.)
inline model fuse_attention(model m) {
  const bool any =
      std::any_of(m.nodes.begin(), m.nodes.end(), [](const node& n) { return n.is("Softmax"); });
  return any ? detail::attention_recognition(std::move(m)).run() : m;
}

}  // namespace qtk::inline QTK_ABI::passes
