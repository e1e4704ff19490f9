#pragma once

#include <span>
#include <string_view>
#include <utility>

#include "qtk/graph/passes/attention.hpp"
#include "qtk/graph/passes/common.hpp"
#include "qtk/graph/passes/fold.hpp"
#include "qtk/graph/passes/fuse.hpp"
#include "qtk/graph/passes/layout.hpp"
#include "qtk/graph/passes/lower.hpp"
#include "qtk/graph/passes/nbits.hpp"
#include "qtk/graph/passes/recognize.hpp"
#include "qtk/graph/passes/requantize.hpp"
#include "qtk/graph/passes/static_inputs.hpp"

namespace qtk::inline QTK_ABI {

/// A named rewrite, model to model. No pass changes what the model computes (beyond the rounding of
/// folded constants) and none knows the CPU.
struct pass {
  std::string_view name, what;
  model (*run)(model);
  /// Makes operators that only a session here knows: not for models that are written to a file.
  bool own_operators = false;
};

/// The passes that a session runs before it packs, in order. Those that make own operators come
/// last.
[[nodiscard]] inline std::span<const pass> default_passes() {
  static constexpr pass table[] = {
      {"remove_dead", "nodes and weights that no output needs", passes::remove_dead},
      {"remove_identity", "Identity, and Dropout at inference", passes::remove_identity},
      {"fold_stored_formats", "dequantized weights stay in their stored format",
       passes::fold_stored_formats},
      {"lower_matmul_nbits", "MatMulNBits becomes MatMul by weights of 4 bits",
       passes::lower_matmul_nbits},
      {"fold_constants", "nodes that read only weights run once", passes::fold_constants},
      {"lower_layers", "Conv, Gemm and MatMul on weights become layers", passes::lower_layers},
      {"remove_dead", "what led to the weights that layers now hold", passes::remove_dead},
      {"remove_duplicates", "nodes that compute the same become one", passes::remove_duplicates},
      {"move_layouts", "Transpose and Squeeze go behind functions of each element, pairs cancel",
       passes::move_layouts},
      {"fuse_batch_norm", "BatchNormalization goes into the weights before it",
       passes::fuse_batch_norm},
      {"fuse_factor", "Mul by a constant per channel goes into the weights before it",
       passes::fuse_factor},
      {"fuse_bias", "Add of a constant per channel becomes a bias", passes::fuse_bias},
      {"fuse_residual", "Add of another value becomes a residual", passes::fuse_residual},
      {"fuse_activation", "Relu, LeakyRelu and Clip go into the layer before them",
       passes::fuse_activation},
      {"fuse_factor", "the same behind ReLU and leaky ReLU", passes::fuse_factor},
      {"fuse_static_inputs", "layers quantize by the scales in the file and multiply integers",
       passes::fuse_static_inputs},
      {"remove_dead", "nodes and weights that no output needs", passes::remove_dead},
      {"fuse_requantize", "values between layers of fixed scales stay codes",
       passes::fuse_requantize, true},
      {"fuse_gelu", "x / 2 * (1 + erf(x / sqrt(2))), or with tanh, by its parts becomes Gelu",
       passes::fuse_gelu, true},
      {"fuse_layer_norm", "LayerNormalization is recognized by its parts", passes::fuse_layer_norm,
       true},
      {"fuse_attention",
       "softmax(scale * Q K^T + mask) V, with its heads cut and joined, is Attention",
       passes::fuse_attention, true},
      {"fuse_lookup", "a layer of OneHot reads rows of its weights", passes::fuse_lookup, true},
  };
  return table;
}

/// Runs the default passes but those that make own operators, so that the model can be written.
/// Idempotent.
[[nodiscard]] inline model optimize(model m) {
  for (const pass& p : default_passes())
    if (!p.own_operators) m = p.run(std::move(m));
  sort_nodes(m);
  return m;
}

/// Runs all default passes, for a session.
[[nodiscard]] inline model optimize_to_run(model m) {
  m = optimize(std::move(m));
  for (const pass& p : default_passes())
    if (p.own_operators) m = p.run(std::move(m));
  return m;
}

}  // namespace qtk::inline QTK_ABI
