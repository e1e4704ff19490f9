#pragma once

#include <cmath>
#include <limits>

#include "qtk/graph/ops/window_nd.hpp"
#include "qtk/kernels/elementwise.hpp"

/// Pools of any rank and type; 2-D pools of fp32 have a faster way.
namespace qtk::inline QTK_ABI::graph_ops {

/// What a pool of input 0 slides over, and the shape of its result.
struct pool_shapes {
  shape x, y;
  window_walk walk;
  std::size_t planes, plane;

  [[nodiscard]] static pool_shapes of(const op_context& ctx) {
    const shape& x = ctx.dims(0);
    window_nd window(ctx, x);
    window.pad_automatically(ctx, x);
    const auto positions = window.positions(ctx, x, ctx.node().integer("ceil_mode", 0) != 0);
    shape y{x[0], x[1]};
    for (const std::size_t p : positions) y.push_back(p);
    return {x, y, window_walk(window, x, positions), x[0] * x[1], x.product(2, x.rank())};
  }
};

/// Maximum of each window and, if asked for, its index in all of x (storage_order = 1: with the
/// dimensions of the plane column-major).
inline bound_node bind_max_pool_nd(const op_context& ctx) {
  const node& n = ctx.node();
  const pool_shapes pool = pool_shapes::of(ctx);
  const bool indices = n.outputs.size() > 1, column_major = n.integer("storage_order", 0) != 0;
  bound_node b{.outputs = {{ctx.in(0).type, pool.y}}, .run = {}};
  if (indices) b.outputs.push_back({dtype::int64, pool.y});
  visit_format(ctx.in(0).type, [&]<class F>(F) {
    using T = typename F::value_type;
    if constexpr (std::is_arithmetic_v<T> && !F::packed) {
      b.run = [=](const node_buffers& io) {
        const auto index_of = [&](std::size_t at) {
          if (!column_major) return at;
          std::size_t turned = 0, step = pool.plane;
          for (std::size_t d = pool.x.rank(); d-- > 2; at /= pool.x[d]) {
            step /= pool.x[d];
            turned += at % pool.x[d] * step;
          }
          return turned;
        };
        std::size_t to = 0;
        for (std::size_t c = 0; c < pool.planes; ++c)
          for (std::size_t p = 0; p < pool.walk.positions(); ++p, ++to) {
            const T* in = io.in<T>(0) + c * pool.plane;
            T best = std::numeric_limits<T>::lowest();
            std::ptrdiff_t where = -1;
            for (std::size_t t = 0; t < pool.walk.taps(); ++t)
              if (const std::ptrdiff_t at = pool.walk.at(p, t);
                  at >= 0 && (where < 0 || in[at] > best)) {
                best = in[at];
                where = at;
              }
            io.out<T>(0)[to] = best;
            if (indices)
              io.out<std::int64_t>(1)[to] = static_cast<std::int64_t>(
                  c * pool.plane + index_of(static_cast<std::size_t>(where < 0 ? 0 : where)));
          }
      };
    } else {
      ctx.reject(cat("input of ", name(F::id), " is not supported"));
    }
  });
  count_work(b, ctx, static_cast<double>(pool.walk.taps()));
  return b;
}

/// Folds the taps of each window: add(sum, x) over those inside, finish(sum, how many count).
template <class Add, class Finish>
[[nodiscard]] bound_node fold_windows(const op_context& ctx, bool count_padding, Add add,
                                      Finish finish) {
  ctx.expect(0, dtype::fp32);
  const pool_shapes pool = pool_shapes::of(ctx);
  bound_node b{.outputs = {{dtype::fp32, pool.y}}, .run = [=](const node_buffers& io) {
                 float* out = io.out<float>();
                 for (std::size_t c = 0; c < pool.planes; ++c)
                   for (std::size_t p = 0; p < pool.walk.positions(); ++p) {
                     const float* in = io.in<float>(0) + c * pool.plane;
                     double sum = 0;
                     std::size_t count = 0;
                     for (std::size_t t = 0; t < pool.walk.taps(); ++t) {
                       bool within = false;
                       const std::ptrdiff_t at = pool.walk.at(p, t, &within);
                       if (at >= 0) add(sum, static_cast<double>(in[at]));
                       count += at >= 0 || (count_padding && within) ? 1u : 0u;
                     }
                     *out++ = static_cast<float>(finish(sum, count));
                   }
               }};
  count_work(b, ctx, static_cast<double>(pool.walk.taps()));
  return b;
}

inline bound_node bind_average_pool_nd(const op_context& ctx) {
  return fold_windows(
      ctx, ctx.node().integer("count_include_pad", 0) != 0, [](double& sum, double v) { sum += v; },
      [](double sum, std::size_t count) { return sum / static_cast<double>(count); });
}

/// (sum |x|^p)^(1/p) of each window.
inline bound_node bind_lp_pool(const op_context& ctx) {
  const std::int64_t p = ctx.node().integer("p", 2);
  QTK_CHECK(p > 0, ctx.node().label(), "p = ", p);
  const auto power = static_cast<double>(p);
  return fold_windows(
      ctx, false, [power](double& sum, double v) { sum += std::pow(std::abs(v), power); },
      [power](double sum, std::size_t) { return std::pow(sum, 1 / power); });
}

/// The same of the whole plane.
inline bound_node bind_global_lp_pool(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const shape& x = ctx.dims(0);
  const auto power = static_cast<double>(ctx.node().integer("p", 2));
  QTK_CHECK(x.rank() >= 3 && power > 0, ctx.node().label(), "input ", x, ", p = ", power);
  shape y = x;
  for (std::size_t d = 2; d < y.rank(); ++d) y[d] = 1;
  bound_node b{
      .outputs = {{dtype::fp32, y}},
      .run = [planes = x[0] * x[1], plane = x.product(2, x.rank()), power](const node_buffers& io) {
        for (std::size_t c = 0; c < planes; ++c) {
          double sum = 0;
          for (std::size_t i = 0; i < plane; ++i)
            sum += std::pow(std::abs(static_cast<double>(io.in<float>(0)[c * plane + i])), power);
          io.out<float>()[c] = static_cast<float>(std::pow(sum, 1 / power));
        }
      }};
  count_work(b, ctx, 1);
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

/// The inverse of MaxPool: each value at the index that it was taken from, 0 elsewhere.
inline bound_node bind_max_unpool(const op_context& ctx) {
  const node& n = ctx.node();
  ctx.expect(0, dtype::fp32);
  ctx.expect(1, dtype::int64);
  const shape& x = ctx.dims(0);
  const window_nd window(ctx, x);
  QTK_CHECK(ctx.dims(1) == x, n.label(), "indices ", ctx.dims(1), " for ", x);
  shape pooled{x[0], x[1]}, y;
  for (std::size_t d = 0; d < window.rank; ++d) {
    const std::int64_t size = (static_cast<std::int64_t>(x[d + 2]) - 1) * window.stride[d] +
                              window.kernel[d] - window.before[d] - window.after[d];
    QTK_CHECK(size > 0, n.label(), "an output of ", size);
    pooled.push_back(static_cast<std::size_t>(size));
  }
  y = pooled;
  if (ctx.has(2)) {
    const auto given = ctx.integers(2);
    QTK_CHECK(given.size() == x.rank(), n.label(), "output_shape of rank ", given.size());
    for (std::size_t d = 0; d < given.size(); ++d) {
      QTK_CHECK(given[d] >= static_cast<std::int64_t>(pooled[d]), n.label(), "output_shape ",
                given[d]);
      y[d] = static_cast<std::size_t>(given[d]);
    }
  }
  bound_node b{.outputs = {{dtype::fp32, y}},
               .run = [count = x.elements(), pooled, y, label = n.label()](const node_buffers& io) {
                 std::fill_n(io.out<float>(), y.elements(), 0.0f);
                 for (std::size_t i = 0; i < count; ++i) {
                   const std::int64_t index = io.in<std::int64_t>(1)[i];
                   QTK_CHECK(index >= 0 && static_cast<std::size_t>(index) < pooled.elements(),
                             label, "index ", index);
                   // Indices count in the pooled input; the output may be larger.
                   std::size_t rest = static_cast<std::size_t>(index), at = 0, step = 1;
                   for (std::size_t d = y.rank(); d-- > 0; rest /= pooled[d]) {
                     at += rest % pooled[d] * step;
                     step *= y[d];
                   }
                   io.out<float>()[at] = io.in<float>(0)[i];
                 }
               }};
  count_work(b, ctx, 0);
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
