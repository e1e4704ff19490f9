#pragma once

#include <cmath>
#include <limits>

#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/parts.hpp"
#include "qtk/ops/broadcast.hpp"

/// Binders of operators that reduce over axes.
namespace qtk::inline QTK_ABI::graph_ops {

/// The shape of x with the axes of `over` 1, and without them.
struct reduced_shape {
  shape kept, dropped;
};
[[nodiscard]] inline reduced_shape reduced(const shape& x, const std::vector<bool>& over) {
  reduced_shape r;
  for (std::size_t d = 0; d < x.rank(); ++d) {
    r.kept.push_back(over[d] ? 1 : x[d]);
    if (!over[d]) r.dropped.push_back(x[d]);
  }
  return r;
}

/// Calls f(x[i], y index) for every element of x, in order: where it goes in the result.
template <class T, class Function>
void for_each_reduced(const shape& x, const shape& kept, const T* in, Function&& f) {
  const strides to = broadcast_strides(kept, x);
  const std::size_t n = x.cols();
  const std::ptrdiff_t step = x.rank() == 0 || n == 1 ? 0 : to[x.rank() - 1];
  for_each_row(x, std::array<strides, 1>{to}, [&](const std::array<std::ptrdiff_t, 1>& offset) {
    std::ptrdiff_t at = offset[0];
    for (std::size_t i = 0; i < n; ++i, at += step) f(in[i], static_cast<std::size_t>(at));
    in += n;
  });
}

/// What an operator reduces by: start, fold an element, finish. Floats are summed in double,
/// integers modulo 2^64.
template <class T>
using reduce_sum_type = std::conditional_t<std::is_floating_point_v<T>, double, std::uint64_t>;

namespace reductions {
struct sum {
  template <class T>
  static constexpr auto start() {
    return reduce_sum_type<T>{0};
  }
  template <class S, class T>
  static void fold(S& s, T x) {
    s += static_cast<S>(x);
  }
  template <class T, class S>
  static T finish(S s, std::size_t) {
    return static_cast<T>(s);
  }
};
struct mean : sum {
  template <class T, class S>
  static T finish(S s, std::size_t n) {
    if constexpr (std::is_integral_v<T>)
      if (n == 0) return T{0};
    if constexpr (std::is_integral_v<T> && std::is_signed_v<T>)
      return static_cast<T>(static_cast<std::int64_t>(s) / static_cast<std::int64_t>(n));
    else
      return static_cast<T>(s / static_cast<S>(n));
  }
};
struct sum_square : sum {
  template <class S, class T>
  static void fold(S& s, T x) {
    s += static_cast<S>(x) * static_cast<S>(x);
  }
};
struct l1 : sum {
  template <class S, class T>
  static void fold(S& s, T x) {
    s += static_cast<S>(x < T{0} ? static_cast<T>(T{0} - x) : x);
  }
};
struct l2 : sum_square {
  template <class T, class S>
  static T finish(S s, std::size_t) {
    return static_cast<T>(std::sqrt(static_cast<double>(s)));
  }
};
struct log_sum : sum {
  template <class T, class S>
  static T finish(S s, std::size_t) {
    return static_cast<T>(std::log(static_cast<double>(s)));
  }
};
struct product : sum {
  template <class T>
  static constexpr auto start() {
    return reduce_sum_type<T>{1};
  }
  template <class S, class T>
  static void fold(S& s, T x) {
    s *= static_cast<S>(x);
  }
};
/// NaN wins, as in numpy.
struct maximum {
  template <class T>
  static constexpr T start() {
    return std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity()
                                       : std::numeric_limits<T>::lowest();
  }
  template <class T>
  static void fold(T& s, T x) {
    s = x > s || x != x ? x : s;
  }
  template <class T, class S>
  static T finish(S s, std::size_t) {
    return s;
  }
};
struct minimum : maximum {
  template <class T>
  static constexpr T start() {
    return std::is_floating_point_v<T> ? std::numeric_limits<T>::infinity()
                                       : std::numeric_limits<T>::max();
  }
  template <class T>
  static void fold(T& s, T x) {
    s = x < s || x != x ? x : s;
  }
};
}  // namespace reductions

/// Which axes a Reduce* takes: an attribute in old sets, an input in new ones; all, where there are
/// none (or none are reduced: noop_with_empty_axes).
[[nodiscard]] inline std::vector<bool> reduced_axes(const op_context& ctx, std::size_t input = 1) {
  const shape& x = ctx.dims(0);
  const auto axes = list_argument(ctx, "axes", input);
  std::vector<bool> over(x.rank(),
                         axes.empty() && ctx.node().integer("noop_with_empty_axes", 0) == 0);
  for (const std::int64_t a : axes) over[x.axis(a)] = true;
  return over;
}

template <class Reduction, class T>
[[nodiscard]] bound_node reduce_as(const op_context& ctx, dtype type) {
  const shape x = ctx.dims(0);
  const std::vector<bool> over = reduced_axes(ctx);
  const auto [kept, dropped] = reduced(x, over);
  using S = decltype(Reduction::template start<T>());
  const std::size_t outputs = kept.elements(), count = outputs == 0 ? 0 : x.elements() / outputs;
  bound_node b{.outputs = {{type, ctx.node().integer("keepdims", 1) != 0 ? kept : dropped}},
               .run =
                   [x, kept = kept, outputs, count](const node_buffers& io) {
                     const auto part = [&](const shape& from, const shape& to, const T* in,
                                           std::size_t first) {
                       S* const sums = reinterpret_cast<S*>(io.workspace) + first;
                       const std::size_t n = to.elements();
                       std::fill_n(sums, n, Reduction::template start<T>());
                       for_each_reduced(from, to, in,
                                        [&](T v, std::size_t at) { Reduction::fold(sums[at], v); });
                       for (std::size_t i = 0; i < n; ++i)
                         io.out<T>()[first + i] = Reduction::template finish<T>(sums[i], count);
                     };
                     if (outputs == 0 || kept.rank() == 0 || kept[0] == 1)
                       return part(x, kept, io.in<T>(0), 0);
                     const std::size_t step = x.product(1, x.rank()), each = outputs / kept[0];
                     in_parts(io.executor, kept[0], step * sizeof(T),
                              [&](std::size_t begin, std::size_t end) {
                                shape from = x, to = kept;
                                from[0] = to[0] = end - begin;
                                part(from, to, io.in<T>(0) + begin * step, begin * each);
                              });
                   },
               .workspace_bytes = checked_mul(outputs, sizeof(S))};
  count_work(b, ctx, 0);
  b.flops = static_cast<double>(x.elements());
  return b;
}

/// Reduce* over numbers of any type; halves come as fp32.
template <class Reduction>
bound_node bind_reduce(const op_context& ctx) {
  return visit_format(ctx.in(0).type, [&]<class F>(F) -> bound_node {
    if constexpr (std::is_arithmetic_v<typename F::value_type> && !F::packed)
      return reduce_as<Reduction, typename F::value_type>(ctx, F::id);
    else
      ctx.reject(cat("input of ", name(F::id), " is not supported"));
  });
}

/// log(sum(exp(x))), from the largest on so that nothing overflows.
inline bound_node bind_log_sum_exp(const op_context& ctx) {
  return visit_format(ctx.in(0).type, [&]<class F>(F) -> bound_node {
    using T = typename F::value_type;
    if constexpr (std::is_floating_point_v<T>) {
      bound_node b = reduce_as<reductions::maximum, T>(ctx, F::id);
      const shape x = ctx.dims(0), kept = reduced(x, reduced_axes(ctx)).kept;
      const std::size_t outputs = kept.elements();
      b.workspace_bytes = checked_mul(outputs, sizeof(double));
      b.run = [x, kept, outputs, maxima = std::move(b.run)](const node_buffers& io) {
        maxima(io);
        T* const y = io.out<T>();
        auto* const sums = reinterpret_cast<double*>(io.workspace);
        std::fill_n(sums, outputs, 0.0);
        const auto base = [](T m) { return std::isfinite(m) ? static_cast<double>(m) : 0.0; };
        for_each_reduced(x, kept, io.in<T>(0), [&](T v, std::size_t at) {
          sums[at] += std::exp(static_cast<double>(v) - base(y[at]));
        });
        for (std::size_t i = 0; i < outputs; ++i)
          y[i] = static_cast<T>(std::log(sums[i]) + base(y[i]));
      };
      return b;
    } else {
      ctx.reject(cat("input of ", name(F::id), " is not supported"));
    }
  });
}

/// Index of the largest (or smallest) element along `axis`; the first, or the last of equals.
template <bool Max>
bound_node bind_arg(const op_context& ctx) {
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  const std::size_t axis = x.axis(n.integer("axis", 0));
  QTK_CHECK(x[axis] > 0, n.label(), "axis ", axis, " of ", x, " is empty");
  const bool last = n.integer("select_last_index", 0) != 0;
  std::vector<bool> over(x.rank(), false);
  over[axis] = true;
  const auto [kept, dropped] = reduced(x, over);
  bound_node b{.outputs = {{dtype::int64, n.integer("keepdims", 1) != 0 ? kept : dropped}},
               .run = {}};
  visit_format(ctx.in(0).type, [&]<class F>(F) {
    using T = typename F::value_type;
    if constexpr (std::is_arithmetic_v<T> && !F::packed) {
      b.run = [outer = x.product(0, axis), count = x[axis], inner = x.product(axis + 1, x.rank()),
               last](const node_buffers& io) {
        auto* out = io.out<std::int64_t>();
        for (std::size_t o = 0; o < outer; ++o)
          for (std::size_t i = 0; i < inner; ++i) {
            const T* column = io.in<T>(0) + o * count * inner + i;
            std::size_t best = 0;
            for (std::size_t k = 1; k < count; ++k) {
              const T v = column[k * inner], top = column[best * inner];
              if ((Max ? v > top : v < top) || (last && v == top)) best = k;
            }
            *out++ = static_cast<std::int64_t>(best);
          }
      };
    } else {
      ctx.reject(cat("input of ", name(F::id), " is not supported"));
    }
  });
  count_work(b, ctx, 0);
  return b;
}

/// CumSum and CumProd along an axis: `exclusive` leaves out the element itself, `reverse` starts at
/// the end.
template <bool Product>
bound_node bind_cumulative(const op_context& ctx) {
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  const std::size_t axis = x.axis(ctx.one_integer(1));
  const bool exclusive = n.integer("exclusive", 0) != 0, reverse = n.integer("reverse", 0) != 0;
  bound_node b{.outputs = {ctx.in(0)}, .run = {}};
  visit_format(ctx.in(0).type, [&]<class F>(F) {
    using T = typename F::value_type;
    if constexpr (std::is_arithmetic_v<T> && !F::packed) {
      b.run = [outer = x.product(0, axis), count = x[axis], inner = x.product(axis + 1, x.rank()),
               exclusive, reverse](const node_buffers& io) {
        using S = reduce_sum_type<T>;
        for (std::size_t o = 0; o < outer; ++o)
          for (std::size_t i = 0; i < inner; ++i) {
            const T* in = io.in<T>(0) + o * count * inner + i;
            T* out = io.out<T>() + o * count * inner + i;
            S sum{Product};
            for (std::size_t k = 0; k < count; ++k) {
              const std::size_t at = (reverse ? count - 1 - k : k) * inner;
              const S v = static_cast<S>(in[at]);
              const S next = Product ? sum * v : sum + v;
              out[at] = static_cast<T>(exclusive ? sum : next);
              sum = next;
            }
          }
      };
    } else {
      ctx.reject(cat("input of ", name(F::id), " is not supported"));
    }
  });
  count_work(b, ctx, 1);
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
