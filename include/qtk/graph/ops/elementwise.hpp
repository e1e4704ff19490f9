#pragma once

#include <functional>
#include <limits>

#include "qtk/graph/convert.hpp"
#include "qtk/graph/onnx_types.hpp"
#include "qtk/graph/ops/binary.hpp"
#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/unary.hpp"

/// Binders of operators that work element by element.
namespace qtk::inline QTK_ABI::graph_ops {

/// The ReLU family by its kernel, fp32.
[[nodiscard]] inline bound_node activated(const op_context& ctx, const epilogue& e) {
  const std::size_t count = ctx.dims(0).elements();
  bound_node b{
      .outputs = {ctx.in(0)},
      .run = [count, e, f = find_elementwise(ctx.target()).activate](
                 const node_buffers& io) { f(count, io.in<float>(0), e, io.out<float>()); },
      .in_place = 0};
  count_work(b, ctx, 1);
  return b;
}

/// Relu and LeakyRelu where no layer took them over.
inline bound_node bind_relu(const op_context& ctx) {
  const node& n = ctx.node();
  const bool leaky = n.op == "LeakyRelu";
  if (ctx.in(0).type != dtype::fp32)
    return leaky ? map_real<functions::leaky_relu>(ctx, {.alpha = n.number("alpha", 0.01f)})
                 : for_numbers(ctx, [&]<class F>(F) {
                     using T = typename F::value_type;
                     return map_elements<T, T>(ctx, F::id, [](T x) { return x < T{0} ? T{0} : x; });
                   });
  const epilogue e{.act = leaky ? activation::leaky_relu : activation::relu,
                   .alpha = n.number("alpha", 0.01f)};
  return activated(ctx, e);
}

/// min(max(x, lo), hi): bounds are attributes before opset 11, inputs since.
inline bound_node bind_clip(const op_context& ctx) {
  const node& n = ctx.node();
  for (std::size_t i = 1; i <= 2; ++i)
    if (ctx.has(i))
      QTK_CHECK(ctx.value(i).shape().elements() == 1 && ctx.in(i).type == ctx.in(0).type, n.label(),
                "a bound of ", name(ctx.in(i).type), " ", ctx.dims(i));
  return for_numbers(ctx, [&]<class F>(F) {
    using T = typename F::value_type;
    T lo = std::numeric_limits<T>::lowest(), hi = std::numeric_limits<T>::max();
    if constexpr (std::is_floating_point_v<T>) {
      constexpr float all = std::numeric_limits<float>::infinity();
      lo = static_cast<T>(n.number("min", -all));
      hi = static_cast<T>(n.number("max", all));
    }
    if (ctx.has(1)) lo = ctx.value(1).as<F>().data()[0];
    if (ctx.has(2)) hi = ctx.value(2).as<F>().data()[0];
    if constexpr (std::is_same_v<T, float>)
      return activated(ctx, {.act = activation::clip, .lo = lo, .hi = hi});
    else
      return map_elements<T, T>(ctx, F::id, [lo, hi](T x) {
        const T above = x < lo ? lo : x;
        return above > hi ? hi : above;
      });
  });
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

/// Cast, and CastLike to the type of input 1, as convert_elements.
inline bound_node bind_cast(const op_context& ctx) {
  const node& n = ctx.node();
  const std::int64_t type = n.op == "CastLike" ? onnx_type(ctx.in(1).type) : n.integer("to", 0);
  const auto known = from_onnx_type(type);
  QTK_CHECK(known, n.label(), "data type ", type, " is not supported");
  const dtype to = *known;
  const value_type& in = ctx.in(0);
  bound_node b{.outputs = {{to, in.dims}}, .run = {}};
  if (to == in.type) {
    b.alias = 0;
    return b;
  }
  cast_rules rules{.saturate = n.integer("saturate", 1) != 0};
  const std::string powers = n.text("round_mode", "up");
  QTK_CHECK(powers == "up" || powers == "down" || powers == "nearest", n.label(), "round_mode = '",
            powers, "'");
  if (powers != "up")
    rules.powers = powers == "down" ? e8m0::rounding::down : e8m0::rounding::nearest;
  b.run = [s = in.dims, from = in.type, to, rules](const node_buffers& io) {
    convert_elements(from, io.inputs[0], to, io.outputs[0], s, rules);
  };
  count_work(b, ctx, 0);
  return b;
}

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table elementwise_ops() {
  constexpr input_mask halves = all_inputs;
  static constexpr op_definition table[] = {
      {"Abs", "", bind_signed<unary_op::abs>, 0, 0, halves},
      {"Acos", "", bind_function<functions::acos>, 0, 0, halves},
      {"Acosh", "", bind_function<functions::acosh>, 0, 0, halves},
      {"Add", "", bind_binary<binary_op::add>, 0, 0, halves},
      {"And", "", bind_logical<std::logical_and<>>},
      {"Asin", "", bind_function<functions::asin>, 0, 0, halves},
      {"Asinh", "", bind_function<functions::asinh>, 0, 0, halves},
      {"Atan", "", bind_function<functions::atan>, 0, 0, halves},
      {"Atanh", "", bind_function<functions::atanh>, 0, 0, halves},
      {"BitShift", "", bind_bit_shift},
      {"BitwiseAnd", "", bind_bitwise<std::bit_and<>>},
      {"BitwiseNot", "", bind_bitwise_not},
      {"BitwiseOr", "", bind_bitwise<std::bit_or<>>},
      {"BitwiseXor", "", bind_bitwise<std::bit_xor<>>},
      {"Cast", "", bind_cast},
      {"CastLike", "", bind_cast},
      {"Ceil", "", bind_function<functions::ceil>, 0, 0, halves},
      {"Celu", "", bind_celu, 0, 0, halves},
      {"Clip", "", bind_clip, input_bit(1) | input_bit(2), 0, halves},
      {"Cos", "", bind_function<functions::cos>, 0, 0, halves},
      {"Cosh", "", bind_function<functions::cosh>, 0, 0, halves},
      {"Div", "", bind_binary<binary_op::divide>, 0, 0, halves},
      {"Elu", "", bind_elu, 0, 0, halves},
      {"Equal", "", bind_compare<std::equal_to<>>, 0, 0, halves},
      {"Erf", "", bind_fast<unary_op::erf, functions::erf>, 0, 0, halves},
      {"Exp", "", bind_fast<unary_op::exp, functions::exp>, 0, 0, halves},
      {"Floor", "", bind_function<functions::floor>, 0, 0, halves},
      {"Gelu", "", bind_gelu, 0, 0, halves},
      {"Gelu", microsoft_domain, bind_gelu, 0, 0, halves},
      {"Greater", "", bind_compare<std::greater<>>, 0, 0, halves},
      {"GreaterOrEqual", "", bind_compare<std::greater_equal<>>, 0, 0, halves},
      {"HardSigmoid", "", bind_hard_sigmoid, 0, 0, halves},
      {"HardSwish", "", bind_function<functions::hard_swish>, 0, 0, halves},
      {"IsInf", "", bind_is_inf, 0, 0, halves},
      {"IsNaN", "", bind_is_nan, 0, 0, halves},
      {"LeakyRelu", "", bind_relu, 0, 0, halves},
      {"Less", "", bind_compare<std::less<>>, 0, 0, halves},
      {"LessOrEqual", "", bind_compare<std::less_equal<>>, 0, 0, halves},
      {"Log", "", bind_function<functions::log>, 0, 0, halves},
      {"Max", "", bind_binary<binary_op::maximum>, 0, 0, halves},
      {"Mean", "", bind_mean, 0, 0, halves},
      {"Min", "", bind_binary<binary_op::minimum>, 0, 0, halves},
      {"Mish", "", bind_function<functions::mish>, 0, 0, halves},
      {"Mod", "", bind_mod, 0, 0, halves},
      {"Mul", "", bind_binary<binary_op::multiply>, 0, 0, halves},
      {"Neg", "", bind_signed<unary_op::negate>, 0, 0, halves},
      {"Not", "", bind_not},
      {"Or", "", bind_logical<std::logical_or<>>},
      {"Pow", "", bind_pow, 0, 0, halves},
      {"PRelu", "", bind_prelu, 0, 0, halves},
      {"QuickGelu", microsoft_domain, bind_quick_gelu, 0, 0, halves},
      {"Reciprocal", "", bind_function<functions::reciprocal>, 0, 0, halves},
      {"Relu", "", bind_relu, 0, 0, halves},
      {"Round", "", bind_function<functions::round>, 0, 0, halves},
      {"Selu", "", bind_selu, 0, 0, halves},
      {"Shrink", "", bind_shrink, 0, 0, halves},
      {"Sigmoid", "", bind_fast<unary_op::sigmoid, functions::sigmoid>, 0, 0, halves},
      {"Sign", "", bind_sign, 0, 0, halves},
      {"Sin", "", bind_function<functions::sin>, 0, 0, halves},
      {"Sinh", "", bind_function<functions::sinh>, 0, 0, halves},
      {"Softplus", "", bind_function<functions::softplus>, 0, 0, halves},
      {"Softsign", "", bind_function<functions::softsign>, 0, 0, halves},
      {"Sqrt", "", bind_fast<unary_op::sqrt, functions::sqrt>, 0, 0, halves},
      {"Sub", "", bind_binary<binary_op::subtract>, 0, 0, halves},
      {"Sum", "", bind_binary<binary_op::add>, 0, 0, halves},
      {"Swish", "", bind_swish, 0, 0, halves},
      {"Tan", "", bind_function<functions::tan>, 0, 0, halves},
      {"Tanh", "", bind_fast<unary_op::tanh, functions::tanh>, 0, 0, halves},
      {"ThresholdedRelu", "", bind_thresholded_relu, 0, 0, halves},
      {"Where", "", bind_where},
      {"Xor", "", bind_logical<std::not_equal_to<>>},
  };
  return table;
}
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
namespace qtk::inline QTK_ABI {

namespace graph_ops {

/// Formats that are converted one to another directly. From and to others the way leads over
/// double: each pair by itself would be half of this library's code.
template <class F>
inline constexpr bool converts_directly =
    !F::packed && (std::is_arithmetic_v<typename F::value_type> || std::is_same_v<F, fp16> ||
                   std::is_same_v<F, bf16>);

/// `count` elements from `first` on of a tensor of shape s, as double and back.
inline void widen(dtype from, const std::byte* x, const shape& s, std::size_t first,
                  std::size_t count, double* out) {
  visit_format(from, [&]<class F>(F) {
    const tensor_view<const F> view(reinterpret_cast<const typename F::storage_type*>(x), s);
    for (std::size_t i = 0; i < count; ++i) {
      const auto v = view.at((first + i) / s.cols(), (first + i) % s.cols());
      if constexpr (std::is_arithmetic_v<typename F::value_type>)
        out[i] = static_cast<double>(v);
      else
        out[i] = static_cast<double>(to_float(v));
    }
  });
}
inline void narrow(const double* in, dtype to, std::byte* y, const shape& s, std::size_t first,
                   std::size_t count, const cast_rules& rules) {
  visit_format(to, [&]<class F>(F) {
    using T = typename F::value_type;
    const tensor_view<F> view(reinterpret_cast<typename F::storage_type*>(y), s);
    for (std::size_t i = 0; i < count; ++i) {
      T v;
      if constexpr (converts_directly<F>)
        v = convert<fp64, F>(in[i]);
      else if constexpr (std::is_integral_v<T>)
        v = static_cast<T>(convert<fp64, int64>(in[i]));
      else if constexpr (std::is_same_v<T, e8m0>)
        v = e8m0::of(static_cast<float>(in[i]), rules.saturate, rules.powers);
      else
        v = T::of(static_cast<float>(in[i]), rules.saturate);
      view.set((first + i) / s.cols(), (first + i) % s.cols(), v);
    }
  });
}

}  // namespace graph_ops

QTK_GRAPH_FUNCTION void convert_elements(dtype from, const std::byte* x, dtype to, std::byte* y,
                                         const shape& s, const cast_rules& rules) {
  const std::size_t count = s.elements();
  bool done = false;
  visit_format(from, [&]<class From>(From) {
    if constexpr (graph_ops::converts_directly<From>)
      visit_format(to, [&]<class To>(To) {
        if constexpr (graph_ops::converts_directly<To>) {
          const auto* in = reinterpret_cast<const typename From::value_type*>(x);
          auto* out = reinterpret_cast<typename To::value_type*>(y);
          for (std::size_t i = 0; i < count; ++i) out[i] = graph_ops::convert<From, To>(in[i]);
          done = true;
        }
      });
  });
  double wide[256];
  for (std::size_t i = 0; !done && i < count; i += std::size(wide)) {
    const std::size_t part = std::min(std::size(wide), count - i);
    graph_ops::widen(from, x, s, i, part, wide);
    graph_ops::narrow(wide, to, y, s, i, part, rules);
  }
}

}  // namespace qtk::inline QTK_ABI
#endif
