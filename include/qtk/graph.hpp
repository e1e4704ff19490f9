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
///
/// By data: fixed scales of activations, weights that make up for each other's errors.
///
///     qtk::calibrator seen(model, {.hessians = true});
///     const qtk::any_tensor batch(x);
///     seen.observe(std::span(&batch, 1));                       // as often as there are data
///     auto fixed = qtk::quantize_static<qtk::int8>(model, seen);
///     auto tiny = qtk::quantize_weights<qtk::int4>(
///         model, {.algorithm = qtk::weight_algorithm::gptq}, &seen);

#include "qtk/graph/layer_errors.hpp"
#include "qtk/graph/passes/calibrated.hpp"
#include "qtk/graph/passes/mixed.hpp"
#include "qtk/graph/passes/prune.hpp"
#include "qtk/graph/passes/quantize.hpp"
#include "qtk/graph/session.hpp"
