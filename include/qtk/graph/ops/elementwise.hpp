#pragma once

#include <cmath>
#include <limits>

#include "qtk/graph/convert.hpp"
#include "qtk/graph/onnx_types.hpp"
#include "qtk/graph/ops/common.hpp"
#include "qtk/kernels/elementwise.hpp"
#include "qtk/ops/binary.hpp"

/// Binders of operators that work element by element.
namespace qtk::inline QTK_ABI::graph_ops {

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
  b.run = [n, from = in.type, to](const node_buffers& io) {
    convert_elements(from, io.inputs[0], to, io.outputs[0], n);
  };
  count_work(b, ctx, 0);
  return b;
}

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table elementwise_ops() {
  static constexpr op_definition table[] = {
      {"Abs", "", bind_unary<unary_op::abs>, 0, true},
      {"Add", "", bind_binary<binary_op::add>},
      {"Cast", "", bind_cast},
      {"Clip", "", bind_activation, input_bit(1) | input_bit(2), true},
      {"Div", "", bind_binary<binary_op::divide>},
      {"Erf", "", bind_unary<unary_op::erf>, 0, true},
      {"Exp", "", bind_unary<unary_op::exp>, 0, true},
      {"LeakyRelu", "", bind_activation, 0, true},
      {"Mul", "", bind_binary<binary_op::multiply>},
      {"Neg", "", bind_unary<unary_op::negate>, 0, true},
      {"Relu", "", bind_activation, 0, true},
      {"Sigmoid", "", bind_unary<unary_op::sigmoid>, 0, true},
      {"Sqrt", "", bind_unary<unary_op::sqrt>, 0, true},
      {"Sub", "", bind_binary<binary_op::subtract>},
      {"Tanh", "", bind_unary<unary_op::tanh>, 0, true},
  };
  return table;
}
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
namespace qtk::inline QTK_ABI {

QTK_GRAPH_FUNCTION void convert_elements(dtype from, const std::byte* x, dtype to, std::byte* y,
                                         std::size_t count) {
  visit_format(from, [&]<class From>(From) {
    visit_format(to, [&]<class To>(To) {
      if constexpr (From::packed || To::packed) {
        fail(cat(name(From::id), " to ", name(To::id), " is not supported"), "conversion");
      } else {
        const auto* in = reinterpret_cast<const typename From::value_type*>(x);
        auto* out = reinterpret_cast<typename To::value_type*>(y);
        for (std::size_t i = 0; i < count; ++i) out[i] = graph_ops::convert<From, To>(in[i]);
      }
    });
  });
}

}  // namespace qtk::inline QTK_ABI
#endif
