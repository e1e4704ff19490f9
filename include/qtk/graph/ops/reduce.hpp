#pragma once

#include <cmath>

#include "qtk/graph/ops/common.hpp"
#include "qtk/kernels/elementwise.hpp"

/// Binders of operators that reduce over axes or normalize along them.
namespace qtk::inline QTK_ABI::graph_ops {

/// y = (x - mean) / sqrt(var + epsilon) * scale + bias, per channel (axis 1), at inference.
inline bound_node bind_batch_norm(const op_context& ctx) {
  for (std::size_t i = 0; i < 5; ++i) ctx.expect(i, dtype::fp32);
  const shape& x = ctx.dims(0);
  QTK_CHECK(x.rank() >= 2, ctx.node().label(), "input ", x, " has no channels");
  QTK_CHECK(ctx.node().integer("training_mode", 0) == 0, ctx.node().label(), "training mode");
  for (std::size_t i = 1; i < 5; ++i)
    QTK_CHECK(ctx.dims(i).elements() == x[1], ctx.node().label(), "input ", i, " is ", ctx.dims(i));
  bound_node b{.outputs = {ctx.in(0)},
               .run =
                   [C = x[1], rows = x[0] * x[1], plane = x.product(2, x.rank()),
                    epsilon = ctx.node().number("epsilon", 1e-5f)](const node_buffers& io) {
                     const float* in = io.in<float>(0);
                     for (std::size_t r = 0; r < rows; ++r) {
                       const std::size_t c = r % C;
                       const float g = io.in<float>(1)[c] / std::sqrt(io.in<float>(4)[c] + epsilon);
                       const float mean = io.in<float>(3)[c], shift = io.in<float>(2)[c];
                       for (std::size_t i = r * plane; i < (r + 1) * plane; ++i)
                         io.out<float>()[i] = (in[i] - mean) * g + shift;
                     }
                   },
               .in_place = 0};
  count_work(b, ctx, 3);
  return b;
}

/// Softmax over `axis` (opset 13), or over all dimensions from `axis` on (earlier).
inline bound_node bind_softmax(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const shape& x = ctx.dims(0);
  const bool modern = ctx.opset() >= 13;
  const std::size_t axis = x.axis(ctx.node().integer("axis", modern ? -1 : 1));
  QTK_CHECK(!modern || x.product(axis + 1, x.rank()) == 1, ctx.node().label(), "over axis ", axis,
            " of ", x, ": supported is the last");
  const std::size_t n = x.product(axis, x.rank()), rows = x.product(0, axis);
  bound_node b{.outputs = {ctx.in(0)},
               .run =
                   [n, rows, f = find_elementwise(ctx.target()).softmax](const node_buffers& io) {
                     for (std::size_t r = 0; r < rows; ++r)
                       f(n, io.in<float>(0) + r * n, io.out<float>() + r * n);
                   },
               .in_place = 0};
  count_work(b, ctx, 4);
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

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table reduce_ops() {
  static constexpr op_definition table[] = {
      {"ArgMax", "", bind_argmax, 0, all_inputs},
      {"BatchNormalization", "", bind_batch_norm, 0, all_inputs},
      {"Softmax", "", bind_softmax, 0, all_inputs},
  };
  return table;
}
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops
