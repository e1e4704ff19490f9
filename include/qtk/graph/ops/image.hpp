#pragma once

#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/conv_nd.hpp"
#include "qtk/graph/ops/parts.hpp"
#include "qtk/graph/ops/pool_nd.hpp"
#include "qtk/graph/ops/sample.hpp"
#include "qtk/graph/ops/signal.hpp"
#include "qtk/graph/ops/window.hpp"
#include "qtk/kernels/elementwise.hpp"
#include "qtk/ops/pool.hpp"

/// Binders of operators on images and signals: convolutions that no layer took over, pooling.
namespace qtk::inline QTK_ABI::graph_ops {

inline bound_node bind_pool(const op_context& ctx) {
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  const dtype type = ctx.in(0).type;
  const bool codes = n.op == "MaxPool" && type == dtype::uint8;
  if (x.rank() != 4 || n.outputs.size() > 1 || (type != dtype::fp32 && !codes))
    return n.op == "MaxPool" ? bind_max_pool_nd(ctx) : bind_average_pool_nd(ctx);
  QTK_CHECK(n.integers("kernel_shape").size() == 2, n.label(), "kernel_shape is not 2-D");
  const window_2d w = parse_window(n, x, 1, 1);
  const bool ceil = n.integer("ceil_mode", 0) != 0;
  // With ceil_mode the last window may hang over the end, but not start behind it.
  const auto extent = [&](std::size_t in, std::size_t begin, std::size_t end, std::size_t kernel,
                          std::size_t stride, std::size_t dilation) {
    const std::size_t out = window_2d::extent(in, begin + end, kernel, stride, dilation);
    const std::size_t covered = (out - 1) * stride + dilation * (kernel - 1) + 1;
    return out + (ceil && covered < in + begin + end && out * stride < in + begin);
  };
  const std::size_t oh =
      extent(x[2], w.pad_top, w.pad_bottom, w.kernel_h, w.stride_h, w.dilation_h);
  const std::size_t ow =
      extent(x[3], w.pad_left, w.pad_right, w.kernel_w, w.stride_w, w.dilation_w);
  const pool_kind kind = n.op == "MaxPool"                        ? pool_kind::max
                         : n.integer("count_include_pad", 0) != 0 ? pool_kind::average_with_padding
                                                                  : pool_kind::average;
  bound_node b{.outputs = {{type, {x[0], x[1], oh, ow}}},
               .run = [kind, codes, w, x, oh, ow](const node_buffers& io) {
                 const std::size_t plane = x[2] * x[3], out = oh * ow;
                 in_parts(io.executor, x[0] * x[1], plane * (codes ? 1 : sizeof(float)),
                          [&](std::size_t begin, std::size_t end) {
                            if (codes)
                              return max_pool_2d(w, end - begin, x[2], x[3], oh, ow,
                                                 io.in<std::uint8_t>(0) + begin * plane,
                                                 io.out<std::uint8_t>() + begin * out);
                            pool_2d(kind, w, end - begin, x[2], x[3], oh, ow,
                                    io.in<float>(0) + begin * plane, io.out<float>() + begin * out);
                          });
               }};
  count_work(b, ctx, static_cast<double>(w.kernel_h * w.kernel_w));
  return b;
}

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table image_ops() {
  static constexpr op_definition table[] = {
      {"AffineGrid", "", bind_affine_grid, input_bit(1), all_inputs},
      {"GridSample", "", bind_grid_sample, 0, all_inputs},
      {"NonMaxSuppression", "", bind_non_max_suppression, all_inputs, 0, 0, true},
      {"Resize", "", bind_resize, input_bit(1) | input_bit(2) | input_bit(3)},
      {"RoiAlign", "", bind_roi_align, 0, input_bit(0) | input_bit(1)},
      {"Upsample", "", bind_resize, input_bit(1)},
      {"AveragePool", "", bind_pool, 0, all_inputs},
      {"Conv", "", bind_conv_nd, 0, all_inputs},
      {"GlobalAveragePool", "", bind_global_pool<false>, 0, all_inputs},
      {"GlobalMaxPool", "", bind_global_pool<true>, 0, all_inputs},
      {"ConvTranspose", "", bind_conv_transpose, 0, all_inputs},
      {"DeformConv", "", bind_deform_conv, 0, all_inputs},
      {"GlobalLpPool", "", bind_global_lp_pool, 0, all_inputs},
      {"LpPool", "", bind_lp_pool, 0, all_inputs},
      {"MaxPool", "", bind_pool, 0, 0, all_inputs},
      {"MaxUnpool", "", bind_max_unpool, input_bit(2), all_inputs},
      {"BlackmanWindow", "", bind_window, input_bit(0)},
      {"DFT", "", bind_dft, input_bit(1) | input_bit(2), 0, all_inputs},
      {"HammingWindow", "", bind_window, input_bit(0)},
      {"HannWindow", "", bind_window, input_bit(0)},
      {"MelWeightMatrix", "", bind_mel_weights, all_inputs},
      {"STFT", "", bind_stft, input_bit(1) | input_bit(3), 0, all_inputs},
  };
  return table;
}
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops
