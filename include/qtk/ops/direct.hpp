#pragma once

#include <numeric>
#include <span>

#include "qtk/kernels/conv.hpp"
#include "qtk/ops/batch.hpp"
#include "qtk/ops/linear.hpp"
#include "qtk/ops/packed_filters.hpp"
#include "qtk/ops/window.hpp"

namespace qtk::inline QTK_ABI {

/// What conv2d does in fp32 where an image has to be copied anyway, for its padding or stride: it
/// is spread out (conv_spread), some rows at a time, and then read in place.
class direct_layer {
 public:
  /// Not for 1 x 1 windows that read an image as it is.
  [[nodiscard]] static bool serves(std::span<const packed_filters> groups, const window_2d& w) {
    const bool plain = w.kernel_h == 1 && w.kernel_w == 1 && w.stride_h == 1 && w.stride_w == 1 &&
                       (w.pad_top | w.pad_left | w.pad_bottom | w.pad_right) == 0;
    return groups[0].kernel().spread != nullptr && !plain;
  }

  direct_layer(std::span<const packed_filters> groups, const window_2d& window) noexcept
      : groups_(groups), window_(window), kernel_(&groups[0].kernel()) {}

  /// Whether so much of image x fits the L2 cache that panels of it are whole. Else packing costs
  /// less than filters that are read again for each few rows (AVX-512, 128 channels of 56 x 56,
  /// stride 2: 2.4 ms, not 2.6).
  [[nodiscard]] bool pays(const shape& x) const {
    const geometry g(*this, window_, x);
    return g.band != 0 && (g.band == g.out_height || g.band >= g.whole_panels);
  }

  [[nodiscard]] std::size_t workspace_bytes(const shape& x, std::size_t concurrency) const {
    return workspace_bytes(window_, x, concurrency);
  }
  [[nodiscard]] std::size_t workspace_bytes(const window_2d& w, const shape& x,
                                            std::size_t concurrency) const {
    const geometry g(*this, w, x);
    return workspace_cursor::aligned(groups_[0].K() * sizeof(std::size_t)) +
           concurrency * per_task_bytes(g, x);
  }

  /// Of the arguments of conv2d::run().
  void run(const shape& x_shape, const float* x, float* y, const epilogue& out, void* workspace,
           executor_ref executor) const {
    const geometry g(*this, window_, x_shape);
    workspace_cursor scratch(workspace);
    auto* const offsets = scratch.take<std::size_t>(groups_[0].K());
    fill_offsets(g, offsets);
    auto* const task_scratch = scratch.take<std::byte>(0);
    const std::size_t scratch_bytes = per_task_bytes(g, x_shape);
    // As conv2d shares out packed ones.
    const bool by_filters = groups_[0].O() > g.pixels();
    const std::size_t extent = by_filters ? ceil_div(groups_[0].O(), kernel_->mr) : g.pixels();
    const std::size_t weights = groups_.size() * groups_[0].O() * groups_[0].K();
    const std::size_t tasks = threads_for(
        executor, static_cast<double>(x_shape[0] * g.pixels()) * static_cast<double>(weights),
        weights * sizeof(float));
    for_image_parts(executor, tasks, x_shape[0], extent, by_filters ? 1 : kernel_->nr,
                    [&](std::size_t task, std::size_t image, std::size_t begin, std::size_t end) {
                      conv_args args{.pixel_end = g.pixels(), .offsets = offsets, .out = out};
                      (by_filters ? args.tile_begin : args.pixel_begin) = begin;
                      (by_filters ? args.tile_end : args.pixel_end) = end;
                      const std::size_t O = groups_.size() * groups_[0].O();
                      const std::size_t from = image * x_shape[1] * x_shape[2] * x_shape[3],
                                        to = image * O * g.pixels();
                      if (out.residual != nullptr) args.out.residual += to;
                      args.y = y + to;
                      args.y_stride = g.pixels();
                      run_image(g, spread_of(g, window_, x_shape, x + from), args,
                                task_scratch + task * scratch_bytes);
                    });
  }

  /// As conv2d::run_band().
  void run_band(const shape& x_shape, row_range rows, image_rows<const float> x,
                image_rows<float> y, const epilogue& out, void* workspace) const {
    const window_band band(window_, x_shape[2], rows);
    const shape part{1, x_shape[1], band.rows.size(), x_shape[3]};
    const geometry g(*this, band.window, part);
    workspace_cursor scratch(workspace);
    auto* const offsets = scratch.take<std::size_t>(groups_[0].K());
    fill_offsets(g, offsets);
    conv_spread spread = spread_of(g, band.window, part, x.from(band.rows.begin, x_shape[3]).data);
    spread.image_stride = x.stride;
    const std::size_t at = (rows.begin - y.first_row) * g.out_width;
    conv_args args{.pixel_end = g.pixels(),
                   .offsets = offsets,
                   .y = y.data + at,
                   .y_stride = y.stride,
                   .out = out};
    if (out.residual != nullptr) args.out.residual += at;
    run_image(g, spread, args, scratch.take<std::byte>(0));
  }

 private:
  struct geometry {
    std::size_t out_height, out_width;
    std::size_t phases;        // rows of the image by their remainder modulo the stride
    std::size_t extra;         // rows of a plane more than output rows
    std::size_t whole_panels;  // so many output rows are whole panels
    std::size_t band;          // output rows at a time; 0: none fits

    geometry(const direct_layer& layer, const window_2d& w, const shape& x)
        : out_height(w.out_height(x[2])), out_width(w.out_width(x[3])) {
      const std::size_t reach = (w.kernel_h - 1) * w.dilation_h;
      phases = std::min(w.stride_h, reach + 1);
      extra = reach / w.stride_h;
      // A band stays in the L2 cache; of whole panels, where there are several.
      constexpr std::size_t most = (256 << 10) / sizeof(float);
      const std::size_t row = x[1] * w.kernel_w * phases * out_width;
      const std::size_t rows = most / std::max<std::size_t>(1, row);
      band = std::min(out_height, rows - std::min(rows, extra));
      whole_panels = 2 * layer.kernel_->nr / std::gcd(2 * layer.kernel_->nr, out_width);
      if (band < out_height && band > whole_panels) band -= band % whole_panels;
    }
    [[nodiscard]] std::size_t pixels() const noexcept { return out_height * out_width; }
    [[nodiscard]] std::size_t plane() const noexcept { return (band + extra) * out_width; }
  };

  [[nodiscard]] std::size_t spread_elements(const geometry& g,
                                            std::size_t channels) const noexcept {
    return channels * window_.kernel_w * g.phases * g.plane() + kernel_->nr;
  }
  /// Without its buffers.
  [[nodiscard]] static conv_spread spread_of(const geometry& g, const window_2d& w, const shape& x,
                                             const float* image) noexcept {
    return {
        .image = image,
        .channels = x[1],
        .height = x[2],
        .width = x[3],
        .image_stride = x[2] * x[3],
        .kernel_w = w.kernel_w,
        .dilation_w = w.dilation_w,
        .stride_h = w.stride_h,
        .stride_w = w.stride_w,
        .pad_top = w.pad_top,
        .pad_left = w.pad_left,
        .phases = g.phases,
        .rows = g.band + g.extra,
        .out_width = g.out_width,
        .phase = ceil_div(x[3] + w.pad_left + w.pad_right, w.stride_w),
    };
  }
  [[nodiscard]] std::size_t per_task_bytes(const geometry& g, const shape& x) const noexcept {
    const std::size_t scratch = spread_scratch(spread_of(g, window_, x, nullptr), kernel_->nr);
    return workspace_cursor::aligned(spread_elements(g, x[1]) * sizeof(float)) +
           workspace_cursor::aligned(scratch * sizeof(float)) +
           workspace_cursor::aligned(groups_[0].workspace_bytes(g.band * g.out_width));
  }
  [[nodiscard]] std::size_t group_channels() const noexcept {
    return groups_[0].K() / (window_.kernel_h * window_.kernel_w);
  }

  /// Where tap (c, i, j) lies for output pixel 0: conv_args::offsets.
  void fill_offsets(const geometry& g, std::size_t* offsets) const noexcept {
    for (std::size_t c = 0; c < group_channels(); ++c)
      for (std::size_t i = 0; i < window_.kernel_h; ++i)
        for (std::size_t j = 0; j < window_.kernel_w; ++j) {
          const std::size_t row = i * window_.dilation_h;
          *offsets++ =
              ((c * window_.kernel_w + j) * g.phases + row % window_.stride_h) * g.plane() +
              row / window_.stride_h * g.out_width;
        }
  }

  void run_image(const geometry& g, conv_spread spread, const conv_args& pixels,
                 void* workspace) const {
    workspace_cursor scratch(workspace);
    const std::size_t elements = spread_elements(g, spread.channels);
    spread.planes = scratch.take<float>(elements);
    spread.scratch = scratch.take<float>(spread_scratch(spread, kernel_->nr));
    conv_args args = pixels;
    args.workspace = scratch.take<std::byte>(0);
    const std::size_t channels = group_channels(), O = groups_[0].O();
    const std::size_t group = channels * window_.kernel_w * g.phases * g.plane();
    for (std::size_t begin = pixels.pixel_begin, end; begin < pixels.pixel_end; begin = end) {
      const std::size_t row = begin / g.out_width;
      end = std::min(pixels.pixel_end, (row + g.band) * g.out_width);
      spread.first_row = row * window_.stride_h;
      kernel_->spread(spread);
      args.pixel_begin = begin - row * g.out_width;
      args.pixel_end = args.out_width = end - row * g.out_width;
      for (std::size_t i = 0; i < groups_.size(); ++i) {
        const std::size_t at = i * O * pixels.y_stride + row * g.out_width;
        args.image = spread.planes + i * group;
        args.image_size = elements - i * group;
        args.filters = groups_[i].data();
        args.y = pixels.y + at;
        if (pixels.out.bias != nullptr) args.out.bias = pixels.out.bias + i * O;
        if (pixels.out.residual != nullptr) args.out.residual = pixels.out.residual + at;
        kernel_->run(args);
      }
    }
  }

  std::span<const packed_filters> groups_;
  window_2d window_;
  const conv_kernel* kernel_;
};

}  // namespace qtk::inline QTK_ABI
