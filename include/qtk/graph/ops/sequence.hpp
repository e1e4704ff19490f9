#pragma once

#include "qtk/graph/ops/attention.hpp"
#include "qtk/graph/ops/contrib.hpp"
#include "qtk/graph/ops/recurrent.hpp"
#include "qtk/graph/ops/rotary.hpp"

/// The family of recurrent layers and attention.
namespace qtk::inline QTK_ABI::graph_ops {

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table sequence_ops() {
  static constexpr op_definition table[] = {
      {"Attention", "", bind_attention, 0, all_inputs},
      {"Attention", qtk_domain, bind_attention, 0, all_inputs},
      {"BiasGelu", microsoft_domain, bind_biased<functions::gelu_erf>, 0, all_inputs},
      {"CausalConvWithState", "", bind_causal_conv, 0, all_inputs},
      {"FastGelu", microsoft_domain, bind_biased<functions::gelu_tanh>, 0, all_inputs},
      {"GRU", "", bind_recurrent, input_bit(1) | input_bit(2), all_inputs},
      {"LSTM", "", bind_recurrent, input_bit(1) | input_bit(2), all_inputs},
      {"LinearAttention", "", bind_linear_attention, 0, all_inputs},
      {"RNN", "", bind_recurrent, input_bit(1) | input_bit(2), all_inputs},
      {"RotaryEmbedding", "", bind_rotary, 0, all_inputs},
      {"RotaryEmbedding", microsoft_domain, bind_microsoft_rotary, 0, all_inputs},
      {"SimplifiedLayerNormalization", "", bind_simplified_layer_norm, 0, all_inputs},
      {"SimplifiedLayerNormalization", microsoft_domain, bind_simplified_layer_norm, 0, all_inputs},
      {"SkipLayerNormalization", microsoft_domain, bind_skip_layer_norm<false>, 0, all_inputs},
      {"SkipSimplifiedLayerNormalization", microsoft_domain, bind_skip_layer_norm<true>, 0,
       all_inputs},
      {"SwiGLU", "", bind_swiglu, 0, all_inputs},
  };
  return table;
}
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops
