#pragma once

#include <tuple>
#include <utility>

#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/layer_codes.hpp"
#include "qtk/graph/ops/recognized.hpp"
#include "qtk/graph/ops/window.hpp"
#include "qtk/ops/conv.hpp"
#include "qtk/ops/linear.hpp"

/// Binders of the layers that hold packed weights, qtk.Linear and qtk.Conv; the table of the
/// operators of the domain qtk but Attention.
namespace qtk::inline QTK_ABI::graph_ops {

[[nodiscard]] inline activation parse_activation(const node& n) {
  const std::string act = n.text("activation", "");
  if (act.empty()) return activation::none;
  if (act == "relu") return activation::relu;
  if (act == "leaky_relu") return activation::leaky_relu;
  QTK_CHECK(act == "clip", n.label(), "unknown activation '", act, "'");
  return activation::clip;
}

[[nodiscard]] inline epilogue fused_epilogue(const node& n) {
  return {.act = parse_activation(n),
          .alpha = n.number("alpha", 0.01f),
          .lo = n.number("lo", 0.0f),
          .hi = n.number("hi", 6.0f)};
}

/// The weights (N, K) of a layer, cut into `groups` equal runs of rows and packed. Scales are cut
/// with their rows; with one scale for the whole tensor each part keeps it. `more`: arguments of
/// Packed.
template <class Packed, class... More>
[[nodiscard]] std::vector<Packed> pack(const op_context& ctx, std::size_t groups, More... more) {
  const any_tensor* w = ctx.constant(1);
  QTK_CHECK(w != nullptr, ctx.node().label(), "weights must be constant");
  const compute how = ctx.node().text("compute", "") == "int8" ? compute::integer : compute::real;
  return w->visit([&]<class F>(const tensor<F>& t) -> std::vector<Packed> {
    std::vector<Packed> parts;
    if constexpr (weight_format<F>) {
      const std::size_t rows = t.shape()[0] / groups;
      for (std::size_t g = 0; g < groups; ++g) {
        qtk::quantization q = t.quantization();
        if (groups > 1 && F::quantized && q.block[0] == 1) {
          const std::size_t runs = q.scales.size() / t.shape()[0];
          const auto cut = [&](auto& v) {
            if (v.empty()) return;
            const auto first = v.begin() + static_cast<std::ptrdiff_t>(g * rows * runs);
            v.assign(first, first + static_cast<std::ptrdiff_t>(rows * runs));
          };
          cut(q.scales);
          cut(q.zero_points);
        }
        const tensor_view<const F> part(t.view().row(g * rows), {rows, t.cols()},
                                        F::quantized ? &q : nullptr);
        parts.emplace_back(part, how, ctx.target(), more...);
      }
    } else {
      ctx.reject(cat("weights of ", name(F::id), " are not supported"));
    }
    return parts;
  });
}

/// What tells one packing of a session from another: nodes that share weights share it.
[[nodiscard]] inline std::string packed_name(const op_context& ctx, std::size_t groups) {
  const node& n = ctx.node();
  return cat(n.op, " ", groups, " ", n.text("compute", ""), " ", n.inputs.at(1));
}

/// Bias and residual of a layer: of the right shape.
inline void check_epilogue(const op_context& ctx, std::size_t channels, const shape& y) {
  if (ctx.has(2)) {
    ctx.expect(2, dtype::fp32);
    QTK_CHECK(ctx.dims(2).elements() == channels, ctx.node().label(), "bias ", ctx.dims(2), " for ",
              channels, " channels");
  }
  if (ctx.has(3))
    QTK_CHECK(ctx.dims(3) == y, ctx.node().label(), "residual ", ctx.dims(3), " for ", y);
}

template <class Kernel>
[[nodiscard]] std::string kernel_label(const Kernel& k) {
  return cat(k.name, " (", name(k.target), ")");
}

/// Traffic of a layer, each operand once: activations in and out, residual, packed weights.
[[nodiscard]] inline double layer_bytes(const op_context& ctx, std::size_t packed,
                                        const value_type& y) {
  const std::size_t residual = ctx.has(3) ? size_bytes(ctx.in(3)) : 0;
  return static_cast<double>(size_bytes(ctx.in(0)) + residual + size_bytes(y) + packed);
}

inline bound_node bind_linear(const op_context& ctx) {
  const shape &x = ctx.dims(0), &w = ctx.dims(1);
  QTK_CHECK(w.rank() == 2 && x.rank() >= 1 && x.back() == w[1], ctx.node().label(), "input ", x,
            " for weights ", w);
  shape y = x;
  y[y.rank() - 1] = w[0];
  check_epilogue(ctx, w[0], y);
  const layer_codes codes(ctx, y.elements());
  if (ctx.types_only()) return {.outputs = {{codes.result(), y}}, .run = {}};
  const auto layer = ctx.once<linear>(
      packed_name(ctx, 1), [&] { return linear(std::move(pack<packed_weights>(ctx, 1)[0])); });
  const packed_weights& packed = layer->weights();
  const std::size_t M = x.rows(), N = w[0], K = w[1];
  return {
      .outputs = {{codes.result(), y}},
      .run =
          [layer, M, N, K, codes, out = fused_epilogue(ctx.node())](const node_buffers& io) {
            epilogue e = out;
            const epilogue_codes c = codes.of(io, e);
            layer->run(M, codes.input(io), K, io.out<float>(), N, e,
                       io.workspace + codes.scratch_bytes(), io.executor, codes.x(), c);
          },
      .in_place = codes.in_place(),
      .workspace_bytes =
          checked_add(codes.scratch_bytes(),
                      layer->workspace_bytes(M, ctx.concurrency(), codes.writes_codes())),
      .packed = layer,
      .packed_bytes = packed.size_bytes(),
      .absorbed = 1u << 1,
      .flops = 2.0 * static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(K),
      .bytes = layer_bytes(ctx, packed.size_bytes(), {codes.result(), y}),
      .kernel = kernel_label(packed.kernel()),
      .integer = ctx.node().text("compute", "") == "int8",
  };
}

/// Rows of qtk.Conv on their own, where its kernel can: of images that threads would share by
/// pixels, as conv2d does unless there are more filters.
[[nodiscard]] inline std::shared_ptr<const row_bands> conv_bands(
    const op_context& ctx, const std::shared_ptr<const conv2d>& layer, const layer_codes& codes,
    const shape& x, const shape& y) {
  const window_2d& w = layer->window();
  const std::size_t reach = window_band::reach(w), scratch = codes.scratch_bytes();
  if (!layer->runs_in_bands(x, codes.reads_codes()) || !codes.by_parts() || y[1] > y[2] * y[3] ||
      w.pad_top >= reach || w.pad_bottom >= reach)
    return nullptr;
  return std::make_shared<const row_bands>(row_bands{
      .window = w,
      .unit = layer->band_unit(x),
      .whole = ctx.has(3),
      .workspace_bytes =
          [layer, x, scratch](std::size_t rows) {
            return scratch + layer->band_workspace_bytes(x, rows);
          },
      .run =
          [layer, x, codes, scratch, elements = y[1] * y[2] * y[3],
           out = fused_epilogue(ctx.node())](const node_buffers& io, std::size_t image,
                                             row_range rows, const std::byte* from,
                                             const row_layout& x_rows, std::byte* to,
                                             const row_layout& y_rows, std::byte* workspace) {
            node_buffers own = io;
            own.workspace = workspace;
            epilogue e = out;
            epilogue_codes c = codes.of(own, e).from(image * elements);
            if (e.residual != nullptr) e.residual += image * elements;
            if (c.y != nullptr) c.y = reinterpret_cast<std::uint8_t*>(to);
            layer->run_band(x, rows, codes.input(from), x_rows, reinterpret_cast<float*>(to),
                            y_rows, e, workspace + scratch, c);
          },
  });
}

/// qtk.Conv: weights as the matrix (O, I / group * kh * kw), kernel_shape given.
inline bound_node bind_conv(const op_context& ctx) {
  const node& n = ctx.node();
  const shape &x = ctx.dims(0), &w = ctx.dims(1);
  QTK_CHECK(x.rank() == 4, n.label(), "input ", x, " is not (batch, channels, height, width)");
  const std::int64_t group = n.integer("group", 1);
  QTK_CHECK(group > 0 && w.rank() == 2 && w[0] > 0 && w[0] % static_cast<std::size_t>(group) == 0,
            n.label(), "weights ", w, " in ", group, " groups");
  const window_2d window = parse_window(n, x, 0, 0);
  const auto groups = static_cast<std::size_t>(group);
  const std::size_t taps = window.kernel_h * window.kernel_w;
  QTK_CHECK(checked_mul(w[1], groups) == checked_mul(x[1], taps), n.label(), "input ", x,
            " for weights ", w, " in ", group, " groups");
  const shape y{x[0], w[0], window.out_height(x[2]), window.out_width(x[3])};
  check_epilogue(ctx, w[0], y);
  const layer_codes codes(ctx, y.elements());
  if (ctx.types_only()) return {.outputs = {{codes.result(), y}}, .run = {}};
  const auto filters = ctx.once<std::vector<packed_filters>>(
      cat(packed_name(ctx, groups), " ", taps),
      [&] { return pack<packed_filters>(ctx, groups, taps); });
  std::shared_ptr<const winograd_filters> winograd;
  if (winograd_filters::serve(*filters, window))
    winograd = ctx.once<winograd_filters>(cat("winograd ", packed_name(ctx, groups)),
                                          [&] { return winograd_filters(*filters); });
  const auto layer =
      std::make_shared<const conv2d>(filters, window, codes.x(), std::move(winograd));
  const std::size_t K = w[1];
  return {
      .outputs = {{codes.result(), y}},
      .run =
          [layer, x, codes, out = fused_epilogue(n)](const node_buffers& io) {
            epilogue e = out;
            const epilogue_codes c = codes.of(io, e);
            layer->run(x, codes.input(io), io.out<float>(), e, io.workspace + codes.scratch_bytes(),
                       io.executor, c);
          },
      .in_place = codes.in_place(),
      .workspace_bytes =
          checked_add(codes.scratch_bytes(), layer->workspace_bytes(x, ctx.concurrency())),
      // A depthwise layer has a form of its own, beside the filters that nodes may share.
      .packed = layer->is_depthwise() ? std::shared_ptr<const void>(layer) : filters,
      .packed_bytes = layer->packed_bytes(),
      .absorbed = 1u << 1,
      .flops = 2.0 * static_cast<double>(y.elements()) * static_cast<double>(K),
      .bytes = layer_bytes(ctx, layer->packed_bytes(), {codes.result(), y}),
      .kernel = kernel_label(layer->kernel(x)),
      .integer = n.text("compute", "") == "int8",
      .bands = conv_bands(ctx, layer, codes, x, y),
  };
}

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table layer_ops() {
  static constexpr op_definition table[] = {
      {"Conv", qtk_domain, bind_conv, 0, all_inputs ^ input_bit(1)},
      {"Gelu", qtk_domain, bind_own_gelu, 0, all_inputs},
      {"LayerNormalization", qtk_domain, bind_own_layer_norm, 0, all_inputs},
      {"Linear", qtk_domain, bind_linear, 0, all_inputs ^ input_bit(1)},
      {"Lookup", qtk_domain, bind_lookup},
  };
  return table;
}
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops
