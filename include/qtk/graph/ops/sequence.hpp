#pragma once

#include "qtk/graph/ops/common.hpp"

/// Binders of recurrent layers and attention.
namespace qtk::inline QTK_ABI::graph_ops {

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table sequence_ops() { return {}; }
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops
