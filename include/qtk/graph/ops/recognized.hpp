#pragma once

#include <cmath>
#include <vector>

#include "qtk/graph/convert.hpp"
#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/parts.hpp"
#include "qtk/kernels/elementwise.hpp"
#include "qtk/quantize/quantize.hpp"

/// Binders of the operators that passes recognize (domain qtk; passes/recognize.hpp says what each
/// computes).
namespace qtk::inline QTK_ABI::graph_ops {

/// 0.5 * x * (1 + erf(x / sqrt(2))), or with tanh: 2 * sqrt(2 / pi) * (x + 0.044715 * x^3) is what
/// the sigmoid that multiplies x takes, since 1 + tanh(z) = 2 * sigmoid(2 * z).
inline bound_node bind_own_gelu(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const std::size_t n = ctx.dims(0).elements();
  const bool with_tanh = ctx.node().text("approximate", "none") == "tanh";
  bound_node b{.outputs = {ctx.in(0)},
               .run =
                   [n, with_tanh, &k = find_elementwise(ctx.target())](const node_buffers& io) {
                     const float* x = io.in<float>(0);
                     float* y = io.out<float>();
                     in_parts(io.executor, n, 4, [&](std::size_t begin, std::size_t end) {
                       if (!with_tanh)
                         return k.unary[static_cast<std::size_t>(unary_op::gelu)](
                             end - begin, x + begin, y + begin);
                       constexpr std::size_t block = 512;
                       float gate[block];
                       for (std::size_t i = begin; i < end; i += block) {
                         const std::size_t count = std::min(block, end - i);
                         for (std::size_t j = 0; j < count; ++j) {
                           const float v = x[i + j];
                           gate[j] = 1.5957691216f * (v + 0.044715f * v * v * v);
                         }
                         k.unary[static_cast<std::size_t>(unary_op::sigmoid)](count, gate, gate);
                         for (std::size_t j = 0; j < count; ++j) y[i + j] = x[i + j] * gate[j];
                       }
                     });
                   },
               .in_place = 0};
  count_work(b, ctx, 1);
  return b;
}

/// Over one axis: the kernel's row where it is the last, else many columns at once, sums in double.
inline bound_node bind_own_layer_norm(const op_context& ctx) {
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  ctx.expect(0, dtype::fp32);
  const std::size_t axis = x.axis(n.integer("axis", -1)), C = x[axis];
  const std::size_t outer = x.product(0, axis), inner = x.product(axis + 1, x.rank());
  for (std::size_t i = 1; i < 3; ++i) {
    if (!ctx.has(i)) continue;
    ctx.expect(i, dtype::fp32);
    QTK_CHECK(ctx.dims(i).elements() == C, n.label(), "input ", i, " of ", ctx.dims(i), " for ", C);
  }
  bound_node b{
      .outputs = {ctx.in(0)},
      .run =
          [=, epsilon = n.number("epsilon", 1e-5f),
           &k = find_elementwise(ctx.target())](const node_buffers& io) {
            const float *gamma = io.in<float>(1), *beta = io.in<float>(2);
            if (inner == 1)
              return in_parts(io.executor, outer, 4 * C, [&](std::size_t begin, std::size_t end) {
                for (std::size_t r = begin; r < end; ++r)
                  k.layer_norm(C, io.in<float>(0) + r * C, gamma, beta, epsilon,
                               io.out<float>() + r * C);
              });
            constexpr std::size_t lanes = 64;
            const std::size_t strips = ceil_div(inner, lanes);
            in_parts(
                io.executor, outer * strips, 4 * C * lanes,
                [&](std::size_t begin, std::size_t end) {
                  for (std::size_t s = begin; s < end; ++s) {
                    const std::size_t at = s % strips * lanes, count = std::min(lanes, inner - at);
                    const float* in = io.in<float>(0) + s / strips * C * inner + at;
                    float* out = io.out<float>() + s / strips * C * inner + at;
                    double sum[lanes] = {}, squares[lanes] = {};
                    for (std::size_t c = 0; c < C; ++c)
                      for (std::size_t i = 0; i < count; ++i)
                        sum[i] += static_cast<double>(in[c * inner + i]);
                    float mean[lanes], gain[lanes];
                    for (std::size_t i = 0; i < count; ++i)
                      mean[i] = static_cast<float>(sum[i] / static_cast<double>(C));
                    for (std::size_t c = 0; c < C; ++c)
                      for (std::size_t i = 0; i < count; ++i) {
                        const double d = static_cast<double>(in[c * inner + i] - mean[i]);
                        squares[i] += d * d;
                      }
                    for (std::size_t i = 0; i < count; ++i)
                      gain[i] =
                          static_cast<float>(1 / std::sqrt(squares[i] / static_cast<double>(C) +
                                                           static_cast<double>(epsilon)));
                    for (std::size_t c = 0; c < C; ++c) {
                      const float g = gamma != nullptr ? gamma[c] : 1.0f,
                                  shift = beta != nullptr ? beta[c] : 0.0f;
                      for (std::size_t i = 0; i < count; ++i)
                        out[c * inner + i] = (in[c * inner + i] - mean[i]) * (gain[i] * g) + shift;
                    }
                  }
                });
          },
      .in_place = 0};
  count_work(b, ctx, 8);
  return b;
}

/// Rows of w^T, where w (N, K) may be stored in any format of weights, with the bias added.
inline bound_node bind_lookup(const op_context& ctx) {
  const node& n = ctx.node();
  const shape &x = ctx.dims(0), &w = ctx.dims(1);
  QTK_CHECK(w.rank() == 2, n.label(), "weights ", w);
  const std::size_t N = w[0], K = w[1], count = x.elements();
  if (ctx.has(2)) {
    ctx.expect(2, dtype::fp32);
    QTK_CHECK(ctx.dims(2).elements() == N, n.label(), "bias ", ctx.dims(2), " for ", N);
  }
  shape y = x;
  y.push_back(N);
  bound_node b{.outputs = {{dtype::fp32, y}}, .run = {}};
  if (ctx.types_only()) return b;
  const auto table = ctx.once<std::vector<float>>(cat("Lookup ", n.inputs.at(1)), [&] {
    QTK_CHECK(ctx.constant(1) != nullptr, n.label(), "weights must be constant");
    std::vector<float> rows((K + 1) * N);  // the last one is for indices out of range
    const tensor<fp32> real = dequantize(ctx.value(1));
    for (std::size_t r = 0; r < N; ++r)
      for (std::size_t c = 0; c < K; ++c) rows[c * N + r] = real.data()[r * K + c];
    return rows;
  });
  b.run = [=, type = ctx.in(0).type](const node_buffers& io) {
    const float* bias = io.in<float>(2);
    const std::size_t width = static_cast<std::size_t>(bits(type)) / 8;
    in_parts(io.executor, count, 4 * N, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        std::int64_t at = 0;
        if (type == dtype::int64)
          at = io.in<std::int64_t>(0)[i];
        else if (type == dtype::int32)
          at = io.in<std::int32_t>(0)[i];
        else
          convert_elements(type, io.inputs[0] + i * width, dtype::int64,
                           reinterpret_cast<std::byte*>(&at), 1);
        const auto depth = static_cast<std::int64_t>(K);
        at = at < -depth || at >= depth ? depth : at < 0 ? at + depth : at;
        const float* from = table->data() + static_cast<std::size_t>(at) * N;
        float* to = io.out<float>() + i * N;
        if (bias == nullptr)
          std::copy_n(from, N, to);
        else
          for (std::size_t c = 0; c < N; ++c) to[c] = from[c] + bias[c];
      }
    });
  };
  b.packed = table;
  b.packed_bytes = table->size() * sizeof(float);
  b.absorbed = 1u << 1;
  count_work(b, ctx, 0);
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
