#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "qtk/graph/ops/integer_product.hpp"
#include "qtk/kernels/elementwise.hpp"

/// Binders of Microsoft's products of codes whose results are real numbers again.
namespace qtk::inline QTK_ABI::graph_ops {

/// MatMulIntegerToFloat (A, B, a_scale, b_scale, a_zero_point, b_zero_point, bias): y = sum of
/// (a - a_zero) (b - b_zero) * a_scale * b_scale + bias, the sum exact in int32.
inline bound_node bind_matmul_integer_to_float(const op_context& ctx) {
  const matmul_shapes s(ctx, ctx.dims(0), ctx.dims(1));
  for (const std::size_t i : {std::size_t{2}, std::size_t{3}, std::size_t{6}})
    if (i != 6 || ctx.has(i)) ctx.expect(i, dtype::fp32);
  const std::size_t scales = ctx.dims(3).elements();
  QTK_CHECK(ctx.dims(2).elements() == 1 && (scales == 1 || scales == s.N) &&
                (!ctx.has(6) || ctx.dims(6).elements() == s.N),
            ctx.node().label(), "scales ", ctx.dims(2), ", ", ctx.dims(3), " for ", s.N,
            " columns are not supported");
  return integer_matmul(
      ctx, 0, 4, 1, 5, dtype::fp32, s,
      [scales](const node_buffers& io, std::size_t to, std::size_t, std::size_t n,
               std::int32_t sum) {
        const float scale = io.in<float>(2)[0] * io.in<float>(3)[scales == 1 ? 0 : n];
        const float* bias = io.in<float>(6);
        io.out<float>()[to] = static_cast<float>(sum) * scale + (bias != nullptr ? bias[n] : 0.0f);
      });
}

/// DynamicQuantizeMatMul (A, B, b_scale, b_zero_point, bias): A becomes uint8 codes as by
/// DynamicQuantizeLinear, then MatMulIntegerToFloat.
inline bound_node bind_dynamic_quantize_matmul(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const auto type_of = [&](std::size_t i) {
    return ctx.has(i) ? std::optional(ctx.in(i)) : std::nullopt;
  };
  const std::vector<std::optional<value_type>> a{type_of(0)};
  bound_node quantize = bind_prepared(ctx, a, bind_dynamic_quantize_linear);
  const std::vector<std::optional<value_type>> inner{
      quantize.outputs[0], type_of(1), quantize.outputs[1], type_of(2),
      quantize.outputs[2], type_of(3), type_of(4)};
  bound_node product = bind_prepared(ctx, inner, bind_matmul_integer_to_float);
  const std::size_t codes = round_up(ctx.dims(0).elements(), 64);
  bound_node b{.outputs = product.outputs, .run = {}};
  b.workspace_bytes = checked_add(checked_add(codes, 128), product.workspace_bytes);
  b.integer = true;
  b.run = [codes, quantize = std::move(quantize.run),
           product = std::move(product.run)](const node_buffers& io) {
    std::byte* made[3] = {io.workspace, io.workspace + codes, io.workspace + codes + 64};
    quantize({.inputs = io.inputs, .outputs = made, .workspace = nullptr, .executor = io.executor});
    const std::byte* in[7] = {made[0],
                              io.inputs[1],
                              made[1],
                              io.inputs[2],
                              made[2],
                              io.in<std::byte>(3),
                              io.in<std::byte>(4)};
    product({.inputs = in,
             .outputs = io.outputs,
             .workspace = io.workspace + codes + 128,
             .executor = io.executor});
  };
  count_work(b, ctx, 2.0 * static_cast<double>(ctx.dims(0).cols()));
  return b;
}

/// A real number as a code of y, whose scale is input 7 and whose zero point, if any, input 8.
template <class F>
[[nodiscard]] typename F::value_type quantized(const node_buffers& io, float real) {
  using T = typename F::value_type;
  const float zero = io.in<T>(8) != nullptr ? static_cast<float>(io.in<T>(8)[0]) : 0.0f;
  const float q = std::nearbyint(real / io.in<float>(7)[0]);
  return static_cast<T>(std::clamp((q != q ? 0.0f : q) + zero, static_cast<float>(F::code_min),
                                   static_cast<float>(F::code_max)));
}

/// QGemm (A, a_scale, a_zero, B, b_scale, b_zero, C, y_scale, y_zero): alpha * A' B' + C, C in
/// int32 of scale alpha * a_scale * b_scale; codes where y has a scale, else fp32.
inline bound_node bind_qgemm(const op_context& ctx) {
  const node& n = ctx.node();
  const shape &a = ctx.dims(0), &w = ctx.dims(3);
  QTK_CHECK(a.rank() == 2 && w.rank() == 2, n.label(), a, " times ", w);
  const bool turn_a = n.integer("transA", 0) != 0, turn_b = n.integer("transB", 0) != 0;
  const std::size_t M = a[turn_a ? 1 : 0], K = a[turn_a ? 0 : 1], N = w[turn_b ? 0 : 1];
  QTK_CHECK(w[turn_b ? 1 : 0] == K, n.label(), a, " times ", w);
  const shape y{M, N};
  strides from_c{};
  if (ctx.has(6)) {
    ctx.expect(6, dtype::int32);
    from_c = broadcast_strides(ctx.dims(6), y);
  }
  ctx.expect(1, dtype::fp32);
  ctx.expect(4, dtype::fp32);
  const std::size_t scales = ctx.dims(4).elements();
  QTK_CHECK(ctx.dims(1).elements() == 1 && (scales == 1 || scales == N), n.label(), "scales ",
            ctx.dims(1), ", ", ctx.dims(4));
  const bool coded = ctx.has(7), is_signed = ctx.has(8) && ctx.in(8).type == dtype::int8;
  if (coded) {
    ctx.expect(7, dtype::fp32);
    QTK_CHECK(ctx.dims(7).elements() == 1 &&
                  (!ctx.has(8) ||
                   (ctx.dims(8).elements() == 1 && (is_signed || ctx.in(8).type == dtype::uint8))),
              n.label(), "scale ", ctx.dims(7), " of y");
  }
  const code_input left(ctx, 0, 2, 1, 1), right(ctx, 3, 5, N, turn_b ? K : 1);
  bound_node b{.outputs = {{!coded      ? dtype::fp32
                            : is_signed ? dtype::int8
                                        : dtype::uint8,
                            y}},
               .run =
                   [=, alpha = n.number("alpha", 1.0f)](const node_buffers& io) {
                     auto* const x = reinterpret_cast<std::int32_t*>(io.workspace);
                     auto* const v = reinterpret_cast<std::int32_t*>(io.workspace + left.bytes());
                     left.widen(io, x);
                     right.widen(io, v);
                     for (std::size_t m = 0; m < M; ++m)
                       for (std::size_t c = 0; c < N; ++c) {
                         std::uint32_t sum = 0;
                         for (std::size_t k = 0; k < K; ++k)
                           sum += static_cast<std::uint32_t>(x[turn_a ? k * M + m : m * K + k]) *
                                  static_cast<std::uint32_t>(v[turn_b ? c * K + k : k * N + c]);
                         if (const auto* bias = io.in<std::int32_t>(6))
                           sum += static_cast<std::uint32_t>(
                               bias[static_cast<std::ptrdiff_t>(m) * from_c[0] +
                                    static_cast<std::ptrdiff_t>(c) * from_c[1]]);
                         const float real =
                             static_cast<float>(static_cast<std::int32_t>(sum)) *
                             (alpha * io.in<float>(1)[0] * io.in<float>(4)[scales == 1 ? 0 : c]);
                         const std::size_t to = m * N + c;
                         if (!coded)
                           io.out<float>()[to] = real;
                         else if (is_signed)
                           io.out<std::int8_t>()[to] = quantized<int8>(io, real);
                         else
                           io.out<std::uint8_t>()[to] = quantized<uint8>(io, real);
                       }
                   },
               .workspace_bytes = checked_add(left.bytes(), right.bytes()),
               .integer = true};
  count_work(b, ctx, 2.0 * static_cast<double>(K));
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
