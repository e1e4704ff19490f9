#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>

#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/norm.hpp"

/// Binders of operators that choose among elements: the largest, the labeled.
namespace qtk::inline QTK_ABI::graph_ops {

/// The k largest (or smallest) along an axis, sorted, and their indices; of equals the first. k is
/// an attribute before set 10, an input since.
inline bound_node bind_top_k(const op_context& ctx) {
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  const std::size_t axis = x.axis(n.integer("axis", -1));
  const std::int64_t given = ctx.has(1) ? ctx.one_integer(1) : n.integer("k", -1);
  QTK_CHECK(given >= 0 && static_cast<std::uint64_t>(given) <= x[axis], n.label(), "k = ", given,
            " of ", x[axis]);
  const auto k = static_cast<std::size_t>(given);
  const bool largest = n.integer("largest", 1) != 0;
  shape y = x;
  y[axis] = k;
  bound_node b{.outputs = {{ctx.in(0).type, y}, {dtype::int64, y}}, .run = {}};
  visit_format(ctx.in(0).type, [&]<class F>(F) {
    using T = typename F::value_type;
    if constexpr (std::is_arithmetic_v<T> && !F::packed) {
      b.run = [v = around(x, axis, axis + 1), k, largest](const node_buffers& io) {
        auto* const order = reinterpret_cast<std::uint32_t*>(io.workspace);
        for (std::size_t o = 0; o < v.outer; ++o)
          for (std::size_t i = 0; i < v.inner; ++i) {
            const T* column = io.in<T>(0) + o * v.count * v.inner + i;
            const auto at = [&](std::uint32_t e) { return column[e * v.inner]; };
            std::iota(order, order + v.count, 0u);
            // NaN is larger than all, as in numpy; equals keep their order.
            const auto before = [&](std::uint32_t p, std::uint32_t q) {
              const T a = at(p), c = at(q);
              const bool nan_a = a != a, nan_c = c != c;
              if (nan_a != nan_c) return nan_a == largest;
              if (a != c && !nan_a) return largest ? a > c : a < c;
              return p < q;
            };
            std::partial_sort(order, order + k, order + v.count, before);
            for (std::size_t j = 0; j < k; ++j) {
              const std::size_t to = (o * k + j) * v.inner + i;
              io.out<T>(0)[to] = at(order[j]);
              io.out<std::int64_t>(1)[to] = order[j];
            }
          }
      };
    } else {
      ctx.reject(cat("input of ", name(F::id), " is not supported"));
    }
  });
  b.workspace_bytes = checked_mul(x[axis], sizeof(std::uint32_t));
  QTK_CHECK(x[axis] <= std::numeric_limits<std::uint32_t>::max(), n.label(), "axis of ", x[axis]);
  count_work(b, ctx, 1);
  return b;
}

/// The loss of the log-probabilities x (N, C, ...) for labels (N, ...): -x[label] * weight[label];
/// labels that are ignore_index count nothing. "mean" divides by the weights that count.
struct label_loss {
  std::size_t N, C, plane;
  bool wide;  // labels are int64, not int32
  std::optional<std::int64_t> ignore;
  std::string reduction, where;

  label_loss(const op_context& ctx)  // NOLINT(google-explicit-constructor)
      : reduction(ctx.node().text("reduction", "mean")), where(ctx.node().label()) {
    const shape &x = ctx.dims(0), &labels = ctx.dims(1);
    QTK_CHECK(x.rank() >= 2 && labels.rank() + 1 == x.rank(), where, "labels ", labels, " for ", x);
    N = x[0], C = x[1], plane = x.product(2, x.rank());
    QTK_CHECK(labels.elements() == N * plane, where, "labels ", labels, " for ", x);
    QTK_CHECK(ctx.in(1).type == dtype::int64 || ctx.in(1).type == dtype::int32, where, "labels of ",
              name(ctx.in(1).type), " are not supported");
    wide = ctx.in(1).type == dtype::int64;
    if (const auto* i = ctx.node().find<std::int64_t>("ignore_index")) ignore = *i;
    QTK_CHECK(reduction == "mean" || reduction == "sum" || reduction == "none", where,
              "reduction = '", reduction, "'");
    if (ctx.has(2))
      QTK_CHECK(ctx.dims(2).elements() == C, where, "weights ", ctx.dims(2), " for ", C,
                " classes");
  }
  [[nodiscard]] shape output(const shape& labels) const {
    return reduction == "none" ? labels : shape{};
  }
  void run(const float* x, const node_buffers& io, float* y) const {
    const float* weights = io.in<float>(2);
    double sum = 0, total = 0;
    for (std::size_t i = 0; i < N * plane; ++i) {
      const std::int64_t label = wide ? io.in<std::int64_t>(1)[i] : io.in<std::int32_t>(1)[i];
      double loss = 0, weight = 0;
      if (!ignore || label != *ignore) {
        QTK_CHECK(label >= 0 && static_cast<std::size_t>(label) < C, where, "label ", label, " of ",
                  C);
        const auto c = static_cast<std::size_t>(label);
        weight = weights != nullptr ? static_cast<double>(weights[c]) : 1.0;
        loss = -weight * static_cast<double>(x[(i / plane * C + c) * plane + i % plane]);
      }
      if (reduction == "none") y[i] = static_cast<float>(loss);
      sum += loss;
      total += weight;
    }
    if (reduction != "none") *y = static_cast<float>(reduction == "sum" ? sum : sum / total);
  }
};

inline bound_node bind_nll_loss(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const label_loss loss(ctx);
  bound_node b{
      .outputs = {{dtype::fp32, loss.output(ctx.dims(1))}},
      .run = [loss](const node_buffers& io) { loss.run(io.in<float>(0), io, io.out<float>()); }};
  count_work(b, ctx, 1);
  return b;
}

/// The same of scores, by their log-softmax over axis 1, which is the second output.
inline bound_node bind_cross_entropy(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const label_loss loss(ctx);
  const bool kept = ctx.node().outputs.size() > 1;
  bound_node b{
      .outputs = {{dtype::fp32, loss.output(ctx.dims(1))}},
      .run =
          [loss, kept](const node_buffers& io) {
            auto* const column = reinterpret_cast<float*>(io.workspace);
            float* const log_p = kept ? io.out<float>(1) : column + round_up(loss.C, 16);
            for (std::size_t i = 0; i < loss.N * loss.plane; ++i) {
              const std::size_t at = i / loss.plane * loss.C * loss.plane + i % loss.plane;
              for (std::size_t c = 0; c < loss.C; ++c)
                column[c] = io.in<float>(0)[at + c * loss.plane];
              log_softmax(loss.C, column, column);
              for (std::size_t c = 0; c < loss.C; ++c) log_p[at + c * loss.plane] = column[c];
            }
            loss.run(log_p, io, io.out<float>());
          },
      .workspace_bytes = checked_mul(
          checked_add(round_up(loss.C, 16), kept ? 0 : ctx.dims(0).elements()), sizeof(float))};
  if (kept) b.outputs.push_back(ctx.in(0));
  count_work(b, ctx, 4);
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
