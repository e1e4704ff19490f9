#pragma once

#include <cmath>
#include <utility>

#include "qtk/graph/ops/gate_function.hpp"
#include "qtk/graph/ops/matmul_shapes.hpp"
#include "qtk/ops/product.hpp"

/// Binders of products that Microsoft's optimizers fused with what stands before or after them.
namespace qtk::inline QTK_ABI::graph_ops {

/// FusedMatMul: y = alpha * A' * B', where a matrix of A or B may be taken transposed.
inline bound_node bind_fused_matmul(const op_context& ctx) {
  const node& n = ctx.node();
  for (std::size_t i = 0; i < 2; ++i) ctx.expect(i, dtype::fp32);
  QTK_CHECK(n.integer("transBatchA", 0) == 0 && n.integer("transBatchB", 0) == 0, n.label(),
            "transposed batches are not supported");
  const auto turned = [&](std::size_t i, const char* key) {
    return n.integer(key, 0) != 0 && ctx.dims(i).rank() >= 2;
  };
  const auto matrices = [&](std::size_t i, bool turn) {
    shape s = ctx.dims(i);
    if (turn) std::swap(s[s.rank() - 1], s[s.rank() - 2]);
    return s;
  };
  const bool turn_a = turned(0, "transA"), turn_b = turned(1, "transB");
  const shape a = matrices(0, turn_a);
  const matmul_shapes s(ctx, a, matrices(1, turn_b));
  const product_f32 product(s.M, s.N, s.K, !turn_b, ctx.target());
  const std::size_t matrix = s.M * s.K, total = a.elements();
  const std::size_t copy = turn_a ? round_up(checked_mul(total, sizeof(float)), 64) : 0;
  bound_node b{.outputs = {{dtype::fp32, s.y}},
               .run =
                   [=, tile = s.M * s.N, alpha = n.number("alpha", 1.0f)](const node_buffers& io) {
                     const float* left = io.in<float>(0);
                     if (turn_a && total != 0) {
                       for (std::size_t i = 0; i < total; i += matrix)
                         copy_strided({s.M, s.K}, sizeof(float), io.inputs[0] + i * sizeof(float),
                                      {1, static_cast<std::ptrdiff_t>(s.M)},
                                      io.workspace + i * sizeof(float),
                                      {static_cast<std::ptrdiff_t>(s.K), 1});
                       left = reinterpret_cast<const float*>(io.workspace);
                     }
                     product.run(
                         s.products(), [&](std::size_t i) { return left + s.a_at(i); },
                         [&](std::size_t i) { return io.in<float>(1) + s.b_at(i); },
                         [&](std::size_t i) { return io.out<float>() + i * tile; },
                         io.workspace + copy, io.executor);
                     if (alpha != 1.0f)
                       for (std::size_t i = 0; i < s.products() * tile; ++i)
                         io.out<float>()[i] *= alpha;
                   },
               .workspace_bytes =
                   checked_add(copy, product.workspace_bytes(s.products(), ctx.concurrency()))};
  count_work(b, ctx, 2.0 * static_cast<double>(s.K));
  return b;
}

/// FusedGemm: Gemm, then a function of its result.
template <binder Gemm>
bound_node bind_fused_gemm(const op_context& ctx) {
  const node& n = ctx.node();
  ctx.expect(0, dtype::fp32);
  bound_node b = Gemm(ctx);
  const std::string name = n.text("activation", "");
  if (name.empty()) return b;
  int parameters = 0;
  gate_function f = gate_function::named(n, name, parameters);
  if (parameters > 0) f.alpha = n.number("activation_alpha", f.alpha);
  if (parameters > 1) f.beta = n.number("activation_beta", f.beta);
  b.run = [f, count = b.outputs[0].dims.elements(), &k = find_elementwise(ctx.target()),
           gemm = std::move(b.run)](const node_buffers& io) {
    gemm(io);
    f(k, count, io.out<float>());
  };
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
