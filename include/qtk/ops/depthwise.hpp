#pragma once

#include <numeric>
#include <optional>
#include <span>
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
    if (!integer_ && channels <= args.y_stride)
      return for_image_parts(
          executor, tasks, x_shape[0], args.out_height,
          16 / std::gcd(std::size_t{16}, args.out_width),
          [&](std::size_t task, std::size_t image, std::size_t begin, std::size_t end) {
            depthwise_args part = args;
            const std::size_t at = image * channels * args.y_stride;
            if (out.residual != nullptr) part.out.residual += at;
            run_rows(part, w, {begin, end},
                     {.data = x.reals + image * channels * args.image_stride,
                      .stride = args.image_stride},
                     {.data = y + at, .stride = args.y_stride},
                     task_scratch + task * scratch_bytes);
          });
    for_image_parts(executor, tasks, x_shape[0], channels, 1,
                    [&](std::size_t task, std::size_t image, std::size_t begin, std::size_t end) {
                      run_channels(args, x, {begin, end}, image * channels, y, codes,
                                   task_scratch + task * scratch_bytes);
                    });
  }

  /// As conv2d::run_band().
  void run_band(const shape& x_shape, const shape& y_shape, const window_2d& w, row_range rows,
                image_rows<const float> x, image_rows<float> y, const epilogue& out,
                void* workspace) const {
    workspace_cursor scratch(workspace);
    auto* const offsets = scratch.take<std::size_t>(taps_);
    run_rows(arguments(x_shape, y_shape, w, out, offsets), w, rows, x, y,
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

  /// Output rows of an image of floats; the residual lies as y does.
  void run_rows(depthwise_args args, const window_2d& w, row_range rows, image_rows<const float> x,
                image_rows<float> y, void* workspace) const {
    const window_band band(w, args.height, rows);
    args.image = x.from(band.rows.begin, args.width).data;
    args.image_stride = x.stride;
    args.height = band.rows.size();
    args.pad_top = band.window.pad_top;
    args.plane_rows = band.window.pad_top + band.rows.size() + band.window.pad_bottom;
    args.out_height = rows.size();
    args.y = y.from(rows.begin, args.out_width).data;
    args.y_stride = y.stride;
    if (args.out.residual != nullptr)
      args.out.residual += (rows.begin - y.first_row) * args.out_width;
    args.planes = static_cast<float*>(workspace);
    kernel_->run(args);
  }

  [[nodiscard]] std::size_t plane_elements(const depthwise_args& args) const noexcept {
    return 2 * (args.plane_rows * args.stride_w * args.phase + kernel_->width);
  }

  /// Channels whose codes fit the L1 cache with their floats, of x and of y.
  [[nodiscard]] static std::size_t block_channels(std::size_t area, std::size_t pixels) noexcept {
    return std::max<std::size_t>(1, 4096 / std::max<std::size_t>({1, area, pixels}));
  }
  [[nodiscard]] std::size_t per_task_bytes(const shape& x, const window_2d& w) const {
    const std::size_t area = x[2] * x[3], pixels = w.out_height(x[2]) * w.out_width(x[3]);
    const std::size_t block = block_channels(area, pixels);
    const std::size_t planes = 2 * (image_arrangement(x, w).plane + kernel_->width);
    return workspace_cursor::aligned(planes * sizeof(float)) +
           (integer_ ? workspace_cursor::aligned(block * area * sizeof(float)) +
                           workspace_cursor::aligned(block * area) +
                           workspace_cursor::aligned(block * pixels * sizeof(float))
                     : 0);
  }

  /// Channels of an image, before which `image` channels come in x and y.
  void run_channels(depthwise_args args, layer_input x, range channels, std::size_t image, float* y,
                    const epilogue_codes& of_y, void* workspace) const {
    workspace_cursor scratch(workspace);
    const std::size_t area = args.image_stride, pixels = args.y_stride;
    args.planes = scratch.take<float>(plane_elements(args));
    const epilogue out = args.out;
    const auto run = [&](std::size_t begin, std::size_t count, const float* from,
                         const float* scales) {
      args.channels = count;
      args.image = from;
      args.weights = weights_.data() + begin * taps_;
      args.scales = scales;
      const std::size_t at = (image + begin) * pixels;
      if (of_y.y == nullptr) args.y = y + at;
      if (out.bias != nullptr) args.out.bias = out.bias + begin;
      if (out.residual != nullptr) args.out.residual = out.residual + at;
      if (of_y.residual != nullptr) args.out.residual = args.y;
      kernel_->run(args);
    };
    if (!integer_)
      return run(channels.begin, channels.end - channels.begin,
                 x.reals + (image + channels.begin) * area, nullptr);

    // Codes of y and of the residual go by way of floats in the L1 cache.
    const elementwise_kernels& k = find_elementwise(kernel_->target);
    const std::size_t block = block_channels(area, pixels);
    auto* const values = scratch.take<float>(block * area);
    auto* const codes = scratch.take<std::uint8_t>(block * area);
    auto* const reals = scratch.take<float>(block * pixels);
    if (of_y.y != nullptr) args.y = reals;
    const block_scale q = x.codes != nullptr ? *fixed_
                                             : image_codes(k, weights_.size() / taps_ * area,
                                                           x.reals + image * area, fixed_);
    args.image_scale = q.scale;
    for (std::size_t begin = channels.begin, count; begin < channels.end; begin += count) {
      count = std::min(block, channels.end - begin);
      const std::size_t from = (image + begin) * area, to = (image + begin) * pixels;
      if (x.codes == nullptr)
        k.quantize_u8(count * area, x.reals + from, q.scale, q.zero_point, codes);
      k.dequantize_u8(count * area, x.codes != nullptr ? x.codes + from : codes, 1.0f, q.zero_point,
                      values);
      if (of_y.residual != nullptr)
        k.dequantize_u8(count * pixels, of_y.residual + to, of_y.residual_scale,
                        of_y.residual_zero_point, of_y.y != nullptr ? reals : y + to);
      run(begin, count, values, scales_.data() + begin);
      if (of_y.y != nullptr)
        k.quantize_u8(count * pixels, reals, of_y.y_scale, of_y.y_zero_point, of_y.y + to);
    }
  }

  const depthwise_kernel* kernel_;
  bool integer_;
  std::optional<block_scale> fixed_;
  std::size_t taps_;
  std::vector<float> weights_, scales_;  // (channels, taps), (channels)
};

}  // namespace qtk::inline QTK_ABI
