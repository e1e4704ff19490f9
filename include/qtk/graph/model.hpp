#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "qtk/core/tensor.hpp"

/// The graph: ONNX-shaped nodes that name the values between them. A model is a value; copying one
/// is cheap, because weights are shared and never changed in place. Passes map a model to a model.
namespace qtk::inline QTK_ABI {

struct subgraph;

using attribute =
    std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>, std::vector<float>,
                 std::vector<std::string>, any_tensor, std::shared_ptr<const subgraph>>;

/// Nodes of the operator set of ONNX have the empty domain; those that passes make have this one.
///   Linear  (x, w (N, K), bias?, residual?)           y = f(x * w^T + bias + residual)
///   Conv    (x, w (O, I, kh, kw), bias?, residual?)   attributes of ONNX Conv
/// both with `activation` ("relu", "leaky_relu", "clip"; absent: none), `alpha`, `lo`, `hi`, and
/// `compute` ("int8": integer products of uint8 activations and the codes of the weights; absent:
/// fp32). Activations are quantized by `x_scale` and `x_zero_point`, where they are given, else by
/// their range at run time; with those, the residual by `r_scale` and `r_zero_point`, the output by
/// `y_scale` and `y_zero_point`. Scales are of uint8 codes; an input or a residual that has some
/// may come as such, and an output that has some leaves as such.
inline constexpr std::string_view qtk_domain = "qtk";

/// Microsoft's operators beside those of ONNX (onnxruntime, docs/ContribOperators.md).
inline constexpr std::string_view microsoft_domain = "com.microsoft";

struct node {
  std::string op, name, domain;
  std::vector<std::string> inputs;  // "" stands for an optional input that is absent
  std::vector<std::string> outputs;
  std::map<std::string, attribute, std::less<>> attributes;
  /// So many of the last inputs are values of the graph that subgraphs of this node read (If, Loop,
  /// Scan): named here, whoever looks at inputs sees all that the node depends on.
  std::size_t captures = 0;

  /// "Conv 'layer1.conv'": for messages.
  [[nodiscard]] std::string label() const {
    return cat(domain.empty() ? "" : domain + ".", op, " '", name, "'");
  }
  [[nodiscard]] bool is(std::string_view o, std::string_view d = {}) const noexcept {
    return op == o && domain == d;
  }
  [[nodiscard]] bool has_input(std::size_t i) const noexcept {
    return i < inputs.size() && !inputs[i].empty();
  }

  /// The attribute, or null where absent; qtk::error where it has another type.
  template <class T>
  [[nodiscard]] const T* find(std::string_view key) const {
    const auto it = attributes.find(key);
    if (it == attributes.end()) return nullptr;
    const T* value = std::get_if<T>(&it->second);
    QTK_CHECK(value != nullptr, label(), "attribute '", key, "' has an unexpected type");
    return value;
  }
  template <class T>
  [[nodiscard]] T get(std::string_view key, T fallback) const {
    const T* value = find<T>(key);
    return value != nullptr ? *value : std::move(fallback);
  }
  [[nodiscard]] std::int64_t integer(std::string_view key, std::int64_t fallback) const {
    return get<std::int64_t>(key, fallback);
  }
  [[nodiscard]] float number(std::string_view key, float fallback) const {
    return get<float>(key, fallback);
  }
  [[nodiscard]] std::string text(std::string_view key, std::string fallback) const {
    return get<std::string>(key, std::move(fallback));
  }
  [[nodiscard]] std::vector<std::int64_t> integers(std::string_view key) const {
    return get<std::vector<std::int64_t>>(key, {});
  }
};

/// Names the node in an error that f() raises, unless the error already does.
template <class Function>
auto in_node([[maybe_unused]] const node& n, Function&& f) {
#if QTK_HAS_EXCEPTIONS
  try {
    return f();
  } catch (const error& e) {
    if (e.where() == n.label()) throw;
    fail(e.what(), n.label());
  }
#else
  return f();
#endif
}

/// One dimension of a graph input or output: a size, or a symbol such as "N" that each run binds.
struct dimension {
  std::optional<std::size_t> size;
  std::string symbol;
};

struct value_info {
  std::string name;
  qtk::dtype type = dtype::fp32;
  std::vector<dimension> dims;  // empty: of unknown rank
  bool untyped = false;         // of a body, where the file doesn't say: whatever comes
};

[[nodiscard]] inline std::string to_string(const value_info& v) {
  std::string out = cat(name(v.type), " [");
  for (std::size_t i = 0; i < v.dims.size(); ++i) {
    const dimension& d = v.dims[i];
    out += cat(i ? ", " : "", d.size ? cat(*d.size) : d.symbol.empty() ? "?" : d.symbol);
  }
  return out + "]";
}

/// A weight is immutable and shared between the models that passes derive from one another.
using weight = std::shared_ptr<const any_tensor>;

/// Version of a domain's operator set; 1 where it isn't listed.
[[nodiscard]] inline std::int64_t opset_of(const std::map<std::string, std::int64_t>& opsets,
                                           const std::string& domain) {
  const auto it = opsets.find(domain);
  return it == opsets.end() ? 1 : it->second;
}

struct model {
  std::string name, producer;
  std::map<std::string, std::int64_t> opsets;   // domain -> version
  std::map<std::string, std::string> metadata;  // written to the file as it is
  std::vector<value_info> inputs, outputs;      // inputs exclude weights
  std::vector<node> nodes;                      // in topological order
  std::map<std::string, weight, std::less<>> weights;

  [[nodiscard]] std::int64_t opset() const { return opset_of(opsets, ""); }
  /// Null where `value` isn't a weight.
  [[nodiscard]] const any_tensor* find_weight(std::string_view value) const {
    const auto it = weights.find(value);
    return it == weights.end() ? nullptr : it->second.get();
  }
  void set_weight(std::string value, any_tensor t) {
    weights.insert_or_assign(std::move(value), std::make_shared<any_tensor>(std::move(t)));
  }
  /// Takes the weight out of the model: without a copy where no other model shares it.
  [[nodiscard]] any_tensor take_weight(const std::string& value) {
    const weight w = std::move(weights.extract(value).mapped());
    // Made by set_weight, and nobody else will read it.
    if (w.use_count() == 1) return std::move(const_cast<any_tensor&>(*w));
    return *w;
  }
};

/// The body of an If, Loop or Scan, closed: what it reads of the graph around it are inputs, too.
struct subgraph {
  model body;  // inputs: those that the operator feeds, then the captured ones
  std::vector<std::size_t> captured;  // of each captured input: which input of the node it is
};

/// The value of the graph around `n` that its body `s` captures i-th; qtk::error where `n` lost it.
[[nodiscard]] inline const std::string& captured_value(const subgraph& s, const node& n,
                                                       std::size_t i) {
  QTK_CHECK(s.captured[i] < n.inputs.size(), n.label(), "its body reads input ", s.captured[i],
            " of ", n.inputs.size());
  return n.inputs[s.captured[i]];
}

/// Elements of all weights.
[[nodiscard]] inline std::size_t parameters(const model& m) {
  std::size_t n = 0;
  for (const auto& [name, w] : m.weights) n += w->shape().elements();
  return n;
}

/// Bytes of all weights, scales and zero points included.
[[nodiscard]] inline std::size_t weight_bytes(const model& m) {
  std::size_t n = 0;
  for (const auto& [name, w] : m.weights) n += w->size_bytes();
  return n;
}

/// Who makes and who reads each value of a model. Invalid once the model's nodes change.
class value_uses {
 public:
  explicit value_uses(const model& m) {
    for (std::size_t i = 0; i < m.nodes.size(); ++i) {
      for (const std::string& v : m.nodes[i].inputs)
        if (!v.empty()) readers_[v].push_back(i);
      for (const std::string& v : m.nodes[i].outputs) makers_.emplace(v, i);
    }
    for (const value_info& v : m.outputs) outputs_.insert(v.name);
  }
  /// Index of the node that makes `value`, if a node does.
  [[nodiscard]] std::optional<std::size_t> maker(const std::string& value) const {
    const auto it = makers_.find(value);
    return it == makers_.end() ? std::nullopt : std::optional(it->second);
  }
  [[nodiscard]] const std::vector<std::size_t>& readers(const std::string& value) const {
    static const std::vector<std::size_t> none;
    const auto it = readers_.find(value);
    return it == readers_.end() ? none : it->second;
  }
  [[nodiscard]] bool is_output(const std::string& value) const { return outputs_.contains(value); }
  /// The one node that reads `value`, where there is just one and the value isn't a graph output:
  /// the two can be fused.
  [[nodiscard]] std::optional<std::size_t> only_reader(const std::string& value) const {
    const auto& r = readers(value);
    return r.size() == 1 && !is_output(value) ? std::optional(r[0]) : std::nullopt;
  }

 private:
  std::unordered_map<std::string, std::size_t> makers_;
  std::unordered_map<std::string, std::vector<std::size_t>> readers_;
  std::set<std::string> outputs_;
};

/// Puts nodes in topological order (Kahn; ties keep their order). qtk::error that names a node of a
/// cycle, a value that nobody makes, or a value made twice.
inline void sort_nodes(model& m) {
  std::unordered_map<std::string_view, std::size_t> maker;
  for (std::size_t i = 0; i < m.nodes.size(); ++i)
    for (const std::string& v : m.nodes[i].outputs)
      if (!v.empty())
        QTK_CHECK(maker.emplace(v, i).second && m.find_weight(v) == nullptr, m.nodes[i].label(),
                  "value '", v, "' is made twice");
  std::set<std::string_view> given;
  for (const value_info& v : m.inputs) given.insert(v.name);
  std::vector<std::vector<std::size_t>> readers(m.nodes.size());
  std::vector<std::size_t> missing(m.nodes.size(), 0);
  for (std::size_t i = 0; i < m.nodes.size(); ++i)
    for (const std::string& v : m.nodes[i].inputs) {
      if (v.empty() || m.find_weight(v) != nullptr || given.contains(v)) continue;
      const auto it = maker.find(v);
      QTK_CHECK(it != maker.end(), m.nodes[i].label(), "input '", v, "' is made by no node");
      readers[it->second].push_back(i);
      ++missing[i];
    }
  std::set<std::size_t> ready;
  for (std::size_t i = 0; i < m.nodes.size(); ++i)
    if (missing[i] == 0) ready.insert(i);
  std::vector<std::size_t> order;
  while (!ready.empty()) {
    const std::size_t i = *ready.begin();
    ready.erase(ready.begin());
    order.push_back(i);
    for (const std::size_t r : readers[i])
      if (--missing[r] == 0) ready.insert(r);
  }
  for (std::size_t i = 0; i < m.nodes.size(); ++i)
    QTK_CHECK(missing[i] == 0, m.nodes[i].label(), "is part of a cycle");
  for (const value_info& v : m.outputs)
    QTK_CHECK(maker.contains(v.name) || given.contains(v.name) || m.find_weight(v.name) != nullptr,
              "graph", "output '", v.name, "' is made by no node");
  std::vector<node> sorted;
  sorted.reserve(m.nodes.size());
  for (const std::size_t i : order) sorted.push_back(std::move(m.nodes[i]));
  m.nodes = std::move(sorted);
}

}  // namespace qtk::inline QTK_ABI
