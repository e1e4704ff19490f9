#pragma once

#include <cmath>

#include "qtk/graph/ops/norm.hpp"
#include "qtk/graph/ops/unary.hpp"

/// Binders of what Microsoft's optimizers fuse around transformers' layers, in fp32.
namespace qtk::inline QTK_ABI::graph_ops {

/// f(x + bias), bias over the last dimension: BiasGelu, FastGelu.
template <class F>
bound_node bind_biased(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const shape& x = ctx.dims(0);
  if (ctx.has(1)) {
    ctx.expect(1, dtype::fp32);
    QTK_CHECK(x.rank() >= 1 && ctx.dims(1) == shape({x.back()}), ctx.node().label(), "bias ",
              ctx.dims(1), " for ", x);
  }
  bound_node b{.outputs = {ctx.in(0)},
               .run =
                   [n = x.elements(), cols = x.cols()](const node_buffers& io) {
                     const float* const bias = io.in<float>(1);
                     for (std::size_t i = 0; i < n; ++i)
                       io.out<float>()[i] = F::of(
                           io.in<float>(0)[i] + (bias != nullptr ? bias[i % cols] : 0.0f), {});
                   },
               .in_place = 0};
  count_work(b, ctx, 8);
  return b;
}

/// RMSNormalization under its older name.
inline bound_node bind_simplified_layer_norm(const op_context& ctx) {
  QTK_CHECK(ctx.node().outputs.size() == 1, ctx.node().label(),
            "the inverse deviation is not supported");
  return bind_layer_norm<true>(ctx);
}

/// SkipLayerNormalization (x, skip, gamma, beta, bias) and, Rms, SkipSimplifiedLayerNormalization
/// (x, skip, gamma, bias): the norm of x + skip + bias over the last dimension. Outputs: y, mean,
/// inverse deviation, the sum.
template <bool Rms>
bound_node bind_skip_layer_norm(const op_context& ctx) {
  const node& n = ctx.node();
  constexpr std::size_t none = 64, beta = Rms ? none : 3, bias = Rms ? 3 : 4;
  const shape &x = ctx.dims(0), &skip = ctx.dims(1);
  for (std::size_t i = 0; i < 5; ++i)
    if (i < 3 || ctx.has(i)) ctx.expect(i, dtype::fp32);
  QTK_CHECK(x.rank() >= 1, n.label(), "input ", x);
  const std::size_t cols = x.back(), rows = x.rows();
  const auto row = [&](std::size_t i) {
    QTK_CHECK(!ctx.has(i) || ctx.dims(i).elements() == cols, n.label(), "input ", i, " is ",
              ctx.dims(i), " for ", x);
  };
  row(2);
  row(beta);
  row(bias);
  QTK_CHECK(broadcast_shape(skip, x) == x, n.label(), "skip ", skip, " for ", x);
  shape per_row = x;
  per_row[x.rank() - 1] = 1;
  bound_node b{.outputs = {{dtype::fp32, x},
                           {dtype::fp32, per_row},
                           {dtype::fp32, per_row},
                           {dtype::fp32, x}},
               .run = [x, rows, cols, from = broadcast_strides(skip, x),
                       epsilon = n.number("epsilon", 1e-12f),
                       &k = find_elementwise(ctx.target())](const node_buffers& io) {
                 float* const sum = io.out<float>(3);
                 map_broadcast(
                     x, sum, [](float p, float q) { return p + q; },
                     std::array<strides, 2>{row_major(x), from}, io.in<float>(0), io.in<float>(1));
                 for (std::size_t r = 0; r < rows; ++r) {
                   float *const in = sum + r * cols, *const out = io.out<float>() + r * cols;
                   if (const float* given = io.in<float>(bias))
                     for (std::size_t i = 0; i < cols; ++i) in[i] += given[i];
                   if constexpr (Rms)
                     k.rms_norm(cols, in, io.in<float>(2), epsilon, out);
                   else
                     k.layer_norm(cols, in, io.in<float>(2), io.in<float>(beta), epsilon, out);
                   const moments m = moments_of(cols, in);
                   const double power = Rms ? m.variance + m.mean * m.mean : m.variance;
                   io.out<float>(1)[r] = static_cast<float>(m.mean);
                   io.out<float>(2)[r] =
                       static_cast<float>(1 / std::sqrt(power + static_cast<double>(epsilon)));
                 }
               }};
  count_work(b, ctx, 6);
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
