#pragma once

#include <cmath>
#include <limits>
#include <utility>

#include "qtk/graph/ops/heads.hpp"
#include "qtk/kernels/elementwise.hpp"
#include "qtk/ops/product.hpp"

/// Binders of attention: Y = softmax(softcap(Q K^T * scale) + bias) V, head by head.
namespace qtk::inline QTK_ABI::graph_ops {

/// What is added to the logits before the softmax: 0, or -infinity where a query may not see a key.
struct attention_bias {
  dtype mask_type = dtype::fp32;
  shape mask;  // broadcast to (B, H, q, kv), the last dimension perhaps shorter
  bool has_mask = false, causal = false;
  std::int64_t left = -1, right = -1;  // the window that a query sees, -1: all
  std::size_t past = 0;                // keys before the first query's own

  /// Adds to the logits of query i (of q) in head h of batch b; `keys` of them are not padding.
  /// Returns whether the query sees any key.
  bool add(const node_buffers& io, const elementwise_kernels& kernels, std::size_t b, std::size_t h,
           std::size_t i, std::size_t kv, std::int64_t offset, std::size_t keys,
           float* logits) const {
    constexpr float never = -std::numeric_limits<float>::infinity();
    const std::int64_t self = static_cast<std::int64_t>(i) + offset;
    std::int64_t first = left >= 0 ? self - left : 0, last = static_cast<std::int64_t>(keys);
    if (causal) last = std::min(last, self + 1);
    if (right >= 0) last = std::min(last, self + right + 1);
    const std::size_t width = has_mask ? mask.back() : 1;
    if (width != 1) last = std::min(last, static_cast<std::int64_t>(width));
    last = std::clamp<std::int64_t>(last, 0, static_cast<std::int64_t>(kv));
    first = std::clamp<std::int64_t>(first, 0, last);
    std::fill(logits, logits + first, never);
    std::fill(logits + last, logits + kv, never);
    const auto n = static_cast<std::size_t>(last - first);
    float* const seen = logits + first;
    if (!has_mask || n == 0) return n != 0;

    std::size_t from = 0;
    const std::size_t at[3] = {b, h, i};
    for (std::size_t d = mask.rank() - 1, step = width; d-- > 0; step *= mask[d])
      from += (mask[d] == 1 ? 0 : at[d + 4 - mask.rank()]) * step;
    if (width != 1) from += static_cast<std::size_t>(first);
    if (mask_type == dtype::boolean) {
      const auto* const visible = io.in<boolean::value_type>(3) + from;
      bool any = false;
      for (std::size_t j = 0; j < n; ++j) {
        const bool sees = visible[width == 1 ? 0 : j] != 0;
        any = any || sees;
        if (!sees) seen[j] = never;
      }
      return any;
    }
    const float* const bias = io.in<float>(3) + from;
    float lowest = *bias, highest = *bias;
    if (width == 1) {
      kernels.binary_scalar[static_cast<std::size_t>(binary_op::add)](n, seen, *bias, seen);
    } else {
      kernels.minmax(n, bias, &lowest, &highest);
      kernels.binary[static_cast<std::size_t>(binary_op::add)](n, seen, bias, seen);
    }
    return highest != never;
  }
};

/// Attention (set 23 and newer): grouped queries, caches of keys and values, masks, windows.
inline bound_node bind_attention(const op_context& ctx) {
  const node& n = ctx.node();
  for (std::size_t i = 0; i < 3; ++i) ctx.expect(i, dtype::fp32);
  const head_layout q(ctx, 0, n.integer("q_num_heads", 0));
  const head_layout k(ctx, 1, n.integer("kv_num_heads", 0));
  const head_layout v(ctx, 2, n.integer("kv_num_heads", 0));
  QTK_CHECK(q.batch == k.batch && k.batch == v.batch && k.heads == v.heads && k.heads > 0 &&
                q.heads % k.heads == 0 && k.length == v.length && q.width == k.width,
            n.label(), "Q ", ctx.dims(0), ", K ", ctx.dims(1), ", V ", ctx.dims(2));
  attention_bias bias;
  bias.causal = n.integer("is_causal", 0) != 0;
  bias.left = n.integer("left_window_size", -1);
  bias.right = n.integer("right_window_size", -1);
  if (ctx.has(4)) {
    ctx.expect(4, dtype::fp32);
    ctx.expect(5, dtype::fp32);
    const shape &pk = ctx.dims(4), &pv = ctx.dims(5);
    QTK_CHECK(pk.rank() == 4 && pv.rank() == 4 && pk[0] == k.batch && pk[1] == k.heads &&
                  pk[3] == k.width && pv == shape({k.batch, k.heads, pk[2], v.width}),
              n.label(), "past keys ", pk, ", values ", pv);
    bias.past = pk[2];
  }
  const std::size_t kv = bias.past + k.length;
  if (ctx.has(3)) {
    bias.has_mask = true;
    bias.mask = ctx.dims(3);
    bias.mask_type = ctx.in(3).type;
    const shape all{q.batch, q.heads, q.length, kv};
    bool fits = bias.mask.rank() >= 1 && bias.mask.rank() <= 4 && bias.mask.back() <= kv;
    for (std::size_t d = 0; fits && d + 1 < bias.mask.rank(); ++d)
      fits = bias.mask[d] == 1 || bias.mask[d] == all[d + 4 - bias.mask.rank()];
    QTK_CHECK(fits && (bias.mask_type == dtype::fp32 || bias.mask_type == dtype::boolean),
              n.label(), "mask ", name(bias.mask_type), " ", bias.mask, " for ", all);
  }
  const bool padded = ctx.has(6);
  if (padded) {
    ctx.expect(6, dtype::int64);
    QTK_CHECK(ctx.dims(6).elements() == q.batch && !ctx.has(4), n.label(), "nonpad_kv_seqlen ",
              ctx.dims(6));
  }
  const float given = n.number("scale", 0.0f);
  const float scale =
      n.find<float>("scale") != nullptr ? given : 1.0f / std::sqrt(static_cast<float>(q.width));
  const float cap = n.number("softcap", 0.0f);
  const std::int64_t mode = n.integer("qk_matmul_output_mode", 0);
  const bool keep = n.outputs.size() > 3;
  bound_node bound{.outputs = {{dtype::fp32, q.packed ? shape{q.batch, q.length, q.heads * v.width}
                                                      : shape{q.batch, q.heads, q.length, v.width}},
                               {dtype::fp32, {k.batch, k.heads, kv, k.width}},
                               {dtype::fp32, {v.batch, v.heads, kv, v.width}}},
                   .run = {}};
  if (keep) bound.outputs.push_back({dtype::fp32, {q.batch, q.heads, q.length, kv}});
  // Some queries at a time, so that their logits stay in the L2 cache: 256 KiB of them.
  const std::size_t block = std::min(
      q.length, round_up(std::max<std::size_t>((64 << 10) / std::max<std::size_t>(kv, 1), 1), 24));
  const product_f32 scores(block, kv, q.width, false, ctx.target());
  const product_f32 values(block, v.width, kv, true, ctx.target());
  const auto floats = [](std::size_t rows, std::size_t cols) {
    return round_up(checked_mul(checked_mul(rows, cols), sizeof(float)), 64);
  };
  const std::size_t q_bytes = floats(block, q.width), s_bytes = floats(block, kv),
                    y_bytes = floats(block, v.width), keys_bytes = scores.packing_bytes(),
                    values_bytes = values.packing_bytes(),
                    kernel_bytes = std::max(scores.kernel_bytes(), values.kernel_bytes());
  std::size_t task_bytes = 0;
  for (const std::size_t part : {q_bytes, s_bytes, y_bytes, keys_bytes, values_bytes, kernel_bytes})
    task_bytes = checked_add(task_bytes, part);
  bound.workspace_bytes = checked_mul(task_bytes, ctx.concurrency());
  bound.run = [=, &kernels = find_elementwise(ctx.target())](const node_buffers& io) {
    // Keys and values of past and present, head by head: the second and third output.
    float *const all_keys = io.out<float>(1), *const all_values = io.out<float>(2);
    for (std::size_t h = 0; h < k.batch * k.heads; ++h) {
      const auto join = [&](const head_layout& l, std::size_t past_input, std::size_t input,
                            float* to) {
        to += h * kv * l.width;
        if (bias.past != 0)
          std::copy_n(io.in<float>(past_input) + h * bias.past * l.width, bias.past * l.width, to);
        l.gather(io.in<float>(input), h / l.heads, h % l.heads, 0, l.length,
                 to + bias.past * l.width);
      };
      join(k, 4, 1, all_keys);
      join(v, 5, 2, all_values);
    }
    const std::size_t jobs = q.batch * q.heads, tasks = std::min(jobs, io.executor.concurrency());
    io.executor(tasks, [&](std::size_t task) {
      std::byte* scratch = io.workspace + task * task_bytes;
      const auto take = [&scratch](std::size_t bytes) {
        return std::exchange(scratch, scratch + bytes);
      };
      auto* const queries = reinterpret_cast<float*>(take(q_bytes));
      auto* const logits = reinterpret_cast<float*>(take(s_bytes));
      auto* const y = reinterpret_cast<float*>(take(y_bytes));
      std::byte *const keys_at = take(keys_bytes), *const values_at = take(values_bytes);
      for (std::size_t job = jobs * task / tasks; job < jobs * (task + 1) / tasks; ++job) {
        const std::size_t b = job / q.heads, h = job % q.heads;
        const std::size_t head = b * k.heads + h / (q.heads / k.heads);
        const float* const packed_keys = scores.pack(all_keys + head * kv * k.width, keys_at);
        const float* const packed_values = values.pack(all_values + head * kv * v.width, values_at);
        const std::int64_t present = padded ? io.in<std::int64_t>(6)[b] : 0;
        const std::size_t keys = padded ? static_cast<std::size_t>(std::clamp<std::int64_t>(
                                              present, 0, static_cast<std::int64_t>(kv)))
                                        : kv;
        const std::int64_t offset = padded ? present - static_cast<std::int64_t>(q.length)
                                           : static_cast<std::int64_t>(bias.past);
        for (std::size_t begin = 0; begin < q.length; begin += block) {
          const std::size_t count = std::min(block, q.length - begin);
          q.gather(io.in<float>(0), b, h, begin, count, queries);
          kernels.binary_scalar[static_cast<std::size_t>(binary_op::multiply)](
              count * q.width, queries, scale, queries);
          scores.rows(0, count, queries, packed_keys, logits, scratch);
          float* const kept = keep ? io.out<float>(3) + (job * q.length + begin) * kv : nullptr;
          const auto store = [&](std::int64_t at, std::size_t i) {
            if (kept != nullptr && mode == at) std::copy_n(logits + i * kv, kv, kept + i * kv);
          };
          for (std::size_t i = 0; i < count; ++i) {
            float* const row = logits + i * kv;
            store(0, i);
            if (cap > 0.0f)
              for (std::size_t j = 0; j < kv; ++j) row[j] = cap * std::tanh(row[j] / cap);
            store(1, i);
            const bool sees = bias.add(io, kernels, b, h, begin + i, kv, offset, keys, row);
            store(2, i);
            if (sees)
              kernels.softmax(kv, row, row);
            else
              std::fill_n(row, kv, 0.0f);
            store(3, i);
          }
          values.rows(0, count, logits, packed_values, y, scratch);
          for (std::size_t i = 0; i < count; ++i) {
            const std::size_t at = q.packed ? ((b * q.length + begin + i) * q.heads + h) * v.width
                                            : (job * q.length + begin + i) * v.width;
            std::copy_n(y + i * v.width, v.width, io.out<float>() + at);
          }
        }
      }
    });
  };
  count_work(bound, ctx, 0);
  bound.flops = 2.0 * static_cast<double>(q.batch * q.heads * q.length) *
                static_cast<double>(kv * (q.width + v.width));
  return bound;
}

/// LinearAttention: a state S (d_k, d_v) for each head of keys, from token to token
///   S = exp(decay) * S;  v' = beta * (v - S^T k);  S = S + k v'^T;  y = scale * S^T q
/// decay in "gated" rules, the correction of v in "delta" ones (Yang et al., Gated Delta Networks,
/// 2024). Sums in fp32.
inline bound_node bind_linear_attention(const op_context& ctx) {
  const node& n = ctx.node();
  const std::string rule = n.text("update_rule", "gated_delta");
  const bool gated = rule == "gated" || rule == "gated_delta";
  const bool delta = rule == "delta" || rule == "gated_delta";
  QTK_CHECK(gated || delta || rule == "linear", n.label(), "update_rule = '", rule, "'");
  QTK_CHECK(gated == ctx.has(4) && delta == ctx.has(5), n.label(),
            "decay and beta for update_rule ", rule);
  for (std::size_t i = 0; i < 6; ++i)
    if (ctx.has(i)) ctx.expect(i, dtype::fp32);
  const head_layout q(ctx, 0, n.integer("q_num_heads", 0));
  const head_layout k(ctx, 1, n.integer("kv_num_heads", 0));
  const head_layout v(ctx, 2, n.integer("kv_num_heads", 0));
  QTK_CHECK(q.packed && k.packed && v.packed && q.batch == k.batch && k.batch == v.batch &&
                q.length == k.length && k.length == v.length && k.heads > 0 &&
                q.heads % k.heads == 0 && q.width == k.width,
            n.label(), "query ", ctx.dims(0), ", key ", ctx.dims(1), ", value ", ctx.dims(2));
  const std::size_t rows = q.batch * q.length;
  const shape state{q.batch, k.heads, k.width, v.width};
  const std::size_t decays = gated ? ctx.dims(4).cols() : 0, betas = delta ? ctx.dims(5).cols() : 0;
  QTK_CHECK(!gated || (ctx.dims(4).elements() == rows * decays &&
                       (decays == k.heads || decays == k.heads * k.width)),
            n.label(), "decay ", gated ? ctx.dims(4) : shape{});
  QTK_CHECK(!delta || (ctx.dims(5).elements() == rows * betas && (betas == k.heads || betas == 1)),
            n.label(), "beta ", delta ? ctx.dims(5) : shape{});
  QTK_CHECK(!ctx.has(3) || ctx.dims(3) == state, n.label(), "past_state ",
            ctx.has(3) ? ctx.dims(3) : state);
  const float given = n.number("scale", 0.0f);
  const float scale = given != 0.0f ? given : 1.0f / std::sqrt(static_cast<float>(k.width));
  bound_node bound{
      .outputs = {{dtype::fp32, {q.batch, q.length, q.heads * v.width}}, {dtype::fp32, state}},
      .run =
          [=](const node_buffers& io) {
            auto* const corrected = reinterpret_cast<float*>(io.workspace);
            const std::size_t group = q.heads / k.heads;
            for (std::size_t b = 0; b < q.batch; ++b)
              for (std::size_t h = 0; h < k.heads; ++h) {
                float* const S = io.out<float>(1) + (b * k.heads + h) * k.width * v.width;
                if (io.in<float>(3) != nullptr)
                  std::copy_n(io.in<float>(3) + (b * k.heads + h) * k.width * v.width,
                              k.width * v.width, S);
                else
                  std::fill_n(S, k.width * v.width, 0.0f);
                for (std::size_t t = 0; t < q.length; ++t) {
                  const std::size_t row = b * q.length + t;
                  const float* key = io.in<float>(1) + k.row(b, h, t);
                  const float* value = io.in<float>(2) + v.row(b, h, t);
                  if (gated)
                    for (std::size_t d = 0; d < k.width; ++d) {
                      const std::size_t at =
                          row * decays + (decays == k.heads ? h : h * k.width + d);
                      const float g = std::exp(io.in<float>(4)[at]);
                      for (std::size_t m = 0; m < v.width; ++m) S[d * v.width + m] *= g;
                    }
                  std::copy_n(value, v.width, corrected);
                  if (delta) {
                    const float beta = io.in<float>(5)[row * betas + (betas == 1 ? 0 : h)];
                    for (std::size_t d = 0; d < k.width; ++d)
                      for (std::size_t m = 0; m < v.width; ++m)
                        corrected[m] -= S[d * v.width + m] * key[d];
                    for (std::size_t m = 0; m < v.width; ++m) corrected[m] *= beta;
                  }
                  for (std::size_t d = 0; d < k.width; ++d)
                    for (std::size_t m = 0; m < v.width; ++m)
                      S[d * v.width + m] += key[d] * corrected[m];
                  for (std::size_t g = 0; g < group; ++g) {
                    const std::size_t head = h * group + g;
                    const float* query = io.in<float>(0) + q.row(b, head, t);
                    float* const y = io.out<float>() + (row * q.heads + head) * v.width;
                    std::fill_n(y, v.width, 0.0f);
                    for (std::size_t d = 0; d < k.width; ++d)
                      for (std::size_t m = 0; m < v.width; ++m)
                        y[m] += query[d] * S[d * v.width + m];
                    for (std::size_t m = 0; m < v.width; ++m) y[m] *= scale;
                  }
                }
              }
          },
      .workspace_bytes = checked_mul(v.width, sizeof(float))};
  count_work(bound, ctx, 0);
  bound.flops = 6.0 * static_cast<double>(rows * q.heads * k.width) * static_cast<double>(v.width);
  return bound;
}

/// A depthwise convolution over time that sees the last k - 1 steps of before: y (B, C, L), and the
/// last k - 1 steps of now.
inline bound_node bind_causal_conv(const op_context& ctx) {
  const node& n = ctx.node();
  for (std::size_t i = 0; i < 4; ++i)
    if (ctx.has(i)) ctx.expect(i, dtype::fp32);
  const shape &x = ctx.dims(0), &w = ctx.dims(1);
  QTK_CHECK(x.rank() == 3 && w.rank() == 3 && w[0] == x[1] && w[1] == 1 && w[2] > 0, n.label(),
            "input ", x, ", weight ", w);
  const std::size_t B = x[0], C = x[1], L = x[2], k = w[2];
  const shape state{B, C, k - 1};
  QTK_CHECK((!ctx.has(2) || ctx.dims(2).elements() == C) && (!ctx.has(3) || ctx.dims(3) == state),
            n.label(), "bias or past_state of another shape");
  const std::string act = n.text("activation", "none");
  QTK_CHECK(act == "none" || act == "silu" || act == "swish", n.label(), "activation = '", act,
            "'");
  bound_node b{.outputs = {ctx.in(0), {dtype::fp32, state}},
               .run =
                   [=, silu = act != "none"](const node_buffers& io) {
                     auto* const padded = reinterpret_cast<float*>(io.workspace);
                     for (std::size_t r = 0; r < B * C; ++r) {
                       if (io.in<float>(3) != nullptr)
                         std::copy_n(io.in<float>(3) + r * (k - 1), k - 1, padded);
                       else
                         std::fill_n(padded, k - 1, 0.0f);
                       std::copy_n(io.in<float>(0) + r * L, L, padded + k - 1);
                       const float* taps = io.in<float>(1) + r % C * k;
                       for (std::size_t i = 0; i < L; ++i) {
                         float sum = io.in<float>(2) != nullptr ? io.in<float>(2)[r % C] : 0.0f;
                         for (std::size_t t = 0; t < k; ++t) sum += taps[t] * padded[i + t];
                         io.out<float>()[r * L + i] = silu ? sum / (1.0f + std::exp(-sum)) : sum;
                       }
                       std::copy_n(padded + L, k - 1, io.out<float>(1) + r * (k - 1));
                     }
                   },
               .workspace_bytes = checked_mul(checked_add(L, k), sizeof(float))};
  count_work(b, ctx, 2.0 * static_cast<double>(k));
  return b;
}

/// a * sigmoid(alpha * a) * b
inline bound_node bind_swiglu(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  ctx.expect(1, dtype::fp32);
  QTK_CHECK(ctx.dims(0) == ctx.dims(1), ctx.node().label(), "inputs ", ctx.dims(0), " and ",
            ctx.dims(1));
  bound_node b{.outputs = {ctx.in(0)},
               .run =
                   [n = ctx.dims(0).elements(),
                    alpha = ctx.node().number("alpha", 1.0f)](const node_buffers& io) {
                     for (std::size_t i = 0; i < n; ++i) {
                       const float a = io.in<float>(0)[i];
                       io.out<float>()[i] = a / (1.0f + std::exp(-alpha * a)) * io.in<float>(1)[i];
                     }
                   },
               .in_place = 0};
  count_work(b, ctx, 4);
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
