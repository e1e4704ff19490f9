#pragma once

/// Models: loading one (see qtk/onnx.hpp), making it smaller by passes, running it.
///
///     #include <qtk/graph.hpp>
///     #include <qtk/onnx.hpp>
///     auto model = qtk::onnx::load("model.onnx");
///     auto small = qtk::quantize_dynamic<qtk::int8>(model);     // the one-liner
///     qtk::session session(small);                              // packs, plans memory
///     qtk::tensor<qtk::fp32> x({1, 1, 28, 28});
///     auto y = session.run(x);
///     std::size_t bytes = session.memory(qtk::input_shapes(session.graph())).total();

#include "qtk/graph/layer_errors.hpp"
#include "qtk/graph/passes/mixed.hpp"
#include "qtk/graph/passes/prune.hpp"
#include "qtk/graph/passes/quantize.hpp"
#include "qtk/graph/session.hpp"
