#pragma once

/// Defines what registry.hpp declares: every operator. A project with many translation units links
/// the library qtk::graph instead, which defines QTK_EXTERN_GRAPH.

#include "qtk/graph/ops/control.hpp"
#include "qtk/graph/ops/elementwise.hpp"
#include "qtk/graph/ops/image.hpp"
#include "qtk/graph/ops/layers.hpp"
#include "qtk/graph/ops/layout.hpp"
#include "qtk/graph/ops/product.hpp"
#include "qtk/graph/ops/quantized.hpp"
#include "qtk/graph/ops/reduce.hpp"
#include "qtk/graph/ops/sequence.hpp"
