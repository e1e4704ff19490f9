#pragma once

#include <cmath>

#include "qtk/graph/convert.hpp"
#include "qtk/graph/onnx_types.hpp"
#include "qtk/graph/ops/common.hpp"
#include "qtk/ops/copy.hpp"

/// Binders of operators that make tensors: constants of a shape, ranges, masks.
namespace qtk::inline QTK_ABI::graph_ops {

/// A shape from integers of an input.
[[nodiscard]] inline shape shape_of(const op_context& ctx, const std::vector<std::int64_t>& dims) {
  shape s;
  QTK_CHECK(dims.size() <= shape::max_rank, ctx.node().label(), "rank ", dims.size(),
            " is not supported, at most ", shape::max_rank);
  for (const std::int64_t d : dims) {
    QTK_CHECK(d >= 0, ctx.node().label(), "dimension ", d);
    s.push_back(static_cast<std::size_t>(d));
  }
  return s;
}

inline bound_node bind_constant_of_shape(const op_context& ctx) {
  const shape y = shape_of(ctx, ctx.integers(0));
  any_tensor value = tensor<fp32>({1}, {0.0f});
  if (const auto* given = ctx.node().find<any_tensor>("value")) value = *given;
  QTK_CHECK(value.shape().elements() == 1, ctx.node().label(), "value of ", value.shape());
  const std::size_t size = element_size(ctx, value.dtype());
  std::vector<std::byte> element(value.data(), value.data() + size);
  bound_node b{.outputs = {{value.dtype(), y}},
               .run = [element, size, count = y.elements()](const node_buffers& io) {
                 fill_elements(io.outputs[0], count, element.data(), size);
               }};
  count_work(b, ctx, 0);
  return b;
}

/// start, start + delta, ... below (or above) limit.
inline bound_node bind_range(const op_context& ctx) {
  for (std::size_t i = 0; i < 3; ++i)
    QTK_CHECK(ctx.in(i).type == ctx.in(0).type && ctx.dims(i).elements() == 1, ctx.node().label(),
              "input ", i, " is ", name(ctx.in(i).type), " ", ctx.dims(i));
  bound_node b;
  visit_format(ctx.in(0).type, [&]<class F>(F) {
    using T = typename F::value_type;
    if constexpr (std::is_arithmetic_v<T> && !F::packed) {
      const auto value = [&](std::size_t i) { return ctx.value(i).as<F>().data()[0]; };
      const T start = value(0), delta = value(2);
      QTK_CHECK(delta != T{0}, ctx.node().label(), "delta is 0");
      const double steps = std::ceil((static_cast<double>(value(1)) - static_cast<double>(start)) /
                                     static_cast<double>(delta));
      QTK_CHECK(steps < 4e18, ctx.node().label(), steps, " elements");
      const auto count = static_cast<std::size_t>(std::max(0.0, steps));
      b.outputs = {{F::id, {count}}};
      b.run = [start, delta, count](const node_buffers& io) {
        for (std::size_t i = 0; i < count; ++i)
          io.out<T>()[i] = static_cast<T>(start + static_cast<T>(i) * delta);
      };
    } else {
      ctx.reject(cat("ranges of ", name(F::id), " are not supported"));
    }
  });
  return b;
}

/// Ones on the k-th diagonal.
inline bound_node bind_eye_like(const op_context& ctx) {
  const node& n = ctx.node();
  const shape x = ctx.dims(0);
  QTK_CHECK(x.rank() == 2, n.label(), "input ", x, " is no matrix");
  const std::int64_t k = n.integer("k", 0), type = n.integer("dtype", onnx_type(ctx.in(0).type));
  const auto known_type = from_onnx_type(type);
  QTK_CHECK(known_type, n.label(), "data type ", type, " is not supported");
  bound_node b{.outputs = {{*known_type, x}}, .run = {}};
  visit_format(*known_type, [&]<class F>(F) {
    using T = typename F::value_type;
    if constexpr (std::is_arithmetic_v<T> && !F::packed)
      b.run = [x, k](const node_buffers& io) {
        for (std::size_t r = 0; r < x[0]; ++r)
          for (std::size_t c = 0; c < x[1]; ++c)
            io.out<T>()[r * x[1] + c] =
                static_cast<std::int64_t>(c) - static_cast<std::int64_t>(r) == k ? T{1} : T{0};
      };
    else
      ctx.reject(cat("data type ", name(F::id), " is not supported"));
  });
  return b;
}

/// The triangle of matrices above (or below) the k-th diagonal, 0 elsewhere.
inline bound_node bind_trilu(const op_context& ctx) {
  const node& n = ctx.node();
  const shape x = ctx.dims(0);
  QTK_CHECK(x.rank() >= 2, n.label(), "input ", x, " holds no matrices");
  const std::int64_t k = ctx.has(1) ? ctx.one_integer(1) : 0;
  bound_node b{.outputs = {ctx.in(0)},
               .run = [batch = x.product(0, x.rank() - 2), rows = x[x.rank() - 2], cols = x.back(),
                       k, upper = n.integer("upper", 1) != 0,
                       size = element_size(ctx, ctx.in(0).type)](const node_buffers& io) {
                 const std::byte* in = io.inputs[0];
                 std::byte* out = io.outputs[0];
                 for (std::size_t i = 0; i < batch * rows; ++i)
                   for (std::size_t c = 0; c < cols; ++c, in += size, out += size) {
                     const std::int64_t diagonal =
                         static_cast<std::int64_t>(c) - static_cast<std::int64_t>(i % rows);
                     if (upper ? diagonal >= k : diagonal <= k)
                       std::memcpy(out, in, size);
                     else
                       std::memset(out, 0, size);
                   }
               }};
  count_work(b, ctx, 0);
  return b;
}

/// values[1] at the index along a new axis, values[0] elsewhere; negative indices count from depth.
inline bound_node bind_one_hot(const op_context& ctx) {
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  const any_tensor given = converted(ctx.value(1), dtype::int64);
  QTK_CHECK(given.shape().elements() == 1 && ctx.dims(2).elements() == 2, n.label(), "depth ",
            ctx.dims(1), ", values ", ctx.dims(2));
  const std::int64_t depth = given.as<int64>().data()[0];
  const auto rank = static_cast<std::int64_t>(x.rank()) + 1;
  const std::int64_t axis = n.integer("axis", -1);
  QTK_CHECK(depth >= 0 && axis >= -rank && axis < rank, n.label(), "depth ", depth, ", axis ",
            axis);
  const auto at = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
  shape y;
  for (std::size_t d = 0; d < x.rank() + 1; ++d)
    y.push_back(d == at ? static_cast<std::size_t>(depth) : x[d - (d > at)]);
  bound_node b{
      .outputs = {{ctx.in(2).type, y}},
      .run = [type = ctx.in(0).type, outer = x.product(0, at), depth,
              inner = x.product(at, x.rank()), total = y.elements(),
              size = element_size(ctx, ctx.in(2).type)](const node_buffers& io) {
        fill_elements(io.outputs[0], total, io.inputs[2], size);
        for (std::size_t o = 0; o < outer; ++o)
          for (std::size_t i = 0; i < inner; ++i) {
            std::int64_t k = 0;
            const std::size_t from = o * inner + i;
            convert_elements(type, io.inputs[0] + from * static_cast<std::size_t>(bits(type)) / 8,
                             dtype::int64, reinterpret_cast<std::byte*>(&k), 1);
            if (k < -depth || k >= depth) continue;
            k += k < 0 ? depth : 0;
            std::memcpy(
                io.outputs[0] +
                    ((o * static_cast<std::size_t>(depth) + static_cast<std::size_t>(k)) * inner +
                     i) *
                        size,
                io.inputs[2] + size, size);
          }
      }};
  count_work(b, ctx, 0);
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
