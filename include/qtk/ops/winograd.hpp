#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "qtk/kernels/conv.hpp"
#include "qtk/ops/batch.hpp"
#include "qtk/ops/linear.hpp"
#include "qtk/ops/packed_filters.hpp"
#include "qtk/ops/window.hpp"

namespace qtk::inline QTK_ABI {

/// The filters of a 3 x 3 convolution as winograd_types.hpp wants them, made once: 16/9 of the
/// weights in fp32.
class winograd_filters {
 public:
  /// Whether they are worth making: 3 x 3 with stride 1, enough channels, not too many weights, and
  /// transforms in vectors where the other kernel has vectors.
  [[nodiscard]] static bool serve(std::span<const packed_filters> groups, const window_2d& w) {
    const packed_filters& g = groups[0];
    if (find_winograd(g.kernel().target).target == isa::scalar && g.kernel().target != isa::scalar)
      return false;
    return g.kernel().op == conv_op::f32 && w.kernel_h == 3 && w.kernel_w == 3 && w.stride_h == 1 &&
           w.stride_w == 1 && w.dilation_h == 1 && w.dilation_w == 1 && g.O() >= least_channels &&
           g.K() >= least_channels * taps && g.O() * g.K() <= most;
  }

  /// Of one packed_filters for each group.
  explicit winograd_filters(std::span<const packed_filters> groups)
      : kernel_(&find_winograd(groups[0].kernel().target)),
        O_(groups[0].O()),
        C_(groups[0].K() / taps) {
    std::vector<float> filters(O_ * groups[0].K());
    for (const packed_filters& g : groups) {
      g.kernel().unpack(g.data(), filters.data(), nullptr);
      kernel_->pack(O_, C_, filters.data(),
                    packed_.emplace_back(kernel_->packed_bytes(O_, C_)).data());
    }
  }

  static constexpr std::size_t taps = 9;
  const winograd_kernel& kernel() const noexcept { return *kernel_; }
  /// Of a group.
  std::size_t O() const noexcept { return O_; }
  std::size_t C() const noexcept { return C_; }
  std::size_t groups() const noexcept { return packed_.size(); }
  const void* data(std::size_t group) const { return packed_[group].data(); }
  std::size_t size_bytes() const noexcept { return packed_.size() * kernel_->packed_bytes(O_, C_); }

 private:
  /// Fewer don't make up for the transforms (AVX-512, 32 x 32).
  static constexpr std::size_t least_channels = 8;
  /// 512 x 512 were the most that were tried.
  static constexpr std::size_t most = std::size_t{512} * 512 * taps;

  const winograd_kernel* kernel_;
  std::size_t O_, C_;
  std::vector<buffer> packed_;
};

/// What conv2d does with them.
class winograd_layer {
 public:
  explicit winograd_layer(std::shared_ptr<const winograd_filters> filters) noexcept
      : filters_(std::move(filters)) {}

  const winograd_kernel& kernel() const noexcept { return filters_->kernel(); }
  std::size_t size_bytes() const noexcept { return filters_->size_bytes(); }

  /// Whether the tiles of y, by whole panels, are clearly less work than its pixels: not in
  /// squares below 6 x 6.
  [[nodiscard]] bool pays(const shape& y) const noexcept {
    const std::size_t tiles = ceil_div(y[2], 2) * ceil_div(y[3], 2), nr = kernel().nr;
    return 16 * round_up(tiles, nr) * 4 < filters_->taps * round_up(y[2] * y[3], nr) * 3;
  }

  [[nodiscard]] std::size_t workspace_bytes(const shape& y, std::size_t concurrency) const {
    return concurrency * per_task_bytes(y);
  }

  /// Of the arguments of conv2d::run().
  void run(const shape& x_shape, const shape& y_shape, const window_2d& w, const float* x, float* y,
           const epilogue& out, void* workspace, executor_ref executor) const {
    const std::size_t O = filters_->O(), C = filters_->C(), groups = filters_->groups();
    const std::size_t scratch_bytes = per_task_bytes(y_shape);
    const std::size_t area = x_shape[2] * x_shape[3], pixels = y_shape[2] * y_shape[3];
    const std::size_t tiles = ceil_div(y_shape[2], 2) * ceil_div(y_shape[3], 2);
    // Threads that share an image share its tiles; where those are too few, the filters.
    const std::size_t tasks = threads_for(
        executor,
        static_cast<double>(groups * O * C * tiles) * 16 * static_cast<double>(x_shape[0]),
        filters_->size_bytes());
    const std::size_t parts = ceil_div(tasks, std::max<std::size_t>(1, x_shape[0]));
    const std::size_t filters = ceil_div(O, kernel().mr), panels = ceil_div(tiles, kernel().nr);
    const bool by_filters = panels < std::min(parts, filters);
    for_image_parts(
        executor, tasks, x_shape[0], by_filters ? filters : tiles, by_filters ? 1 : kernel().nr,
        [&](std::size_t task, std::size_t image, std::size_t begin, std::size_t end) {
          const std::size_t at = image * groups * O * pixels;
          winograd_args args = arguments(w, x_shape[2], x_shape[3], y_shape[2], y_shape[3], out);
          args.image = x + image * groups * C * area;
          args.y = y + at;
          if (out.residual != nullptr) args.out.residual += at;
          args.workspace = static_cast<std::byte*>(workspace) + task * scratch_bytes;
          (by_filters ? args.filter_begin : args.tile_begin) = begin;
          (by_filters ? args.filter_end : args.tile_end) = end;
          run_groups(args);
        });
  }

  /// As conv2d::run_band(): rows.begin is even.
  void run_band(const shape& x_shape, const shape& y_shape, const window_2d& w, row_range rows,
                const float* x, const row_layout& x_rows, float* y, const row_layout& y_rows,
                const epilogue& out, void* workspace) const {
    const window_band band(w, x_shape[2], rows);
    const std::size_t at = (rows.begin - y_rows.first_row) * y_shape[3];
    winograd_args args =
        arguments(band.window, band.rows.size(), x_shape[3], rows.size(), y_shape[3], out);
    args.image = x + (band.rows.begin - x_rows.first_row) * x_shape[3];
    args.image_stride = x_rows.stride;
    args.y = y + at;
    args.y_stride = y_rows.stride;
    if (out.residual != nullptr) args.out.residual += at;
    args.workspace = workspace;
    run_groups(args);
  }

 private:
  /// All tiles of one image.
  [[nodiscard]] static winograd_args arguments(const window_2d& w, std::size_t height,
                                               std::size_t width, std::size_t out_height,
                                               std::size_t out_width,
                                               const epilogue& out) noexcept {
    return {.tile_end = ceil_div(out_height, 2) * ceil_div(out_width, 2),
            .height = height,
            .width = width,
            .pad_top = w.pad_top,
            .pad_left = w.pad_left,
            .image_stride = height * width,
            .out_height = out_height,
            .out_width = out_width,
            .y_stride = out_height * out_width,
            .out = out};
  }

  void run_groups(winograd_args args) const {
    const std::size_t O = filters_->O(), C = filters_->C();
    for (std::size_t g = 0; g < filters_->groups(); ++g) {
      args.filters = filters_->data(g);
      kernel().run(args);
      args.image += C * args.image_stride;
      args.y += O * args.y_stride;
      if (args.out.bias != nullptr) args.out.bias += O;
      if (args.out.residual != nullptr) args.out.residual += O * args.y_stride;
    }
  }

  [[nodiscard]] std::size_t per_task_bytes(const shape& y) const {
    return workspace_cursor::aligned(
        kernel().workspace_bytes(filters_->O(), filters_->C(), y[2], y[3]));
  }

  std::shared_ptr<const winograd_filters> filters_;
};

}  // namespace qtk::inline QTK_ABI
