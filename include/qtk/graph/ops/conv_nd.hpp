#pragma once

#include <cmath>

#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/window_nd.hpp"
#include "qtk/ops/product.hpp"

/// Convolutions that no layer took over: of other ranks than 2, or with weights that come at run
/// time.
namespace qtk::inline QTK_ABI::graph_ops {

/// Shapes of a convolution: x (N, C, ..), w (O, C / group, ..).
struct conv_shapes {
  std::size_t N, C, O, groups, in_plane;

  conv_shapes(const op_context& ctx, const shape& x, const shape& w, bool transposed) {
    const std::int64_t group = ctx.node().integer("group", 1);
    const std::string where = ctx.node().label();
    QTK_CHECK(x.rank() >= 3 && w.rank() == x.rank() && group > 0, where, "input ", x, ", weights ",
              w, " in ", group, " groups");
    groups = static_cast<std::size_t>(group);
    N = x[0];
    C = x[1];
    O = transposed ? checked_mul(w[1], groups) : w[0];
    in_plane = x.product(2, x.rank());
    QTK_CHECK(
        O % groups == 0 && C % groups == 0 && (transposed ? w[0] : checked_mul(w[1], groups)) == C,
        where, "input ", x, ", weights ", w, " in ", groups, " groups");
    if (ctx.has(2))
      QTK_CHECK(ctx.dims(2).elements() == O, where, "bias ", ctx.dims(2), " for ", O, " channels");
  }
};
[[nodiscard]] inline std::vector<std::int64_t> kernel_of(const shape& w) {
  std::vector<std::int64_t> k;
  for (std::size_t d = 2; d < w.rank(); ++d) k.push_back(static_cast<std::int64_t>(w[d]));
  return k;
}

/// y (N, O, ..) = the products of w with the taps of each position, which are written out as rows.
inline bound_node bind_conv_nd(const op_context& ctx) {
  for (std::size_t i = 0; i < 3; ++i)
    if (i != 2 || ctx.has(2)) ctx.expect(i, dtype::fp32);
  const shape &x = ctx.dims(0), &w = ctx.dims(1);
  const conv_shapes s(ctx, x, w, false);
  window_nd window(ctx, x, kernel_of(w));
  window.pad_automatically(ctx, x);
  const auto positions = window.positions(ctx, x);
  shape y{s.N, s.O};
  for (const std::size_t p : positions) y.push_back(p);
  const window_walk walk(window, x, positions);
  const std::size_t K = checked_mul(s.C / s.groups, walk.taps()), out = s.O / s.groups;
  const product_f32 product =
      product_f32(walk.positions(), out, K, false, ctx.target()).transposed();
  const std::size_t columns =
      round_up(checked_mul(checked_mul(walk.positions(), K), sizeof(float)), 64);
  bound_node b{
      .outputs = {{dtype::fp32, y}},
      .run =
          [=](const node_buffers& io) {
            auto* const rows = reinterpret_cast<float*>(io.workspace);
            for (std::size_t i = 0; i < s.N; ++i)
              for (std::size_t g = 0; g < s.groups; ++g) {
                const float* in = io.in<float>(0) + (i * s.C + g * (s.C / s.groups)) * s.in_plane;
                for (std::size_t p = 0; p < walk.positions(); ++p)
                  for (std::size_t t = 0; t < walk.taps(); ++t) {
                    const std::ptrdiff_t at = walk.at(p, t);
                    float* row = rows + p * K + t;
                    for (std::size_t c = 0; c < s.C / s.groups; ++c, row += walk.taps())
                      *row = at < 0 ? 0.0f : in[c * s.in_plane + static_cast<std::size_t>(at)];
                  }
                float* const to = io.out<float>() + (i * s.O + g * out) * walk.positions();
                product.run(
                    1, [&](std::size_t) { return rows; },
                    [&](std::size_t) { return io.in<float>(1) + g * out * K; },
                    [&](std::size_t) { return to; }, io.workspace + columns, io.executor);
                if (const float* bias = io.in<float>(2))
                  for (std::size_t o = 0; o < out; ++o)
                    for (std::size_t p = 0; p < walk.positions(); ++p)
                      to[o * walk.positions() + p] += bias[g * out + o];
              }
          },
      .workspace_bytes = checked_add(columns, product.workspace_bytes(1, ctx.concurrency()))};
  count_work(b, ctx, 2.0 * static_cast<double>(K));
  return b;
}

/// ConvTranspose: each input element spreads the weights over a window of the output.
inline bound_node bind_conv_transpose(const op_context& ctx) {
  const node& n = ctx.node();
  for (std::size_t i = 0; i < 3; ++i)
    if (i != 2 || ctx.has(2)) ctx.expect(i, dtype::fp32);
  const shape &x = ctx.dims(0), &w = ctx.dims(1);
  const conv_shapes s(ctx, x, w, true);
  window_nd window(ctx, x, kernel_of(w));
  auto extra = n.integers("output_padding");
  if (extra.empty()) extra.assign(window.rank, 0);
  const auto wanted = n.integers("output_shape");
  const std::string how = n.text("auto_pad", "NOTSET");
  QTK_CHECK(extra.size() == window.rank && (wanted.empty() || wanted.size() >= window.rank),
            n.label(), "output_padding or output_shape of another rank");
  shape y{s.N, s.O};
  for (std::size_t d = 0; d < window.rank; ++d) {
    const auto in = static_cast<std::int64_t>(x[d + 2]);
    QTK_CHECK(in > 0 && in < (1 << 30) && extra[d] >= 0 && extra[d] < (1 << 24), n.label(),
              "input ", x, ", output_padding ", extra[d]);
    const std::int64_t full = window.stride[d] * (in - 1) + extra[d] + window.reach(d);
    std::int64_t out = full - window.before[d] - window.after[d];
    if (!wanted.empty() || how == "SAME_UPPER" || how == "SAME_LOWER") {
      out = wanted.empty() ? in * window.stride[d] : wanted[wanted.size() - window.rank + d];
      const std::int64_t all = std::max<std::int64_t>(0, full - out);
      window.before[d] = how == "SAME_UPPER" ? all / 2 : all - all / 2;
      window.after[d] = all - window.before[d];
    } else if (how == "VALID") {
      window.before[d] = window.after[d] = 0;
      out = full;
    }
    QTK_CHECK(out > 0, n.label(), "an output of ", out);
    y.push_back(static_cast<std::size_t>(out));
  }
  // The output is what the window slides over; its positions are the elements of the input.
  std::vector<std::size_t> positions;
  for (std::size_t d = 0; d < window.rank; ++d) positions.push_back(x[d + 2]);
  const window_walk walk(window, y, positions);
  const std::size_t in = s.C / s.groups, out = s.O / s.groups;
  const std::size_t columns = checked_mul(out, walk.taps()), plane = y.product(2, y.rank());
  // columns (out * taps, positions) = w (in, out * taps)^T * x (in, positions)
  const product_f32 product(columns, s.in_plane, in, true, ctx.target());
  const std::size_t turned = round_up(checked_mul(checked_mul(columns, in), sizeof(float)), 64);
  const std::size_t spread =
      round_up(checked_mul(checked_mul(columns, s.in_plane), sizeof(float)), 64);
  bound_node b{
      .outputs = {{dtype::fp32, y}},
      .run =
          [=](const node_buffers& io) {
            auto* const weights = reinterpret_cast<float*>(io.workspace);
            auto* const cells = reinterpret_cast<float*>(io.workspace + turned);
            for (std::size_t g = 0; g < s.groups; ++g) {
              if (in * columns != 0)
                copy_strided({columns, in}, sizeof(float),
                             io.inputs[1] + g * in * columns * sizeof(float),
                             {1, static_cast<std::ptrdiff_t>(columns)}, io.workspace,
                             {static_cast<std::ptrdiff_t>(in), 1});
              for (std::size_t i = 0; i < s.N; ++i) {
                product.run(
                    1, [&](std::size_t) { return weights; },
                    [&](std::size_t) { return io.in<float>(0) + (i * s.C + g * in) * s.in_plane; },
                    [&](std::size_t) { return cells; }, io.workspace + turned + spread,
                    io.executor);
                for (std::size_t o = 0; o < out; ++o) {
                  float* const to = io.out<float>() + (i * s.O + g * out + o) * plane;
                  std::fill_n(to, plane,
                              io.in<float>(2) != nullptr ? io.in<float>(2)[g * out + o] : 0.0f);
                  const float* from = cells + o * walk.taps() * s.in_plane;
                  for (std::size_t t = 0; t < walk.taps(); ++t)
                    for (std::size_t p = 0; p < s.in_plane; ++p, ++from)
                      if (const std::ptrdiff_t at = walk.at(p, t); at >= 0) to[at] += *from;
                }
              }
            }
          },
      .workspace_bytes =
          checked_add(checked_add(turned, spread), product.workspace_bytes(1, ctx.concurrency()))};
  count_work(b, ctx, 0);
  b.flops = 2.0 * static_cast<double>(s.N * s.C * s.in_plane) * static_cast<double>(columns);
  return b;
}

/// DeformConv: a convolution whose taps are moved by offsets (and scaled by a mask) that are
/// inputs, read bilinearly (Zhu et al., Deformable ConvNets v2, 2018). Two dimensions.
inline bound_node bind_deform_conv(const op_context& ctx) {
  const node& n = ctx.node();
  for (std::size_t i = 0; i < 5; ++i)
    if (i < 3 || ctx.has(i)) ctx.expect(i, dtype::fp32);
  const shape &x = ctx.dims(0), &w = ctx.dims(1), &offset = ctx.dims(2);
  const std::int64_t group = n.integer("group", 1), offset_group = n.integer("offset_group", 1);
  QTK_CHECK(x.rank() == 4 && w.rank() == 4 && offset.rank() == 4 && group > 0 && offset_group > 0,
            n.label(), "input ", x, ", weights ", w);
  window_nd window(ctx, x, kernel_of(w));
  const auto positions = window.positions(ctx, x);
  const auto G = static_cast<std::size_t>(group), OG = static_cast<std::size_t>(offset_group);
  const std::size_t C = x[1], O = w[0], kh = w[2], kw = w[3], taps = kh * kw;
  const std::size_t oh = positions[0], ow = positions[1];
  QTK_CHECK(C % G == 0 && O % G == 0 && C % OG == 0 && w[1] * G == C &&
                offset == shape({x[0], OG * taps * 2, oh, ow}) &&
                (!ctx.has(4) || ctx.dims(4) == shape({x[0], OG * taps, oh, ow})) &&
                (!ctx.has(3) || ctx.dims(3).elements() == O),
            n.label(), "input ", x, ", weights ", w, ", offsets ", offset);
  const auto H = static_cast<std::int64_t>(x[2]), W = static_cast<std::int64_t>(x[3]);
  bound_node b{
      .outputs = {{dtype::fp32, {x[0], O, oh, ow}}},
      .run =
          [=, N = x[0]](const node_buffers& io) {
            auto* const column =
                reinterpret_cast<float*>(io.workspace);  // (C, taps) of one position
            for (std::size_t i = 0; i < N; ++i)
              for (std::size_t p = 0; p < oh * ow; ++p) {
                for (std::size_t c = 0; c < C; ++c)
                  for (std::size_t t = 0; t < taps; ++t) {
                    const std::size_t k = c / (C / OG) * taps + t;
                    const float* moved = io.in<float>(2) + ((i * OG * taps + k) * 2) * oh * ow + p;
                    const auto base = [&](std::size_t d, std::size_t at, std::size_t tap) {
                      return static_cast<double>(
                          static_cast<std::int64_t>(at) * window.stride[d] - window.before[d] +
                          static_cast<std::int64_t>(tap) * window.dilation[d]);
                    };
                    const double y = base(0, p / ow, t / kw) + static_cast<double>(moved[0]);
                    const double z = base(1, p % ow, t % kw) + static_cast<double>(moved[oh * ow]);
                    const float* plane =
                        io.in<float>(0) + (i * C + c) * static_cast<std::size_t>(H * W);
                    double value = 0;
                    if (y > -1 && y < static_cast<double>(H) && z > -1 &&
                        z < static_cast<double>(W)) {
                      const auto y0 = static_cast<std::int64_t>(std::floor(y));
                      const auto z0 = static_cast<std::int64_t>(std::floor(z));
                      const double fy = y - static_cast<double>(y0),
                                   fz = z - static_cast<double>(z0);
                      const auto pixel = [&](std::int64_t r, std::int64_t q) {
                        return r < 0 || r >= H || q < 0 || q >= W
                                   ? 0.0
                                   : static_cast<double>(plane[r * W + q]);
                      };
                      value = (1 - fy) * ((1 - fz) * pixel(y0, z0) + fz * pixel(y0, z0 + 1)) +
                              fy * ((1 - fz) * pixel(y0 + 1, z0) + fz * pixel(y0 + 1, z0 + 1));
                    }
                    if (io.in<float>(4) != nullptr)
                      value *=
                          static_cast<double>(io.in<float>(4)[(i * OG * taps + k) * oh * ow + p]);
                    column[c * taps + t] = static_cast<float>(value);
                  }
                for (std::size_t o = 0; o < O; ++o) {
                  const std::size_t g = o / (O / G), K = C / G * taps;
                  double sum =
                      io.in<float>(3) != nullptr ? static_cast<double>(io.in<float>(3)[o]) : 0;
                  for (std::size_t k = 0; k < K; ++k)
                    sum += static_cast<double>(io.in<float>(1)[o * K + k]) *
                           static_cast<double>(column[g * K + k]);
                  io.out<float>()[(i * O + o) * oh * ow + p] = static_cast<float>(sum);
                }
              }
          },
      .workspace_bytes = checked_mul(checked_mul(C, taps), sizeof(float))};
  count_work(b, ctx, 2.0 * static_cast<double>(C / G * taps));
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
