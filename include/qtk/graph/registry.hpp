#pragma once

#include <span>

#include "qtk/graph/ops/elementwise.hpp"
#include "qtk/graph/ops/layers.hpp"
#include "qtk/graph/ops/layout.hpp"
#include "qtk/graph/ops/pool.hpp"

namespace qtk::inline QTK_ABI {

/// The operators that a session runs.
[[nodiscard]] inline std::span<const op_definition> all_ops() {
  using namespace graph_ops;
  static constexpr op_definition table[] = {
      {"Conv", qtk_domain, bind_conv},
      {"Linear", qtk_domain, bind_linear},
      {"Abs", "", bind_unary<unary_op::abs>},
      {"Add", "", bind_binary<binary_op::add>},
      {"ArgMax", "", bind_argmax},
      {"AveragePool", "", bind_pool},
      {"BatchNormalization", "", bind_batch_norm},
      {"Cast", "", bind_cast},
      {"Clip", "", bind_activation},
      {"Concat", "", bind_concat},
      {"Constant", "", bind_constant},
      {"Conv", "", bind_not_lowered},
      {"Div", "", bind_binary<binary_op::divide>},
      {"Dropout", "", bind_identity},
      {"Erf", "", bind_unary<unary_op::erf>},
      {"Exp", "", bind_unary<unary_op::exp>},
      {"Expand", "", bind_expand},
      {"Flatten", "", bind_flatten},
      {"Gather", "", bind_gather},
      {"Gemm", "", bind_not_lowered},
      {"GlobalAveragePool", "", bind_global_pool<false>},
      {"GlobalMaxPool", "", bind_global_pool<true>},
      {"Identity", "", bind_identity},
      {"LeakyRelu", "", bind_activation},
      {"MatMul", "", bind_not_lowered},
      {"MaxPool", "", bind_pool},
      {"Mul", "", bind_binary<binary_op::multiply>},
      {"Neg", "", bind_unary<unary_op::negate>},
      {"Pad", "", bind_pad},
      {"Relu", "", bind_activation},
      {"Reshape", "", bind_reshape},
      {"Shape", "", bind_shape},
      {"Sigmoid", "", bind_unary<unary_op::sigmoid>},
      {"Slice", "", bind_slice},
      {"Softmax", "", bind_softmax},
      {"Sqrt", "", bind_unary<unary_op::sqrt>},
      {"Squeeze", "", bind_squeeze},
      {"Sub", "", bind_binary<binary_op::subtract>},
      {"Tanh", "", bind_unary<unary_op::tanh>},
      {"Transpose", "", bind_transpose},
      {"Unsqueeze", "", bind_unsqueeze},
  };
  return table;
}

/// Null where no session runs it.
[[nodiscard]] inline const op_definition* find_op(std::string_view op, std::string_view domain) {
  for (const op_definition& d : all_ops())
    if (d.op == op && d.domain == domain) return &d;
  return nullptr;
}

}  // namespace qtk::inline QTK_ABI
