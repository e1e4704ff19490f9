#pragma once

#include "qtk/graph/ops/common.hpp"

/// Binders of products of matrices that no layer took over.
namespace qtk::inline QTK_ABI::graph_ops {

/// A Gemm or MatMul that passes::lower_layers left: says why no layer could take it.
inline bound_node bind_other_product(const op_context& ctx) {
  const node& n = ctx.node();
  if (ctx.constant(1) == nullptr) ctx.reject("weights that are not constant are not supported");
  if (n.op == "Gemm" && n.integer("transA", 0) != 0) ctx.reject("transA = 1 is not supported");
  ctx.reject(cat("weights of shape ", ctx.dims(1), " are not supported"));
}

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table product_ops() {
  static constexpr op_definition table[] = {
      {"Gemm", "", bind_other_product, 0, all_inputs},
      {"MatMul", "", bind_other_product, 0, all_inputs},
  };
  return table;
}
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops
