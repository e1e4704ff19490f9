#pragma once

#include <string>

#include "qtk/graph/ops/heads.hpp"

/// Binders of rotary embeddings.
namespace qtk::inline QTK_ABI::graph_ops {

/// Rotates pairs of a head's elements by the angles of their position (Su et al., RoFormer, 2021).
struct rotary {
  head_layout x;
  std::size_t half = 0, positions = 0;  // pairs of a head, rows of the caches
  bool interleaved = false;
  std::string label;

  /// `cosine` and the input behind it are the caches.
  rotary(const op_context& ctx, const head_layout& heads, std::size_t cosine) : x(heads) {
    const node& n = ctx.node();
    label = n.label();
    interleaved = n.integer("interleaved", 0) != 0;
    for (const std::size_t i : {std::size_t{0}, cosine, cosine + 1}) ctx.expect(i, dtype::fp32);
    const std::int64_t given = n.integer("rotary_embedding_dim", 0);
    QTK_CHECK(given >= 0 && static_cast<std::uint64_t>(given) <= x.width, label,
              "rotary_embedding_dim ", given, " of ", x.width);
    const std::size_t rotated = given == 0 ? x.width : static_cast<std::size_t>(given);
    half = rotated / 2;
    const shape& cache = ctx.dims(cosine);
    QTK_CHECK(rotated % 2 == 0 && cache.rank() >= 2 && cache.back() == half &&
                  ctx.dims(cosine + 1) == cache,
              label, "caches ", cache, " and ", ctx.dims(cosine + 1), " for ", rotated,
              " elements");
    positions = cache.rows();
  }

  /// `position(b, i)` of token i in batch b: the row of the caches.
  template <class Position>
  void run(const node_buffers& io, std::size_t cosine_input, Position&& position) const {
    for (std::size_t b = 0; b < x.batch; ++b)
      for (std::size_t i = 0; i < x.length; ++i) {
        const std::int64_t at = position(b, i);
        QTK_CHECK(at >= 0 && static_cast<std::size_t>(at) < positions, label, "position ", at,
                  " of ", positions);
        const std::size_t row = static_cast<std::size_t>(at) * half;
        const float *cosine = io.in<float>(cosine_input) + row,
                    *sine = io.in<float>(cosine_input + 1) + row;
        for (std::size_t h = 0; h < x.heads; ++h) {
          const float* in = io.in<float>(0) + x.row(b, h, i);
          float* out = io.out<float>() + x.row(b, h, i);
          for (std::size_t k = 0; k < half; ++k) {
            const std::size_t p = interleaved ? 2 * k : k, r = interleaved ? p + 1 : k + half;
            const float real = in[p], imaginary = in[r];
            out[p] = cosine[k] * real - sine[k] * imaginary;
            out[r] = sine[k] * real + cosine[k] * imaginary;
          }
          for (std::size_t k = 2 * half; k < x.width; ++k) out[k] = in[k];
        }
      }
  }
};

/// RotaryEmbedding of ONNX: position_ids, or without them a row of the caches for each token.
inline bound_node bind_rotary(const op_context& ctx) {
  const node& n = ctx.node();
  const rotary r(ctx, head_layout(ctx, 0, n.integer("num_heads", 0)), 1);
  const bool ids = ctx.has(3);
  const std::size_t tokens = r.x.batch * r.x.length;
  if (ids) ctx.expect(3, dtype::int64);
  QTK_CHECK(ids ? ctx.dims(3).elements() == tokens : r.positions == tokens, n.label(), "caches ",
            ctx.dims(1), ", position_ids ", ids ? ctx.dims(3) : shape{});
  bound_node bound{.outputs = {ctx.in(0)},
                   .run =
                       [r, ids](const node_buffers& io) {
                         r.run(io, 1, [&](std::size_t b, std::size_t i) {
                           const std::size_t at = b * r.x.length + i;
                           return ids ? io.in<std::int64_t>(3)[at] : static_cast<std::int64_t>(at);
                         });
                       },
                   .in_place = 0};
  count_work(bound, ctx, 3);
  return bound;
}

/// RotaryEmbedding of Microsoft (x, position_ids, cos, sin): position_ids of each token, or one
/// number, that of the first token. Heads are as wide as the caches where num_heads is not given.
inline bound_node bind_microsoft_rotary(const op_context& ctx) {
  const node& n = ctx.node();
  QTK_CHECK(n.integer("is_packed_batching", 0) == 0 && n.number("scale", 1.0f) == 1.0f, n.label(),
            "packed batches and scales are not supported");
  std::int64_t heads = n.integer("num_heads", 0);
  const shape &x = ctx.dims(0), &cache = ctx.dims(2);
  if (heads == 0 && cache.rank() >= 1 && cache.back() != 0 && x.rank() == 3)
    heads = static_cast<std::int64_t>(x[2] / 2 / cache.back());
  const rotary r(ctx, head_layout(ctx, 0, heads), 2);
  ctx.expect(1, dtype::int64);
  const bool first = ctx.dims(1).elements() == 1;
  QTK_CHECK(first || ctx.dims(1).elements() == r.x.batch * r.x.length, n.label(), "position_ids ",
            ctx.dims(1));
  bound_node bound{.outputs = {ctx.in(0)},
                   .run =
                       [r, first](const node_buffers& io) {
                         const auto* ids = io.in<std::int64_t>(1);
                         r.run(io, 2, [&](std::size_t b, std::size_t i) {
                           if (!first) return ids[b * r.x.length + i];
                           const auto step = static_cast<std::int64_t>(i);
                           return ids[0] < 0 || ids[0] > (std::int64_t{1} << 40) ? -1
                                                                                 : ids[0] + step;
                         });
                       },
                   .in_place = 0};
  count_work(bound, ctx, 3);
  return bound;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
