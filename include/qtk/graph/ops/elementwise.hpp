#pragma once

#include <cmath>
#include <limits>

#include "qtk/graph/onnx_types.hpp"
#include "qtk/graph/ops/layers.hpp"
#include "qtk/ops/binary.hpp"

/// Binders of operators that work element by element.
namespace qtk::inline QTK_ABI::graph_ops {

/// Work of reading and writing `elements` floats with `per_element` operations each.
inline void count_work(bound_node& b, const op_context& ctx, double per_element) {
  double bytes = 0;
  for (std::size_t i = 0; i < ctx.inputs(); ++i)
    if (ctx.has(i)) bytes += static_cast<double>(size_bytes(ctx.in(i)));
  for (const value_type& out : b.outputs) bytes += static_cast<double>(size_bytes(out));
  b.bytes = bytes;
  b.flops = per_element * static_cast<double>(b.outputs[0].dims.elements());
}

template <unary_op Op>
bound_node bind_unary(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const std::size_t n = ctx.dims(0).elements();
  bound_node b{.outputs = {ctx.in(0)},
               .run = [n, f = find_elementwise(ctx.target()).unary[static_cast<std::size_t>(Op)]](
                          const node_buffers& io) { f(n, io.in<float>(0), io.out<float>()); },
               .in_place = 0};
  count_work(b, ctx, 1);
  return b;
}

/// Relu, LeakyRelu, Clip where no layer took them over.
inline bound_node bind_activation(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const node& n = ctx.node();
  epilogue e{.act = activation::relu};
  if (n.op == "LeakyRelu") {
    e.act = activation::leaky_relu;
    e.alpha = n.number("alpha", 0.01f);
  } else if (n.op == "Clip") {
    constexpr float all = std::numeric_limits<float>::infinity();
    e.act = activation::clip;
    e.lo = n.number("min", -all);
    e.hi = n.number("max", all);
    for (std::size_t i = 1; i <= 2; ++i)
      if (ctx.has(i)) {
        QTK_CHECK(ctx.constant(i) != nullptr, n.label(), "bounds must be known before the run");
        QTK_CHECK(ctx.constant(i)->shape().elements() == 1, n.label(), "a bound of shape ",
                  ctx.constant(i)->shape());
        (i == 1 ? e.lo : e.hi) = ctx.constant(i)->as<fp32>().data()[0];
      }
  }
  const std::size_t count = ctx.dims(0).elements();
  bound_node b{
      .outputs = {ctx.in(0)},
      .run = [count, e, f = find_elementwise(ctx.target()).activate](
                 const node_buffers& io) { f(count, io.in<float>(0), e, io.out<float>()); },
      .in_place = 0};
  count_work(b, ctx, 1);
  return b;
}

template <binary_op Op>
bound_node bind_binary(const op_context& ctx) {
  const value_type &a = ctx.in(0), &b = ctx.in(1);
  QTK_CHECK(a.type == b.type, ctx.node().label(), "operands are ", name(a.type), " and ",
            name(b.type));
  const shape y = broadcast_shape(a.dims, b.dims);
  bound_node out{.outputs = {{a.type, y}}, .run = {}};
  visit_format(a.type, [&](auto tag) {
    using T = typename decltype(tag)::value_type;
    if constexpr (std::is_arithmetic_v<T> && !decltype(tag)::quantized) {
      out.run = [a = a.dims, b = b.dims,
                 &k = find_elementwise(ctx.target())](const node_buffers& io) {
        binary<T>(Op, a, io.in<T>(0), b, io.in<T>(1), io.out<T>(), k);
      };
    } else {
      ctx.reject(cat("operands of ", name(decltype(tag)::id), " are not supported"));
    }
  });
  if (a.dims == y)
    out.in_place = 0;
  else if (b.dims == y)
    out.in_place = 1;
  count_work(out, ctx, 1);
  return out;
}

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

template <class From, class To>
[[nodiscard]] typename To::value_type convert(typename From::value_type x) noexcept {
  using T = typename To::value_type;
  if constexpr (std::is_same_v<From, fp16> || std::is_same_v<From, bf16>) {
    return convert<fp32, To>(to_float(x));
  } else if constexpr (std::is_same_v<To, fp16>) {
    return to_half(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, bf16>) {
    return to_bfloat16(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, boolean>) {
    return x != typename From::value_type{};
  } else if constexpr (std::is_floating_point_v<typename From::value_type> &&
                       std::is_integral_v<T>) {
    // C++ leaves what does not fit undefined.
    constexpr auto lo = static_cast<double>(std::numeric_limits<T>::min());
    constexpr auto hi = static_cast<double>(std::numeric_limits<T>::max());
    const auto v = static_cast<double>(x);
    if (v != v) return T{0};
    return v <= lo   ? std::numeric_limits<T>::min()
           : v >= hi ? std::numeric_limits<T>::max()
                     : static_cast<T>(v);
  } else {
    return static_cast<T>(x);
  }
}

/// Cast between fp32, fp16, bf16, fp64, integers and booleans, as C++ converts; floats go to
/// integers by truncation, out of range saturates, NaN becomes 0.
inline bound_node bind_cast(const op_context& ctx) {
  const std::int64_t type = ctx.node().integer("to", 0);
  const auto known = from_onnx_type(type);
  QTK_CHECK(known, ctx.node().label(), "data type ", type, " is not supported");
  const dtype to = *known;
  const value_type& in = ctx.in(0);
  const std::size_t n = in.dims.elements();
  bound_node b{.outputs = {{to, in.dims}}, .run = {}};
  if (to == in.type) {
    b.alias = 0;
    return b;
  }
  visit_format(in.type, [&]<class From>(From) {
    visit_format(to, [&]<class To>(To) {
      if constexpr (From::packed || To::packed) {
        ctx.reject(cat(name(From::id), " to ", name(To::id), " is not supported"));
      } else {
        b.run = [n](const node_buffers& io) {
          const auto* x = io.in<typename From::value_type>(0);
          auto* y = io.out<typename To::value_type>();
          for (std::size_t i = 0; i < n; ++i) y[i] = convert<From, To>(x[i]);
        };
      }
    });
  });
  count_work(b, ctx, 0);
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

}  // namespace qtk::inline QTK_ABI::graph_ops
