// One family of operators, compiled once where QTK_EXTERN_GRAPH is set.
#define QTK_GRAPH_IMPLEMENTATION
#include "qtk/graph/ops/elementwise.hpp"
