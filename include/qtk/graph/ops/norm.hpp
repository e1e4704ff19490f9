#pragma once

#include <cmath>

#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/parts.hpp"
#include "qtk/graph/ops/reduction.hpp"
#include "qtk/kernels/elementwise.hpp"
#include "qtk/ops/broadcast.hpp"

/// Binders of operators that normalize along axes. All compute in fp32, sums in double.
namespace qtk::inline QTK_ABI::graph_ops {

/// A tensor as (outer, count, inner) around one axis, or around all from it on.
struct axis_view {
  std::size_t outer, count, inner;
};
[[nodiscard]] inline axis_view around(const shape& x, std::size_t first, std::size_t last) {
  return {x.product(0, first), x.product(first, last), x.product(last, x.rank())};
}

/// rows(count, n, x, y) does `count` runs of n elements; it may write over x.
template <class Rows>
[[nodiscard]] bound_node map_rows(const op_context& ctx, const axis_view& v, Rows rows) {
  bound_node b{.outputs = {ctx.in(0)},
               .run =
                   [v, rows](const node_buffers& io) {
                     const float* x = io.in<float>(0);
                     float* y = io.out<float>();
                     if (v.inner == 1)
                       return in_parts(io.executor, v.outer, 4 * v.count * sizeof(float),
                                       [&](std::size_t begin, std::size_t end) {
                                         rows(end - begin, v.count, x + begin * v.count,
                                              y + begin * v.count);
                                       });
                     auto* const column = reinterpret_cast<float*>(io.workspace);
                     for (std::size_t o = 0; o < v.outer; ++o)
                       for (std::size_t i = 0; i < v.inner; ++i) {
                         const std::size_t at = o * v.count * v.inner + i;
                         for (std::size_t k = 0; k < v.count; ++k) column[k] = x[at + k * v.inner];
                         rows(std::size_t{1}, v.count, column, column);
                         for (std::size_t k = 0; k < v.count; ++k) y[at + k * v.inner] = column[k];
                       }
                   },
               .in_place = 0,
               .workspace_bytes = v.inner == 1 ? 0 : checked_mul(v.count, sizeof(float))};
  count_work(b, ctx, 4);
  return b;
}
/// `row(n, x, y)` for each row.
template <class Row>
[[nodiscard]] auto each_row(Row row) {
  return [row](std::size_t count, std::size_t n, const float* x, float* y) {
    for (std::size_t i = 0; i < count; ++i) row(n, x + i * n, y + i * n);
  };
}

/// Softmax, LogSoftmax and Hardmax over `axis` (opset 13), or over all dimensions from it on
/// (earlier).
template <class Rows>
[[nodiscard]] bound_node map_softmax(const op_context& ctx, Rows rows) {
  ctx.expect(0, dtype::fp32);
  const shape& x = ctx.dims(0);
  const bool modern = ctx.opset() >= 13;
  const std::size_t axis = x.axis(ctx.node().integer("axis", modern ? -1 : 1));
  return map_rows(ctx, around(x, axis, modern ? axis + 1 : x.rank()), rows);
}

/// Softmax of rows. Of short ones, exp takes all at once: a call for each costs 77 ns (4,420 rows
/// of 2, ultraface: 0.34 ms, so 0.02).
inline void softmax_rows(const elementwise_kernels& k, std::size_t count, std::size_t n,
                         const float* x, float* y) {
  constexpr std::size_t few = 16;
  if (n >= few || n == 0) {
    for (std::size_t i = 0; i < count; ++i) k.softmax(n, x + i * n, y + i * n);
    return;
  }
  for (std::size_t i = 0; i < count * n; i += n) {
    float top = x[i];
    for (std::size_t j = 1; j < n; ++j) top = x[i + j] > top ? x[i + j] : top;
    for (std::size_t j = 0; j < n; ++j) y[i + j] = x[i + j] - top;
  }
  k.unary[static_cast<std::size_t>(unary_op::exp)](count * n, y, y);
  // Divided by vectors: 4 of 14 us are left.
  constexpr std::size_t room = 512;
  const std::size_t at_once = room / n * n;
  float sums[room];
  for (std::size_t begin = 0, size; begin < count * n; begin += size, y += size) {
    size = std::min(at_once, count * n - begin);
    for (std::size_t i = 0; i < size; i += n) {
      float sum = 0;
      for (std::size_t j = 0; j < n; ++j) sum += y[i + j];
      for (std::size_t j = 0; j < n; ++j) sums[i + j] = sum;
    }
    k.binary[static_cast<std::size_t>(binary_op::divide)](size, y, sums, y);
  }
}
/// The same for map_rows().
[[nodiscard]] inline auto softmax_rows(isa target) {
  return [&k = find_elementwise(target)](std::size_t count, std::size_t n, const float* x,
                                         float* y) { softmax_rows(k, count, n, x, y); };
}
inline bound_node bind_softmax(const op_context& ctx) {
  return map_softmax(ctx, softmax_rows(ctx.target()));
}

/// y = x - max - log(sum(exp(x - max)))
inline void log_softmax(std::size_t n, const float* x, float* y) {
  if (n == 0) return;
  float top = x[0];
  for (std::size_t i = 1; i < n; ++i) top = x[i] > top ? x[i] : top;
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(x[i] - top));
  const double shift = static_cast<double>(top) + std::log(sum);
  for (std::size_t i = 0; i < n; ++i) y[i] = static_cast<float>(static_cast<double>(x[i]) - shift);
}
inline bound_node bind_log_softmax(const op_context& ctx) {
  return map_softmax(ctx, each_row(log_softmax));
}

/// 1 at the first of the largest, else 0.
inline bound_node bind_hardmax(const op_context& ctx) {
  return map_softmax(ctx, each_row([](std::size_t n, const float* x, float* y) {
                       std::size_t best = 0;
                       for (std::size_t i = 1; i < n; ++i)
                         if (x[i] > x[best]) best = i;
                       for (std::size_t i = 0; i < n; ++i) y[i] = i == best ? 1.0f : 0.0f;
                     }));
}

/// Mean and variance (over n) of a row.
struct moments {
  double mean, variance;
};
[[nodiscard]] inline moments moments_of(std::size_t n, const float* x) {
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]);
  const double mean = sum / static_cast<double>(n);
  for (std::size_t i = 0; i < n; ++i) {
    const double d = static_cast<double>(x[i]) - mean;
    squares += d * d;
  }
  return {mean, squares / static_cast<double>(n)};
}

/// LayerNormalization and RMSNormalization over all axes from `axis` on: the kernel's row, with
/// scale and bias of the row's shape or broadcast to it.
template <bool Rms>
bound_node bind_layer_norm(const op_context& ctx) {
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  for (std::size_t i = 0; i < 3; ++i)
    if (ctx.has(i)) ctx.expect(i, dtype::fp32);
  const std::size_t axis = x.axis(n.integer("axis", -1));
  const axis_view v = around(x, axis, x.rank());
  shape row, per_row = x;
  for (std::size_t d = axis; d < x.rank(); ++d) {
    row.push_back(x[d]);
    per_row[d] = 1;
  }
  const bool spread[2] = {ctx.has(1) && ctx.dims(1).elements() != v.count,
                          ctx.has(2) && ctx.dims(2).elements() != v.count};
  const shape scale = ctx.has(1) ? ctx.dims(1) : row, bias = ctx.has(2) ? ctx.dims(2) : row;
  static_cast<void>(broadcast_strides(scale, row));
  static_cast<void>(broadcast_strides(bias, row));
  bound_node b{.outputs = {ctx.in(0)},
               .run = [v, row, scale, bias, wide = spread[0] || spread[1],
                       epsilon = n.number("epsilon", 1e-5f),
                       &k = find_elementwise(ctx.target())](const node_buffers& io) {
                 const float *gamma = io.in<float>(1), *beta = io.in<float>(2);
                 if (wide) {
                   auto* const spread_to = reinterpret_cast<float*>(io.workspace);
                   const auto expand = [&](const float* from, const shape& s, float* to) {
                     if (from == nullptr) return from;
                     map_broadcast(
                         row, to, [](float value) { return value; },
                         std::array<strides, 1>{broadcast_strides(s, row)}, from);
                     return static_cast<const float*>(to);
                   };
                   gamma = expand(gamma, scale, spread_to);
                   beta = expand(beta, bias, spread_to + v.count);
                 }
                 for (std::size_t r = 0; r < v.outer; ++r) {
                   const float* in = io.in<float>(0) + r * v.count;
                   float* out = io.out<float>() + r * v.count;
                   if (!Rms && io.outputs.size() > 1) {
                     const moments m = moments_of(v.count, in);
                     io.out<float>(1)[r] = static_cast<float>(m.mean);
                     io.out<float>(2)[r] = static_cast<float>(
                         1 / std::sqrt(m.variance + static_cast<double>(epsilon)));
                   }
                   if constexpr (Rms)
                     k.rms_norm(v.count, in, gamma, epsilon, out);
                   else
                     k.layer_norm(v.count, in, gamma, beta, epsilon, out);
                 }
               }};
  if (spread[0] || spread[1]) b.workspace_bytes = checked_mul(2 * v.count, sizeof(float));
  if (!Rms && n.outputs.size() > 1) {
    b.outputs.push_back({dtype::fp32, per_row});
    b.outputs.push_back({dtype::fp32, per_row});
  }
  count_work(b, ctx, 4);
  return b;
}

/// Normalizes runs of x: y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, where
/// `index(r, i)` says which gamma and beta element i of run r takes.
template <class Index>
[[nodiscard]] bound_node normalize_runs(const op_context& ctx, std::size_t runs, std::size_t length,
                                        Index index) {
  for (std::size_t i = 0; i < 3; ++i) ctx.expect(i, dtype::fp32);
  bound_node b{.outputs = {ctx.in(0)},
               .run =
                   [runs, length, index,
                    epsilon = ctx.node().number("epsilon", 1e-5f)](const node_buffers& io) {
                     for (std::size_t r = 0; r < runs; ++r) {
                       const float* x = io.in<float>(0) + r * length;
                       float* y = io.out<float>() + r * length;
                       const moments m = moments_of(length, x);
                       const double f = 1 / std::sqrt(m.variance + static_cast<double>(epsilon));
                       for (std::size_t i = 0; i < length; ++i) {
                         const std::size_t k = index(r, i);
                         y[i] = static_cast<float>((static_cast<double>(x[i]) - m.mean) * f *
                                                       static_cast<double>(io.in<float>(1)[k]) +
                                                   static_cast<double>(io.in<float>(2)[k]));
                       }
                     }
                   },
               .in_place = 0};
  count_work(b, ctx, 4);
  return b;
}

/// Each channel of each image by itself.
inline bound_node bind_instance_norm(const op_context& ctx) {
  const shape& x = ctx.dims(0);
  QTK_CHECK(x.rank() >= 2 && ctx.dims(1).elements() == x[1] && ctx.dims(2).elements() == x[1],
            ctx.node().label(), "input ", x, ", scale ", ctx.dims(1), ", bias ", ctx.dims(2));
  return normalize_runs(ctx, x[0] * x[1], x.product(2, x.rank()),
                        [C = x[1]](std::size_t r, std::size_t) { return r % C; });
}

/// Groups of channels; scale and bias are one for each channel since set 21, for each group before.
inline bound_node bind_group_norm(const op_context& ctx) {
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  const std::int64_t groups = n.integer("num_groups", 0);
  QTK_CHECK(x.rank() >= 2 && groups > 0 && x[1] % static_cast<std::size_t>(groups) == 0, n.label(),
            "input ", x, " in ", groups, " groups");
  const auto G = static_cast<std::size_t>(groups);
  const std::size_t plane = x.product(2, x.rank()), in_group = x[1] / G;
  const bool per_channel = ctx.opset() >= 21;
  QTK_CHECK(ctx.dims(1).elements() == (per_channel ? x[1] : G) &&
                ctx.dims(2).elements() == ctx.dims(1).elements(),
            n.label(), "scale ", ctx.dims(1), ", bias ", ctx.dims(2));
  return normalize_runs(ctx, x[0] * G, in_group * plane,
                        [G, plane, in_group, per_channel](std::size_t r, std::size_t i) {
                          const std::size_t g = r % G;
                          return per_channel ? g * in_group + i / plane : g;
                        });
}

/// x / (sum |x|^p)^(1/p) along an axis, p = 1 or 2; where that is 0, 0.
inline bound_node bind_lp_norm(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const node& n = ctx.node();
  const std::size_t axis = ctx.dims(0).axis(n.integer("axis", -1));
  const std::int64_t p = n.integer("p", 2);
  QTK_CHECK(p == 1 || p == 2, n.label(), "p = ", p);
  return map_rows(ctx, around(ctx.dims(0), axis, axis + 1),
                  each_row([p](std::size_t count, const float* x, float* y) {
                    double sum = 0;
                    for (std::size_t i = 0; i < count; ++i) {
                      const double v = std::abs(static_cast<double>(x[i]));
                      sum += p == 1 ? v : v * v;
                    }
                    const double norm = p == 1 ? sum : std::sqrt(sum);
                    for (std::size_t i = 0; i < count; ++i)
                      y[i] =
                          norm == 0 ? 0.0f : static_cast<float>(static_cast<double>(x[i]) / norm);
                  }));
}

/// LRN: y = x / (bias + alpha / size * sum of the squares of the channels around)^beta.
inline bound_node bind_lrn(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  const std::int64_t size = n.integer("size", 0);
  QTK_CHECK(x.rank() >= 2 && size > 0, n.label(), "size ", size, " of ", x);
  const double alpha = static_cast<double>(n.number("alpha", 1e-4f)) / static_cast<double>(size);
  bound_node b{
      .outputs = {ctx.in(0)},
      .run = [N = x[0], C = static_cast<std::int64_t>(x[1]), plane = x.product(2, x.rank()), size,
              alpha, beta = static_cast<double>(n.number("beta", 0.75f)),
              bias = static_cast<double>(n.number("bias", 1.0f))](const node_buffers& io) {
        const std::int64_t before = (size - 1) / 2, after = size - 1 - before;
        for (std::size_t i = 0; i < N; ++i)
          for (std::int64_t c = 0; c < C; ++c)
            for (std::size_t p = 0; p < plane; ++p) {
              const float* column = io.in<float>(0) + i * static_cast<std::size_t>(C) * plane + p;
              double sum = 0;
              for (std::int64_t k = std::max<std::int64_t>(0, c - before);
                   k <= std::min(C - 1, c + after); ++k) {
                const auto v = static_cast<double>(column[static_cast<std::size_t>(k) * plane]);
                sum += v * v;
              }
              const std::size_t at =
                  (i * static_cast<std::size_t>(C) + static_cast<std::size_t>(c)) * plane + p;
              io.out<float>()[at] = static_cast<float>(static_cast<double>(io.in<float>(0)[at]) /
                                                       std::pow(bias + alpha * sum, beta));
            }
      }};
  count_work(b, ctx, static_cast<double>(size));
  return b;
}

/// (x - mean) / (standard deviation + 1e-9) over `axes` (0, 2, 3).
inline bound_node bind_mean_variance_norm(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const shape x = ctx.dims(0);
  auto axes = ctx.node().integers("axes");
  if (axes.empty()) axes = {0, 2, 3};
  shape kept = x;
  for (const std::int64_t a : axes) kept[x.axis(a)] = 1;
  const std::size_t groups = kept.elements(), count = groups == 0 ? 0 : x.elements() / groups;
  bound_node b{.outputs = {ctx.in(0)},
               .run =
                   [x, kept, groups, count](const node_buffers& io) {
                     auto* const mean = reinterpret_cast<double*>(io.workspace);
                     double* const square = mean + groups;
                     std::fill_n(mean, 2 * groups, 0.0);
                     const float* in = io.in<float>(0);
                     for_each_reduced(x, kept, in, [&](float v, std::size_t at) {
                       mean[at] += static_cast<double>(v);
                       square[at] += static_cast<double>(v) * static_cast<double>(v);
                     });
                     for (std::size_t g = 0; g < groups; ++g) {
                       mean[g] /= static_cast<double>(count);
                       square[g] = std::sqrt(std::max(0.0, square[g] / static_cast<double>(count) -
                                                               mean[g] * mean[g])) +
                                   1e-9;
                     }
                     float* out = io.out<float>();
                     for_each_reduced(x, kept, in, [&](float v, std::size_t at) {
                       *out++ =
                           static_cast<float>((static_cast<double>(v) - mean[at]) / square[at]);
                     });
                   },
               .workspace_bytes = checked_mul(2 * groups, sizeof(double))};
  count_work(b, ctx, 4);
  return b;
}

/// y = (x - mean) / sqrt(var + epsilon) * scale + bias, per channel (axis 1). In training mode mean
/// and variance are those of x, and what comes out next is their running average.
inline bound_node bind_batch_norm(const op_context& ctx) {
  for (std::size_t i = 0; i < 5; ++i) ctx.expect(i, dtype::fp32);
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  QTK_CHECK(x.rank() >= 1, n.label(), "input ", x, " has no channels");
  const std::size_t N = x[0], C = x.rank() == 1 ? 1 : x[1];
  const std::size_t plane = x.rank() <= 2 ? 1 : x.product(2, x.rank());
  const bool training = n.integer("training_mode", 0) != 0;
  for (std::size_t i = 1; i < 5; ++i)
    QTK_CHECK(ctx.dims(i).elements() == C, n.label(), "input ", i, " is ", ctx.dims(i));
  QTK_CHECK(training || n.outputs.size() == 1, n.label(), "running averages are not supported");
  bound_node b{
      .outputs = {ctx.in(0)},
      .run =
          [N, C, plane, training, momentum = static_cast<double>(n.number("momentum", 0.9f)),
           epsilon = n.number("epsilon", 1e-5f)](const node_buffers& io) {
            const float* in = io.in<float>(0);
            for (std::size_t c = 0; c < C; ++c) {
              float mean = io.in<float>(3)[c], variance = io.in<float>(4)[c];
              if (training) {
                double sum = 0, squares = 0;
                const auto count = static_cast<double>(N * plane);
                const auto each = [&](auto&& f) {
                  for (std::size_t i = 0; i < N; ++i)
                    for (std::size_t p = 0; p < plane; ++p)
                      f(static_cast<double>(in[(i * C + c) * plane + p]));
                };
                each([&](double v) { sum += v; });
                const double m = sum / count;
                each([&](double v) { squares += (v - m) * (v - m); });
                if (io.outputs.size() > 2) {
                  io.out<float>(1)[c] =
                      static_cast<float>(static_cast<double>(mean) * momentum + m * (1 - momentum));
                  io.out<float>(2)[c] = static_cast<float>(
                      static_cast<double>(variance) * momentum + squares / count * (1 - momentum));
                }
                mean = static_cast<float>(m);
                variance = static_cast<float>(squares / count);
              }
              const float g = io.in<float>(1)[c] / std::sqrt(variance + epsilon);
              const float shift = io.in<float>(2)[c];
              for (std::size_t i = 0; i < N; ++i)
                for (std::size_t p = 0; p < plane; ++p) {
                  const std::size_t at = (i * C + c) * plane + p;
                  io.out<float>()[at] = (in[at] - mean) * g + shift;
                }
            }
          },
      .in_place = 0};
  for (std::size_t i = 1; training && i < std::min<std::size_t>(n.outputs.size(), 3); ++i)
    b.outputs.push_back({dtype::fp32, {C}});
  if (training && b.outputs.size() == 2) b.outputs.push_back({dtype::fp32, {C}});
  count_work(b, ctx, 3);
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
