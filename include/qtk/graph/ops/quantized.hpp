#pragma once

#include "qtk/graph/ops/common.hpp"

/// Binders of operators on codes: Q/DQ, integer products.
namespace qtk::inline QTK_ABI::graph_ops {

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table quantized_ops() { return {}; }
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops
