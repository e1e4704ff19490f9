#pragma once

#include "qtk/graph/ops/codes.hpp"
#include "qtk/graph/ops/integer_product.hpp"
#include "qtk/graph/ops/mixed_product.hpp"
#include "qtk/graph/ops/nbits.hpp"
#include "qtk/graph/ops/qlinear.hpp"

/// The family of operators on codes: Q/DQ, integer products.
namespace qtk::inline QTK_ABI::graph_ops {

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table quantized_ops() {
  constexpr input_mask scales = input_bit(1) | input_bit(4) | input_bit(6);
  static constexpr op_definition table[] = {
      {"ConvInteger", "", bind_conv_integer},
      {"DequantizeLinear", "", bind_dequantize_linear, 0, input_bit(1)},
      {"DequantizeLinear", microsoft_domain, bind_dequantize_linear, 0, input_bit(1)},
      {"DynamicQuantizeMatMul", microsoft_domain, bind_dynamic_quantize_matmul, 0, all_inputs},
      {"DynamicQuantizeLinear", "", bind_dynamic_quantize_linear},
      {"MatMulInteger", "", bind_matmul_integer},
      {"MatMulIntegerToFloat", microsoft_domain, bind_matmul_integer_to_float, 0, all_inputs},
      {"MatMulNBits", microsoft_domain, bind_matmul_nbits,
       input_bit(1) | input_bit(2) | input_bit(3) | input_bit(4), all_inputs},
      {"QGemm", microsoft_domain, bind_qgemm},
      {"QLinearAdd", microsoft_domain, bind_qlinear_binary<binary_op::add>},
      {"QLinearAveragePool", microsoft_domain, bind_qlinear_average_pool},
      {"QLinearConcat", microsoft_domain, bind_qlinear_concat},
      {"QLinearGlobalAveragePool", microsoft_domain, bind_qlinear_global_average_pool},
      {"QLinearLeakyRelu", microsoft_domain, bind_qlinear_leaky_relu},
      {"QLinearMul", microsoft_domain, bind_qlinear_binary<binary_op::multiply>},
      {"QLinearSigmoid", microsoft_domain, bind_qlinear_sigmoid},
      {"QLinearSoftmax", microsoft_domain, bind_qlinear_softmax},
      {"QLinearConv", "", bind_qlinear_conv, 0, scales},
      {"QLinearMatMul", "", bind_qlinear_matmul, 0, scales},
      {"QuantizeLinear", "", bind_quantize_linear, 0, input_bit(0) | input_bit(1)},
      {"QuantizeLinear", microsoft_domain, bind_quantize_linear, 0, input_bit(0) | input_bit(1)},
  };
  return table;
}
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops
