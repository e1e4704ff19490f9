#pragma once

#include <algorithm>
#include <span>
#include <string_view>
#include <unordered_map>

#include "qtk/graph/op.hpp"

/// The operators that a session runs: one table a family, defined in the header of that family.
namespace qtk::inline QTK_ABI {

namespace graph_ops {
QTK_GRAPH_FUNCTION op_table layer_ops();        // layers.hpp: Linear and Conv with packed weights
QTK_GRAPH_FUNCTION op_table elementwise_ops();  // elementwise.hpp: arithmetic, comparisons, casts
QTK_GRAPH_FUNCTION op_table reduce_ops();       // reduce.hpp: sums, norms, softmax, arg max, losses
QTK_GRAPH_FUNCTION op_table layout_ops();       // layout.hpp: shapes, slices, gathers, scatters
QTK_GRAPH_FUNCTION op_table image_ops();      // image.hpp: convolution, pooling, resizing, signals
QTK_GRAPH_FUNCTION op_table product_ops();    // product.hpp: products of matrices of all kinds
QTK_GRAPH_FUNCTION op_table quantized_ops();  // quantized.hpp: QuantizeLinear, QLinear*, ...
QTK_GRAPH_FUNCTION op_table sequence_ops();   // sequence.hpp: recurrent layers, attention
QTK_GRAPH_FUNCTION op_table control_ops();    // control.hpp: If, Loop, Scan
}  // namespace graph_ops

[[nodiscard]] inline std::vector<const op_definition*> all_ops() {
  using namespace graph_ops;
  std::vector<const op_definition*> all;
  for (const op_table table :
       {layer_ops(), elementwise_ops(), reduce_ops(), layout_ops(), image_ops(), product_ops(),
        quantized_ops(), sequence_ops(), control_ops()})
    for (const op_definition& d : table) all.push_back(&d);
  return all;
}

/// Null where no session runs it.
[[nodiscard]] inline const op_definition* find_op(std::string_view op, std::string_view domain) {
  static const auto table = [] {
    std::unordered_map<std::string, const op_definition*> by_name;
    for (const op_definition* d : all_ops()) by_name.emplace(cat(d->domain, ".", d->op), d);
    return by_name;
  }();
  const auto it = table.find(cat(domain, ".", op));
  return it == table.end() ? nullptr : it->second;
}

/// Operators of ONNX that mean the same in all sets up to 7. Others changed until then: Add
/// broadcast along an attribute `axis`, BatchNormalization and Dropout trained unless told not to,
/// Reshape, Pad and Tile took attributes. Compared with all versions of the schemas in the package
/// onnx 1.23 (tests/cross_check/operator_sets.py, which also names where the schemas alone don't
/// tell); random and control-flow operators are left out.
[[nodiscard]] inline bool means_the_same_since_set_1(std::string_view op) {
  static constexpr std::string_view table[] = {"Abs",
                                               "ArgMax",
                                               "ArgMin",
                                               "AveragePool",
                                               "Ceil",
                                               "Clip",
                                               "Concat",
                                               "Constant",
                                               "Conv",
                                               "ConvTranspose",
                                               "DepthToSpace",
                                               "Elu",
                                               "Exp",
                                               "Flatten",
                                               "Floor",
                                               "Gather",
                                               "GlobalAveragePool",
                                               "GlobalMaxPool",
                                               "HardSigmoid",
                                               "Hardmax",
                                               "Identity",
                                               "InstanceNormalization",
                                               "LRN",
                                               "LeakyRelu",
                                               "Log",
                                               "LogSoftmax",
                                               "LpNormalization",
                                               "MatMul",
                                               "Max",
                                               "MaxPool",
                                               "Mean",
                                               "Min",
                                               "Neg",
                                               "Not",
                                               "Reciprocal",
                                               "ReduceL1",
                                               "ReduceL2",
                                               "ReduceLogSum",
                                               "ReduceLogSumExp",
                                               "ReduceMax",
                                               "ReduceMean",
                                               "ReduceMin",
                                               "ReduceProd",
                                               "ReduceSum",
                                               "ReduceSumSquare",
                                               "Relu",
                                               "Shape",
                                               "Sigmoid",
                                               "Size",
                                               "Slice",
                                               "Softmax",
                                               "Softplus",
                                               "Softsign",
                                               "SpaceToDepth",
                                               "Sqrt",
                                               "Squeeze",
                                               "Sum",
                                               "Tanh",
                                               "TopK",
                                               "Transpose",
                                               "Unsqueeze"};
  return std::find(std::begin(table), std::end(table), op) != std::end(table);
}

}  // namespace qtk::inline QTK_ABI

#if !defined(QTK_EXTERN_GRAPH)
#  include "qtk/graph/ops/all.hpp"  // the definitions come last
#endif
