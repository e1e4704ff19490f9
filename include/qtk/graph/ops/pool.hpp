#pragma once

#include "qtk/graph/ops/elementwise.hpp"
#include "qtk/ops/pool.hpp"

/// Binders of pooling and reductions.
namespace qtk::inline QTK_ABI::graph_ops {

inline bound_node bind_pool(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  QTK_CHECK(x.rank() == 4, n.label(), "input ", x, " is not (batch, channels, height, width)");
  QTK_CHECK(n.outputs.size() == 1, n.label(), "the Indices output is not supported");
  QTK_CHECK(n.integers("kernel_shape").size() == 2, n.label(), "kernel_shape is not 2-D");
  const window_2d w = parse_window(n, x, 1, 1);
  const bool ceil = n.integer("ceil_mode", 0) != 0;
  // With ceil_mode the last window may hang over the end, but not start behind it.
  const auto extent = [&](std::size_t in, std::size_t begin, std::size_t end, std::size_t kernel,
                          std::size_t stride, std::size_t dilation) {
    const std::size_t out = window_2d::extent(in, begin + end, kernel, stride, dilation);
    const std::size_t covered = (out - 1) * stride + dilation * (kernel - 1) + 1;
    return out + (ceil && covered < in + begin + end && out * stride < in + begin);
  };
  const std::size_t oh =
      extent(x[2], w.pad_top, w.pad_bottom, w.kernel_h, w.stride_h, w.dilation_h);
  const std::size_t ow =
      extent(x[3], w.pad_left, w.pad_right, w.kernel_w, w.stride_w, w.dilation_w);
  const pool_kind kind = n.op == "MaxPool"                        ? pool_kind::max
                         : n.integer("count_include_pad", 0) != 0 ? pool_kind::average_with_padding
                                                                  : pool_kind::average;
  bound_node b{.outputs = {{dtype::fp32, {x[0], x[1], oh, ow}}},
               .run = [kind, w, x, oh, ow](const node_buffers& io) {
                 pool_2d(kind, w, x[0] * x[1], x[2], x[3], oh, ow, io.in<float>(0), io.out<float>(),
                         io.executor);
               }};
  count_work(b, ctx, static_cast<double>(w.kernel_h * w.kernel_w));
  return b;
}

/// Mean or maximum over all of (H, W, ...): y (batch, channels, 1, ...).
template <bool Max>
bound_node bind_global_pool(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const shape& x = ctx.dims(0);
  QTK_CHECK(x.rank() >= 3, ctx.node().label(), "input ", x, " has no plane");
  shape y = x;
  for (std::size_t d = 2; d < y.rank(); ++d) y[d] = 1;
  const std::size_t rows = x[0] * x[1], n = x.product(2, x.rank());
  QTK_CHECK(n > 0, ctx.node().label(), "input ", x, " is empty");
  bound_node b{.outputs = {{dtype::fp32, y}},
               .run = [rows, n, &k = find_elementwise(ctx.target())](const node_buffers& io) {
                 for (std::size_t r = 0; r < rows; ++r) {
                   const float* in = io.in<float>(0) + r * n;
                   if constexpr (Max) {
                     float lo = 0;
                     k.minmax(n, in, &lo, io.out<float>() + r);
                   } else {
                     io.out<float>()[r] =
                         static_cast<float>(k.sum(n, in, nullptr) / static_cast<double>(n));
                   }
                 }
               }};
  count_work(b, ctx, 0);
  b.flops = static_cast<double>(x.elements());
  return b;
}

/// Index of the largest element along `axis`; the first, or the last of equals.
inline bound_node bind_argmax(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  const std::size_t axis = x.axis(n.integer("axis", 0));
  QTK_CHECK(x[axis] > 0, n.label(), "axis ", axis, " of ", x, " is empty");
  const bool last = n.integer("select_last_index", 0) != 0;
  shape y;
  for (std::size_t d = 0; d < x.rank(); ++d)
    if (d != axis)
      y.push_back(x[d]);
    else if (n.integer("keepdims", 1) != 0)
      y.push_back(1);
  bound_node b{.outputs = {{dtype::int64, y}},
               .run = [outer = x.product(0, axis), count = x[axis],
                       inner = x.product(axis + 1, x.rank()), last](const node_buffers& io) {
                 auto* out = io.out<std::int64_t>();
                 for (std::size_t o = 0; o < outer; ++o)
                   for (std::size_t i = 0; i < inner; ++i) {
                     const float* column = io.in<float>(0) + o * count * inner + i;
                     std::size_t best = 0;
                     for (std::size_t k = 1; k < count; ++k)
                       if (column[k * inner] > column[best * inner] ||
                           (last && column[k * inner] == column[best * inner]))
                         best = k;
                     *out++ = static_cast<std::int64_t>(best);
                   }
               }};
  count_work(b, ctx, 0);
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
