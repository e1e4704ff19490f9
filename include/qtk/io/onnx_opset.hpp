#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "qtk/graph/passes/rewrite.hpp"

/// Raising the operator set of a model: what newer sets changed in the operators that qtk runs.
/// Source: docs/Changelog.md of onnx/onnx.
namespace qtk::inline QTK_ABI::onnx {

/// Never raised beyond: the table below was checked up to here.
inline constexpr std::int64_t newest_opset = 22;

/// The IR version that came with an operator set, 4 at least: older ones list weights as inputs.
[[nodiscard]] constexpr std::int64_t ir_version_for(std::int64_t opset) noexcept {
  constexpr std::pair<std::int64_t, std::int64_t> since[] = {
      {25, 13}, {24, 12}, {23, 11}, {21, 10}, {19, 9}, {15, 8}, {12, 7}, {11, 6}, {10, 5}};
  for (const auto& [version, ir] : since)
    if (opset >= version) return ir;
  return 4;
}

namespace detail {

/// Operators whose meaning stays the same from set 7 to newest_opset: newer versions only take more
/// types, more inputs or more attributes.
[[nodiscard]] inline bool never_changed(std::string_view op) {
  constexpr std::string_view table[] = {"Abs",
                                        "Add",
                                        "ArgMax",
                                        "AveragePool",
                                        "Cast",
                                        "Concat",
                                        "Constant",
                                        "Conv",
                                        "Div",
                                        "Erf",
                                        "Exp",
                                        "Expand",
                                        "Flatten",
                                        "Gather",
                                        "Gemm",
                                        "GlobalAveragePool",
                                        "GlobalMaxPool",
                                        "Identity",
                                        "LeakyRelu",
                                        "MatMul",
                                        "Mul",
                                        "Neg",
                                        "Relu",
                                        "Reshape",
                                        "Shape",
                                        "Sigmoid",
                                        "Sqrt",
                                        "Sub",
                                        "Tanh",
                                        "Transpose",
                                        "DequantizeLinear"};
  return std::find(std::begin(table), std::end(table), op) != std::end(table);
}

class opset_raiser {
 public:
  opset_raiser(model& m, std::int64_t to) : m_(m), uses_(m), names_(m), from_(m.opset()), to_(to) {}

  void run() {
    std::vector<node> raised;
    for (node& n : m_.nodes) {
      if (!n.domain.empty())
        raised.push_back(std::move(n));
      else
        raise(std::move(n), raised);
    }
    m_.nodes = std::move(raised);
    m_.opsets[""] = to_;
  }

 private:
  /// Whether the operator changed in set `version`, which lies between.
  [[nodiscard]] bool crosses(std::int64_t version) const {
    return from_ < version && to_ >= version;
  }

  void raise(node n, std::vector<node>& out) {
    if (n.op == "Softmax" && crosses(13) && n.integer("axis", 1) != -1) return softmax(n, out);
    if (n.op == "Clip" && crosses(11)) {
      float_input(n, "min", 1);
      float_input(n, "max", 2);
    } else if (n.op == "Pad" && crosses(11)) {
      integer_input(n, "pads", 1);
      float_input(n, "value", 2);
    } else if (n.op == "Slice" && crosses(10)) {
      integer_input(n, "starts", 1);
      integer_input(n, "ends", 2);
      integer_input(n, "axes", 3);
    } else if ((n.op == "Squeeze" || n.op == "Unsqueeze") && crosses(13)) {
      integer_input(n, "axes", 1);
    } else if (n.op == "Dropout" && crosses(12)) {
      keep_first_output(n);         // the mask changed its type in set 10
      n.attributes.erase("ratio");  // an input now, without effect at inference
    } else if (n.op == "BatchNormalization") {
      if (crosses(9)) {
        QTK_CHECK(n.integer("spatial", 1) == 1, n.label(), "spatial = 0 was dropped in set 9");
        n.attributes.erase("spatial");
      }
      if (crosses(14)) keep_first_output(n);  // the others are for training
    } else if (n.op == "MaxPool") {
      if (crosses(8)) keep_first_output(n);
    } else {
      constexpr std::array same = {std::string_view("Softmax"), std::string_view("Clip"),
                                   std::string_view("Pad"),     std::string_view("Slice"),
                                   std::string_view("Squeeze"), std::string_view("Unsqueeze"),
                                   std::string_view("Dropout")};
      QTK_CHECK(never_changed(n.op) || std::find(same.begin(), same.end(), n.op) != same.end(),
                n.label(), "cannot be moved from operator set ", from_, " to ", to_);
    }
    out.push_back(std::move(n));
  }

  /// Until set 12, Softmax(axis) normalized over all dimensions from `axis` on: the rows of a
  /// matrix, which the new one does too.
  void softmax(const node& n, std::vector<node>& out) {
    QTK_CHECK(n.inputs.size() == 1 && n.outputs.size() == 1, n.label(), "has one input");
    const std::string &x = n.inputs[0], &y = n.outputs[0];
    const std::string dims = names_.fresh(y + ":shape"), matrix = names_.fresh(y + ":matrix"),
                      rows = names_.fresh(y + ":rows");
    const auto add = [&](std::string op, std::vector<std::string> inputs,
                         const std::string& output) {
      node made;
      made.op = std::move(op);
      made.name = output == y ? n.name : output;
      made.inputs = std::move(inputs);
      made.outputs = {output};
      out.push_back(std::move(made));
    };
    add("Shape", {x}, dims);
    add("Flatten", {x}, matrix);
    out.back().attributes.emplace("axis", n.integer("axis", 1));
    add("Softmax", {matrix}, rows);
    out.back().attributes.emplace("axis", std::int64_t{-1});
    add("Reshape", {rows, dims}, y);
  }

  void keep_first_output(node& n) {
    for (std::size_t i = 1; i < n.outputs.size(); ++i)
      QTK_CHECK(n.outputs[i].empty() ||
                    (uses_.readers(n.outputs[i]).empty() && !uses_.is_output(n.outputs[i])),
                n.label(), "output '", n.outputs[i], "' cannot be moved from operator set ", from_,
                " to ", to_);
    n.outputs.resize(std::min<std::size_t>(n.outputs.size(), 1));
  }

  void integer_input(node& n, const std::string& key, std::size_t input) {
    const auto* values = n.find<std::vector<std::int64_t>>(key);
    if (values == nullptr) return;
    tensor<int64> t({values->size()});
    std::copy(values->begin(), values->end(), t.data());
    as_input(n, key, input, std::move(t));
  }
  void float_input(node& n, const std::string& key, std::size_t input) {
    if (const auto* value = n.find<float>(key)) as_input(n, key, input, tensor<fp32>({}, {*value}));
  }
  void as_input(node& n, const std::string& key, std::size_t input, any_tensor t) {
    const std::string weight =
        names_.fresh(cat(n.outputs.empty() ? n.name : n.outputs[0], ":", key));
    m_.set_weight(weight, std::move(t));
    passes::set_input(n, input, weight);
    n.attributes.erase(key);
  }

  model& m_;
  value_uses uses_;
  passes::value_names names_;
  std::int64_t from_, to_;
};

}  // namespace detail

/// The same model in operator set `version` or its own, whichever is newer. qtk::error names a node
/// whose operator is not known to mean the same there.
[[nodiscard]] inline model raise_opset(model m, std::int64_t version) {
  const std::int64_t from = m.opset();
  if (version <= from) return m;
  QTK_CHECK(from >= 7 && version <= newest_opset, "model", "operator set ", from,
            " cannot be raised to ", version, ", only 7 and newer to ", newest_opset, " at most");
  detail::opset_raiser(m, version).run();
  return m;
}

}  // namespace qtk::inline QTK_ABI::onnx
