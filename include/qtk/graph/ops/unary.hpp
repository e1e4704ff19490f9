#pragma once

#include <cmath>
#include <limits>

#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/parts.hpp"
#include "qtk/kernels/elementwise.hpp"

/// Binders of functions of one tensor, element by element.
namespace qtk::inline QTK_ABI::graph_ops {

/// Those that have a kernel: fp32, and what is converted to it.
template <unary_op Op>
bound_node bind_unary(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const std::size_t n = ctx.dims(0).elements();
  bound_node b{.outputs = {ctx.in(0)},
               .run =
                   [n, f = find_elementwise(ctx.target()).unary[static_cast<std::size_t>(Op)]](
                       const node_buffers& io) {
                     in_parts(io.executor, n, sizeof(float),
                              [&](std::size_t begin, std::size_t end) {
                                f(end - begin, io.in<float>(0) + begin, io.out<float>() + begin);
                              });
                   },
               .in_place = 0};
  count_work(b, ctx, 1);
  return b;
}

/// y[i] = f(x[i]), in place if y is of x's type; `f` is called with elements of T.
template <class T, class Out, class Function>
[[nodiscard]] bound_node map_elements(const op_context& ctx, dtype out, Function f) {
  const std::size_t n = ctx.dims(0).elements();
  bound_node b{.outputs = {{out, ctx.dims(0)}},
               .run =
                   [n, f](const node_buffers& io) {
                     const T* x = io.in<T>(0);
                     Out* y = io.out<Out>();
                     in_parts(io.executor, n, sizeof(T), [&](std::size_t begin, std::size_t end) {
                       for (std::size_t i = begin; i < end; ++i) y[i] = f(x[i]);
                     });
                   },
               .in_place = out == ctx.in(0).type ? std::optional<std::size_t>(0) : std::nullopt};
  count_work(b, ctx, 1);
  return b;
}

/// Attributes of functions: what each operator calls them differs.
struct function_parameters {
  double alpha = 0, beta = 0, gamma = 0;
};

/// A function on floats: evaluated in T, float or double.
template <class T>
using real_function = T (*)(T x, const function_parameters& p);

namespace functions {
/// The functions of the ONNX operators of the same name (docs/Operators.md), for T = float, double.
#define QTK_FUNCTION(name, expression)                                           \
  struct name {                                                                  \
    template <class T>                                                           \
    static T of(T x, [[maybe_unused]] const function_parameters& p) {            \
      [[maybe_unused]] const T alpha = static_cast<T>(p.alpha), zero{0}, one{1}; \
      [[maybe_unused]] const T beta = static_cast<T>(p.beta);                    \
      [[maybe_unused]] const T gamma = static_cast<T>(p.gamma);                  \
      return expression;                                                         \
    }                                                                            \
  };
QTK_FUNCTION(acos, std::acos(x))
QTK_FUNCTION(acosh, std::acosh(x))
QTK_FUNCTION(asin, std::asin(x))
QTK_FUNCTION(asinh, std::asinh(x))
QTK_FUNCTION(atan, std::atan(x))
QTK_FUNCTION(atanh, std::atanh(x))
QTK_FUNCTION(ceil, std::ceil(x))
QTK_FUNCTION(celu, x < zero ? alpha * std::expm1(x / alpha) : x)
QTK_FUNCTION(cos, std::cos(x))
QTK_FUNCTION(cosh, std::cosh(x))
QTK_FUNCTION(elu, x < zero ? alpha * std::expm1(x) : x)
QTK_FUNCTION(floor, std::floor(x))
QTK_FUNCTION(gelu_tanh, x / 2 *
                            (one + std::tanh(static_cast<T>(0.7978845608028654) *
                                             (x + static_cast<T>(0.044715) * x * x * x))))
QTK_FUNCTION(hard_sigmoid, std::fmax(zero, std::fmin(one, alpha* x + beta)))
QTK_FUNCTION(hard_swish, x* std::fmax(zero, std::fmin(one, x / 6 + one / 2)))
QTK_FUNCTION(log, std::log(x))
QTK_FUNCTION(softplus, x > zero ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)))
QTK_FUNCTION(mish, x* std::tanh(softplus::of(x, p)))
QTK_FUNCTION(reciprocal, one / x)
QTK_FUNCTION(round, std::nearbyint(x))  // half to even, as is the rounding mode
QTK_FUNCTION(selu, gamma*(x < zero ? alpha * std::expm1(x) : x))
QTK_FUNCTION(shrink, x<-alpha ? x + beta : x> alpha ? x - beta : zero)
QTK_FUNCTION(sin, std::sin(x))
QTK_FUNCTION(sinh, std::sinh(x))
QTK_FUNCTION(softsign, x / (one + std::abs(x)))
QTK_FUNCTION(swish, x / (one + std::exp(-alpha * x)))
QTK_FUNCTION(tan, std::tan(x))
QTK_FUNCTION(thresholded_relu, x > alpha ? x : zero)
// Of double; fp32 has kernels.
QTK_FUNCTION(erf, std::erf(x))
QTK_FUNCTION(exp, std::exp(x))
QTK_FUNCTION(leaky_relu, x < zero ? alpha * x : x)
QTK_FUNCTION(relu, x < zero ? zero : x)
QTK_FUNCTION(sigmoid, one / (one + std::exp(-x)))
QTK_FUNCTION(sqrt, std::sqrt(x))
QTK_FUNCTION(tanh, std::tanh(x))
QTK_FUNCTION(gelu_erf, x / 2 * (one + std::erf(x * static_cast<T>(0.7071067811865476))))
#undef QTK_FUNCTION
}  // namespace functions

template <class F>
[[nodiscard]] bound_node map_real(const op_context& ctx, const function_parameters& p = {}) {
  if (ctx.in(0).type == dtype::fp64)
    return map_elements<double, double>(ctx, dtype::fp64, [p](double x) { return F::of(x, p); });
  ctx.expect(0, dtype::fp32);
  return map_elements<float, float>(ctx, dtype::fp32, [p](float x) { return F::of(x, p); });
}

/// A function without attributes.
template <class F>
bound_node bind_function(const op_context& ctx) {
  return map_real<F>(ctx);
}

/// The kernel for fp32, F for double.
template <unary_op Op, class F>
bound_node bind_fast(const op_context& ctx) {
  return ctx.in(0).type == dtype::fp64 ? map_real<F>(ctx) : bind_unary<Op>(ctx);
}

inline bound_node bind_celu(const op_context& ctx) {
  return map_real<functions::celu>(ctx, {.alpha = ctx.node().number("alpha", 1.0f)});
}
inline bound_node bind_elu(const op_context& ctx) {
  return map_real<functions::elu>(ctx, {.alpha = ctx.node().number("alpha", 1.0f)});
}
inline bound_node bind_gelu(const op_context& ctx) {
  const std::string how = ctx.node().text("approximate", "none");
  if (how == "tanh") return map_real<functions::gelu_tanh>(ctx);
  QTK_CHECK(how == "none", ctx.node().label(), "approximate = '", how, "'");
  return bind_fast<unary_op::gelu, functions::gelu_erf>(ctx);
}
inline bound_node bind_hard_sigmoid(const op_context& ctx) {
  return map_real<functions::hard_sigmoid>(
      ctx, {.alpha = ctx.node().number("alpha", 0.2f), .beta = ctx.node().number("beta", 0.5f)});
}
inline bound_node bind_selu(const op_context& ctx) {
  const node& n = ctx.node();
  return map_real<functions::selu>(ctx, {.alpha = n.number("alpha", 1.67326319217681884765625f),
                                         .gamma = n.number("gamma", 1.05070102214813232421875f)});
}
inline bound_node bind_shrink(const op_context& ctx) {
  return map_real<functions::shrink>(
      ctx, {.alpha = ctx.node().number("lambd", 0.5f), .beta = ctx.node().number("bias", 0.0f)});
}
inline bound_node bind_swish(const op_context& ctx) {
  const float alpha = ctx.node().number("alpha", 1.0f);
  if (alpha == 1.0f && ctx.in(0).type == dtype::fp32) return bind_unary<unary_op::silu>(ctx);
  return map_real<functions::swish>(ctx, {.alpha = alpha});
}
/// x * sigmoid(alpha * x)
inline bound_node bind_quick_gelu(const op_context& ctx) {
  return map_real<functions::swish>(ctx, {.alpha = ctx.node().number("alpha", 1.702f)});
}
inline bound_node bind_thresholded_relu(const op_context& ctx) {
  return map_real<functions::thresholded_relu>(ctx, {.alpha = ctx.node().number("alpha", 1.0f)});
}

/// The format of input 0, where its elements are numbers one by one; qtk::error for packed codes.
template <class Function>
[[nodiscard]] bound_node for_numbers(const op_context& ctx, Function&& f) {
  return visit_format(ctx.in(0).type, [&]<class F>(F) -> bound_node {
    using T = typename F::value_type;
    if constexpr (std::is_arithmetic_v<T> && !F::packed)
      return f(F{});
    else
      ctx.reject(cat("input of ", name(F::id), " is not supported"));
  });
}

/// Abs, Neg, Sign of any number; integers wrap.
template <unary_op Op>
bound_node bind_signed(const op_context& ctx) {
  if (ctx.in(0).type == dtype::fp32) return bind_unary<Op>(ctx);
  return for_numbers(ctx, [&]<class F>(F) {
    using T = typename F::value_type;
    return map_elements<T, T>(ctx, F::id, [](T x) {
      const T minus = std::is_floating_point_v<T> ? -x : static_cast<T>(T{0} - x);
      return Op == unary_op::negate || x < T{0} ? minus : x;
    });
  });
}
inline bound_node bind_sign(const op_context& ctx) {
  return for_numbers(ctx, [&]<class F>(F) {
    using T = typename F::value_type;
    return map_elements<T, T>(
        ctx, F::id, [](T x) { return x != x ? x : static_cast<T>((x > T{0}) - (x < T{0})); });
  });
}
inline bound_node bind_not(const op_context& ctx) {
  ctx.expect(0, dtype::boolean);
  using T = boolean::value_type;
  return map_elements<T, T>(ctx, dtype::boolean, [](T x) { return static_cast<T>(x == 0); });
}
inline bound_node bind_bitwise_not(const op_context& ctx) {
  return for_numbers(ctx, [&]<class F>(F) -> bound_node {
    using T = typename F::value_type;
    if constexpr (std::is_integral_v<T>)
      return map_elements<T, T>(ctx, F::id, [](T x) { return static_cast<T>(~x); });
    else
      ctx.reject(cat("bits of ", name(F::id), " are not supported"));
  });
}
inline bound_node bind_is_nan(const op_context& ctx) {
  return for_numbers(ctx, [&]<class F>(F) {
    using T = typename F::value_type;
    return map_elements<T, boolean::value_type>(
        ctx, dtype::boolean, [](T x) { return static_cast<boolean::value_type>(x != x); });
  });
}
inline bound_node bind_is_inf(const op_context& ctx) {
  const bool negative = ctx.node().integer("detect_negative", 1) != 0;
  const bool positive = ctx.node().integer("detect_positive", 1) != 0;
  return for_numbers(ctx, [&]<class F>(F) {
    using T = typename F::value_type;
    return map_elements<T, boolean::value_type>(ctx, dtype::boolean, [negative, positive](T x) {
      constexpr T infinity = std::numeric_limits<T>::infinity();
      constexpr bool can = std::numeric_limits<T>::has_infinity;
      return static_cast<boolean::value_type>(
          can && ((positive && x == infinity) || (negative && x == static_cast<T>(-infinity))));
    });
  });
}

}  // namespace qtk::inline QTK_ABI::graph_ops
