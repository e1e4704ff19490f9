#pragma once

/// ONNX files: reading a trained model, writing it back smaller. Needs protozero (header only).
///
///     #include <qtk/graph.hpp>
///     #include <qtk/onnx.hpp>
///     int main() {
///       qtk::model model = qtk::onnx::load("model.onnx");
///       qtk::model small = qtk::quantize_dynamic<qtk::int8>(model);
///       qtk::onnx::save(small, "model.int8.onnx");      // any ONNX runtime reads it
///     }
///
/// Files of strangers are safe to open: see qtk::onnx::limits.

#include "qtk/graph.hpp"
#include "qtk/io/onnx_reader.hpp"
#include "qtk/io/onnx_writer.hpp"
