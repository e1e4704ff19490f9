#pragma once

#include <cmath>
#include <cstring>

#include "qtk/core/half.hpp"
#include "qtk/kernels/gemm_types.hpp"

namespace qtk::inline QTK_ABI {

/// y[i] = f(x[i]).
enum class unary_op : std::uint8_t { exp, tanh, sigmoid, erf, gelu, silu, relu, abs, negate, sqrt };
inline constexpr std::size_t unary_op_count = 10;

/// y[i] = a[i] op b[i].
enum class binary_op : std::uint8_t { add, subtract, multiply, divide, minimum, maximum };
inline constexpr std::size_t binary_op_count = 6;

/// Elementwise kernels of one ISA, all over contiguous memory of n elements. In-place is fine. None
/// allocates. Codes are exact: quantize_code() on every ISA; conversions are exact or round to
/// nearest even; transcendental functions state their bound in kernels/elementwise_body.inl.
struct elementwise_kernels {
  isa target;
  void (*minmax)(std::size_t n, const float* x, float* lo,
                 float* hi);  // NaN is ignored; n = 0: 0, 0
  void (*quantize_u8)(std::size_t n, const float* x, float scale, std::int32_t zero_point,
                      std::uint8_t* y);
  void (*quantize_s8)(std::size_t n, const float* x, float scale, std::int32_t zero_point,
                      std::int8_t* y);
  void (*dequantize_u8)(std::size_t n, const std::uint8_t* x, float scale, std::int32_t zero_point,
                        float* y);
  void (*dequantize_s8)(std::size_t n, const std::int8_t* x, float scale, std::int32_t zero_point,
                        float* y);
  void (*f16_to_f32)(std::size_t n, const half* x, float* y);
  void (*f32_to_f16)(std::size_t n, const float* x, half* y);
  void (*bf16_to_f32)(std::size_t n, const bfloat16* x, float* y);
  void (*f32_to_bf16)(std::size_t n, const float* x, bfloat16* y);
  void (*unary[unary_op_count])(std::size_t n, const float* x, float* y);
  void (*binary[binary_op_count])(std::size_t n, const float* a, const float* b, float* y);
  /// The same with one scalar on the right: y[i] = a[i] op b.
  void (*binary_scalar[binary_op_count])(std::size_t n, const float* a, float b, float* y);
  /// y = f(x + residual) with `epilogue::bias` unused; residual may be null.
  void (*activate)(std::size_t n, const float* x, const epilogue& e, float* y);
  /// y[i] = exp(x[i] - max x) / sum: one row.
  void (*softmax)(std::size_t n, const float* x, float* y);
  /// y[i] = (x[i] - mean) / sqrt(var + epsilon) * gamma[i] + beta[i], mean and var (that of all, /
  /// n) of x: one row (Ba, Kiros, Hinton: Layer Normalization, 2016). Null gamma is 1, null beta 0.
  void (*layer_norm)(std::size_t n, const float* x, const float* gamma, const float* beta,
                     float epsilon, float* y);
  /// y[i] = x[i] / sqrt(mean of x^2 + epsilon) * gamma[i]: one row (Zhang, Sennrich: Root Mean
  /// Square Layer Normalization, 2019). Null gamma is 1.
  void (*rms_norm)(std::size_t n, const float* x, const float* gamma, float epsilon, float* y);
  /// Sum in double of x, and of x * x where `squares` isn't null.
  double (*sum)(std::size_t n, const float* x, double* squares);
};

/// The elementwise kernels of `i`, or of the best ISA below that has them.
[[nodiscard]] QTK_KERNEL_FUNCTION const elementwise_kernels& find_elementwise(isa i);

/// Register-only loops that run the multiply-add instructions of an ISA's kernels and nothing else.
/// Each does `rounds` rounds and returns the operations it did (a multiply-add counts two).
struct probe_kernels {
  isa target;
  double (*fp32)(std::size_t rounds);
  double (*bf16)(
      std::size_t rounds);  // of the bf16_bf16 kernel: as fp32 where the CPU has no other
  double (*int8)(std::size_t rounds);  // the sequence of the u8_s8 kernel
  /// Sum of the 64-bit words of a buffer, by vector loads: what reading memory costs.
  std::uint64_t (*read)(const std::byte* p, std::size_t size_bytes);
};
[[nodiscard]] QTK_KERNEL_FUNCTION const probe_kernels& find_probe(isa i);

}  // namespace qtk::inline QTK_ABI
