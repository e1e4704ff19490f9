#pragma once

#include <span>
#include <string_view>
#include <utility>

#include "qtk/graph/passes/fold.hpp"
#include "qtk/graph/passes/fuse.hpp"
#include "qtk/graph/passes/lower.hpp"
#include "qtk/graph/passes/nbits.hpp"
#include "qtk/graph/passes/static_inputs.hpp"

namespace qtk::inline QTK_ABI {

/// A named rewrite, model to model. No pass changes what the model computes (beyond the rounding of
/// folded constants) and none knows the CPU.
struct pass {
  std::string_view name, what;
  model (*run)(model);
};

/// The passes that a session runs before it packs, in order.
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
      {"fuse_batch_norm", "BatchNormalization goes into the weights before it",
       passes::fuse_batch_norm},
      {"fuse_bias", "Add of a constant per channel becomes a bias", passes::fuse_bias},
      {"fuse_residual", "Add of another value becomes a residual", passes::fuse_residual},
      {"fuse_activation", "Relu, LeakyRelu and Clip go into the layer before them",
       passes::fuse_activation},
      {"fuse_static_inputs", "layers quantize by the scales in the file and multiply integers",
       passes::fuse_static_inputs},
      {"remove_dead", "nodes and weights that no output needs", passes::remove_dead},
  };
  return table;
}

/// Runs the default passes. Idempotent.
[[nodiscard]] inline model optimize(model m) {
  for (const pass& p : default_passes()) m = p.run(std::move(m));
  sort_nodes(m);
  return m;
}

}  // namespace qtk::inline QTK_ABI
