#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "qtk/kernels/conv.hpp"
#include "qtk/ops/batch.hpp"
#include "qtk/ops/image.hpp"
#include "qtk/ops/linear.hpp"
#include "qtk/ops/packed_filters.hpp"

namespace qtk::inline QTK_ABI {

/// What conv2d does where each channel has a filter of its own.
class depthwise_layer {
 public:
  [[nodiscard]] static bool serves(std::span<const packed_filters> groups, std::size_t taps) {
    const packed_filters& g = groups[0];
    return g.O() == 1 && g.K() == taps && g.group_size() == taps && taps <= max_depthwise_taps;
  }

  depthwise_layer(std::span<const packed_filters> groups, const std::optional<block_scale>& fixed)
      : kernel_(&find_depthwise(groups[0].kernel().target)),
        integer_(groups[0].kernel().op == conv_op::int8),
        fixed_(fixed),
        taps_(groups[0].K()),
        weights_(groups.size() * taps_),
        scales_(groups.size()) {
    for (std::size_t g = 0; g < groups.size(); ++g)
      groups[g].kernel().unpack(groups[g].data(), weights_.data() + g * taps_, scales_.data() + g);
  }

  const depthwise_kernel& kernel() const noexcept { return *kernel_; }
  std::size_t size_bytes() const noexcept {
    return (weights_.size() + scales_.size()) * sizeof(float);
  }

  [[nodiscard]] std::size_t workspace_bytes(const shape& x, const window_2d& w,
                                            std::size_t concurrency) const {
    return workspace_cursor::aligned(taps_ * sizeof(std::size_t)) +
           concurrency * per_task_bytes(x, w);
  }

  /// Of the arguments of conv2d::run().
  void run(const shape& x_shape, const shape& y_shape, const window_2d& w, layer_input x, float* y,
           const epilogue& out, void* workspace, executor_ref executor,
           const epilogue_codes& codes) const {
    workspace_cursor scratch(workspace);
    const depthwise_args args =
        arguments(x_shape, y_shape, w, out, scratch.take<std::size_t>(taps_));
    auto* const task_scratch = scratch.take<std::byte>(0);
    const std::size_t channels = x_shape[1], scratch_bytes = per_task_bytes(x_shape, w);
    // Reading and writing the image takes longer than multiplying.
    const std::size_t tasks =
        threads_for(executor, 0, (x_shape.elements() + y_shape.elements()) * sizeof(float));
    // Threads that share an image share what the products before and after it do: its rows, so that
    // each finds in its cache what it wrote, or where there are more filters than pixels, channels.
    const bool by_rows = (!integer_ || fixed_) && channels <= args.y_stride;
    for_image_parts(executor, tasks, x_shape[0], by_rows ? args.out_height : channels, 1,
                    [&](std::size_t task, std::size_t image, std::size_t begin, std::size_t end) {
                      const std::size_t at = image * channels * args.y_stride;
                      depthwise_args part = args;
                      if (out.residual != nullptr) part.out.residual += at;
                      const layer_input from = x.from(image * channels * args.image_stride);
                      float* const to = y == nullptr ? nullptr : y + at;
                      void* const own = task_scratch + task * scratch_bytes;
                      if (by_rows)
                        run_rows(part, w, {begin, end}, from, {.stride = args.image_stride}, to,
                                 {.stride = args.y_stride}, codes.from(at), own);
                      else
                        run_channels(part, from, {begin, end}, to, codes.from(at), own);
                    });
  }

  /// As conv2d::run_band().
  void run_band(const shape& x_shape, const shape& y_shape, const window_2d& w, row_range rows,
                layer_input x, const row_layout& x_rows, float* y, const row_layout& y_rows,
                const epilogue& out, void* workspace, const epilogue_codes& codes) const {
    workspace_cursor scratch(workspace);
    auto* const offsets = scratch.take<std::size_t>(taps_);
    run_rows(arguments(x_shape, y_shape, w, out, offsets), w, rows, x, x_rows, y, y_rows, codes,
             scratch.take<std::byte>(0));
  }

 private:
  struct range {
    std::size_t begin, end;
  };

  /// Those of all rows.
  [[nodiscard]] depthwise_args arguments(const shape& x_shape, const shape& y_shape,
                                         const window_2d& w, const epilogue& out,
                                         std::size_t* offsets) const noexcept {
    const image_arrangement plane(x_shape, w);
    for (std::size_t k = 0; k < taps_; ++k)
      offsets[k] = plane.tap(w, k / w.kernel_w, k % w.kernel_w);
    return {
        .channels = x_shape[1],
        .height = x_shape[2],
        .width = x_shape[3],
        .image_stride = x_shape[2] * x_shape[3],
        .plane_rows = plane.height,
        .phase = plane.phase,
        .pad_top = w.pad_top,
        .pad_left = w.pad_left,
        .stride_h = w.stride_h,
        .stride_w = w.stride_w,
        .taps = taps_,
        .offsets = offsets,
        .square = w.kernel_h == 3 && w.kernel_w == 3 && w.dilation_h == 1 && w.stride_h <= 2,
        .weights = weights_.data(),
        .out_height = y_shape[2],
        .out_width = y_shape[3],
        .y_stride = y_shape[2] * y_shape[3],
        .out = out,
    };
  }

  /// Output rows of an image; the residual lies as y does.
  void run_rows(depthwise_args args, const window_2d& w, row_range rows, layer_input x,
                const row_layout& x_rows, float* y, const row_layout& y_rows,
                const epilogue_codes& codes, void* workspace) const {
    const window_band band(w, args.height, rows);
    args.image_stride = x_rows.stride;
    args.height = band.rows.size();
    args.pad_top = band.window.pad_top;
    args.plane_rows = band.window.pad_top + band.rows.size() + band.window.pad_bottom;
    args.out_height = rows.size();
    args.y_stride = y_rows.stride;
    const std::size_t at = (rows.begin - y_rows.first_row) * args.out_width;
    if (args.out.residual != nullptr) args.out.residual += at;
    run_channels(args, x.from((band.rows.begin - x_rows.first_row) * args.width),
                 {0, args.channels}, y == nullptr ? nullptr : y + at, codes.from(at), workspace);
  }

  [[nodiscard]] std::size_t plane_elements(const depthwise_args& args) const noexcept {
    return 2 * (args.plane_rows * args.stride_w * args.phase + kernel_->width);
  }

  /// Elements of x or y whose codes fit the L1 cache with their floats.
  static constexpr std::size_t block_elements = 4096;
  /// Channels of so many, or of more than that one.
  [[nodiscard]] static std::size_t block_channels(std::size_t area, std::size_t pixels) noexcept {
    return std::max<std::size_t>(1, block_elements / std::max<std::size_t>({1, area, pixels}));
  }
  [[nodiscard]] std::size_t per_task_bytes(const shape& x, const window_2d& w) const {
    const std::size_t area = x[2] * x[3], pixels = w.out_height(x[2]) * w.out_width(x[3]);
    const std::size_t block = std::max({block_elements, area, pixels});  // also of fewer rows
    const std::size_t planes = 2 * (image_arrangement(x, w).plane + kernel_->width);
    return workspace_cursor::aligned(planes * sizeof(float)) +
           (integer_ ? 2 * workspace_cursor::aligned(block * sizeof(float)) +
                           workspace_cursor::aligned(block)
                     : 0);
  }

  /// Channels of an image, or of some rows of it: x and y are of channel 0.
  void run_channels(depthwise_args args, layer_input x, range channels, float* y,
                    const epilogue_codes& of_y, void* workspace) const {
    workspace_cursor scratch(workspace);
    args.planes = scratch.take<float>(plane_elements(args));
    const epilogue out = args.out;
    const bool by_way = of_y.any(),
               residual_by_way = by_way && (of_y.residual != nullptr || out.residual != nullptr);
    const auto run = [&](std::size_t begin, std::size_t count, const float* from, float* to,
                         const float* scales) {
      args.channels = count;
      args.image = from;
      args.weights = weights_.data() + begin * taps_;
      args.scales = scales;
      args.y = to;
      if (out.bias != nullptr) args.out.bias = out.bias + begin;
      if (residual_by_way)
        args.out.residual = to;
      else if (out.residual != nullptr)
        args.out.residual = out.residual + begin * args.y_stride;
      kernel_->run(args);
    };
    if (!integer_)
      return run(channels.begin, channels.end - channels.begin,
                 x.reals + channels.begin * args.image_stride, y + channels.begin * args.y_stride,
                 nullptr);

    // Codes of x, and of y and the residual where there are some, go by way of floats in the L1
    // cache, without gaps between the channels.
    const elementwise_kernels& k = find_elementwise(kernel_->target);
    const std::size_t area = args.height * args.width, pixels = args.out_height * args.out_width;
    const std::size_t block = block_channels(area, pixels);
    auto* const values = scratch.take<float>(block * area);
    auto* const codes = scratch.take<std::uint8_t>(block * area);
    auto* const reals = scratch.take<float>(block * pixels);
    const block_scale q = image_codes(k, weights_.size() / taps_ * area, x.reals, fixed_);
    args.image_scale = q.scale;
    const std::size_t x_stride = std::exchange(args.image_stride, area), y_stride = args.y_stride;
    if (by_way) args.y_stride = pixels;
    for (std::size_t begin = channels.begin, count; begin < channels.end; begin += count) {
      count = std::min(block, channels.end - begin);
      for_runs(begin, count, area, x_stride,
               [&](std::size_t there, std::size_t here, std::size_t n) {
                 if (x.codes == nullptr)
                   k.quantize_u8(n, x.reals + there, q.scale, q.zero_point, codes + here);
                 k.dequantize_u8(n, x.codes != nullptr ? x.codes + there : codes + here, 1.0f,
                                 q.zero_point, values + here);
               });
      if (residual_by_way)
        for_runs(begin, count, pixels, y_stride,
                 [&](std::size_t there, std::size_t here, std::size_t n) {
                   if (of_y.residual != nullptr)
                     k.dequantize_u8(n, of_y.residual + there, of_y.residual_scale,
                                     of_y.residual_zero_point, reals + here);
                   else
                     std::copy_n(out.residual + there, n, reals + here);
                 });
      run(begin, count, values, by_way ? reals : y + begin * y_stride, scales_.data() + begin);
      if (by_way)
        for_runs(begin, count, pixels, y_stride,
                 [&](std::size_t there, std::size_t here, std::size_t n) {
                   if (of_y.y != nullptr)
                     k.quantize_u8(n, reals + here, of_y.y_scale, of_y.y_zero_point,
                                   of_y.y + there);
                   else
                     std::copy_n(reals + here, n, y + there);
                 });
    }
  }

  /// f(where elements are, where they come in a block without gaps, how many) for channels that are
  /// `stride` apart.
  template <class Function>
  static void for_runs(std::size_t begin, std::size_t count, std::size_t elements,
                       std::size_t stride, const Function& f) {
    if (elements == stride) return f(begin * stride, 0, count * elements);
    for (std::size_t c = 0; c < count; ++c) f((begin + c) * stride, c * elements, elements);
  }

  const depthwise_kernel* kernel_;
  bool integer_;
  std::optional<block_scale> fixed_;
  std::size_t taps_;
  std::vector<float> weights_, scales_;  // (channels, taps), (channels)
};

}  // namespace qtk::inline QTK_ABI
