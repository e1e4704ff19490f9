#pragma once

#include "qtk/graph/ops/choose.hpp"
#include "qtk/graph/ops/norm.hpp"
#include "qtk/graph/ops/reduction.hpp"

/// The family of operators that reduce over axes or normalize along them.
namespace qtk::inline QTK_ABI::graph_ops {

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table reduce_ops() {
  static constexpr op_definition table[] = {
      {"ArgMax", "", bind_arg<true>, 0, 0, all_inputs},
      {"ArgMin", "", bind_arg<false>, 0, 0, all_inputs},
      {"BatchNormalization", "", bind_batch_norm, 0, all_inputs},
      {"CumProd", "", bind_cumulative<true>, input_bit(1), 0, all_inputs},
      {"CumSum", "", bind_cumulative<false>, input_bit(1), 0, all_inputs},
      {"GroupNormalization", "", bind_group_norm, 0, all_inputs},
      {"Hardmax", "", bind_hardmax, 0, all_inputs},
      {"InstanceNormalization", "", bind_instance_norm, 0, all_inputs},
      {"LayerNormalization", "", bind_layer_norm<false>, 0, all_inputs},
      {"LogSoftmax", "", bind_log_softmax, 0, all_inputs},
      {"LpNormalization", "", bind_lp_norm, 0, all_inputs},
      {"LRN", "", bind_lrn, 0, all_inputs},
      {"MeanVarianceNormalization", "", bind_mean_variance_norm, 0, all_inputs},
      {"NegativeLogLikelihoodLoss", "", bind_nll_loss, 0, all_inputs},
      {"ReduceL1", "", bind_reduce<reductions::l1>, input_bit(1), 0, all_inputs},
      {"ReduceL2", "", bind_reduce<reductions::l2>, input_bit(1), 0, all_inputs},
      {"ReduceLogSum", "", bind_reduce<reductions::log_sum>, input_bit(1), 0, all_inputs},
      {"ReduceLogSumExp", "", bind_log_sum_exp, input_bit(1), 0, all_inputs},
      {"ReduceMax", "", bind_reduce<reductions::maximum>, input_bit(1), 0, all_inputs},
      {"ReduceMean", "", bind_reduce<reductions::mean>, input_bit(1), 0, all_inputs},
      {"ReduceMin", "", bind_reduce<reductions::minimum>, input_bit(1), 0, all_inputs},
      {"ReduceProd", "", bind_reduce<reductions::product>, input_bit(1), 0, all_inputs},
      {"ReduceSum", "", bind_reduce<reductions::sum>, input_bit(1), 0, all_inputs},
      {"ReduceSumSquare", "", bind_reduce<reductions::sum_square>, input_bit(1), 0, all_inputs},
      {"RMSNormalization", "", bind_layer_norm<true>, 0, all_inputs},
      {"Softmax", "", bind_softmax, 0, all_inputs},
      {"SoftmaxCrossEntropyLoss", "", bind_cross_entropy, 0, all_inputs},
      {"TopK", "", bind_top_k, input_bit(1), 0, all_inputs},
  };
  return table;
}
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops
