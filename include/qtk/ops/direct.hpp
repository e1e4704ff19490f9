#pragma once

#include <numeric>
#include <span>

#include "qtk/kernels/conv.hpp"
#include "qtk/ops/batch.hpp"
#include "qtk/ops/image.hpp"
#include "qtk/ops/linear.hpp"
#include "qtk/ops/packed_filters.hpp"

namespace qtk::inline QTK_ABI {

/// What conv2d does where an image has to be copied anyway, for its padding or stride: it is spread
/// out (conv_spread), some rows at a time, and then read in place. In fp32, and with integer
/// products of filters that are packed for it.
class direct_layer {
 public:
  /// Not for 1 x 1 windows that read an image as it is; of codes for none, which is packed only
  /// once (16 channels of 32 x 32, stride 2: 129 us for 32 images, not 149).
  [[nodiscard]] static bool serves(std::span<const packed_filters> groups, const window_2d& w) {
    const bool plain = w.kernel_h == 1 && w.kernel_w == 1 && w.stride_h == 1 && w.stride_w == 1 &&
                       (w.pad_top | w.pad_left | w.pad_bottom | w.pad_right) == 0;
    const conv_kernel& k = groups[0].kernel();
    return k.spread != nullptr && !plain &&
           (k.op == conv_op::f32 || groups[0].step_channels() == k.kr);
  }

  /// `fixed`: as conv2d has it.
  direct_layer(std::span<const packed_filters> groups, const window_2d& window,
               const std::optional<block_scale>& fixed) noexcept
      : groups_(groups), window_(window), fixed_(fixed), kernel_(&groups[0].kernel()) {}

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
    return workspace_cursor::aligned(steps() * sizeof(std::size_t)) +
           concurrency * per_task_bytes(g, x);
  }

  /// Of the arguments of conv2d::run().
  void run(const shape& x_shape, layer_input x, float* y, const epilogue& out, void* workspace,
           executor_ref executor, const epilogue_codes& codes) const {
    const geometry g(*this, window_, x_shape);
    workspace_cursor scratch(workspace);
    auto* const offsets = scratch.take<std::size_t>(steps());
    fill_offsets(g, offsets);
    auto* const task_scratch = scratch.take<std::byte>(0);
    const std::size_t scratch_bytes = per_task_bytes(g, x_shape);
    // As conv2d shares out packed ones.
    const bool by_filters = groups_[0].O() > g.pixels();
    const std::size_t extent = by_filters ? ceil_div(groups_[0].O(), kernel_->mr) : g.pixels();
    const std::size_t weights = groups_.size() * groups_[0].O() * groups_[0].K();
    const std::size_t tasks = threads_for(
        executor, static_cast<double>(x_shape[0] * g.pixels()) * static_cast<double>(weights),
        weights * (integer() ? 1 : sizeof(float)));
    for_image_parts(executor, tasks, x_shape[0], extent, by_filters ? 1 : kernel_->nr,
                    [&](std::size_t task, std::size_t image, std::size_t begin, std::size_t end) {
                      conv_args args{.pixel_end = g.pixels(),
                                     .offsets = offsets,
                                     .steps = integer(),
                                     .out = out,
                                     .codes = codes};
                      (by_filters ? args.tile_begin : args.pixel_begin) = begin;
                      (by_filters ? args.tile_end : args.pixel_end) = end;
                      const std::size_t at = image * groups_.size() * groups_[0].O() * g.pixels();
                      set_output(args, y, at, g.pixels());
                      run_image(g, window_, x_shape,
                                x.from(image * x_shape[1] * x_shape[2] * x_shape[3]),
                                x_shape[2] * x_shape[3], args, task_scratch + task * scratch_bytes);
                    });
  }

  /// As conv2d::run_band().
  void run_band(const shape& x_shape, row_range rows, layer_input x, const row_layout& x_rows,
                float* y, const row_layout& y_rows, const epilogue& out, void* workspace,
                const epilogue_codes& codes) const {
    const window_band band(window_, x_shape[2], rows);
    const shape part{1, x_shape[1], band.rows.size(), x_shape[3]};
    const geometry g(*this, band.window, part);
    workspace_cursor scratch(workspace);
    auto* const offsets = scratch.take<std::size_t>(steps());
    fill_offsets(g, offsets);
    conv_args args{.pixel_end = g.pixels(),
                   .offsets = offsets,
                   .steps = integer(),
                   .out = out,
                   .codes = codes};
    set_output(args, y, (rows.begin - y_rows.first_row) * g.out_width, y_rows.stride);
    run_image(g, band.window, part, x.from((band.rows.begin - x_rows.first_row) * x_shape[3]),
              x_rows.stride, args, scratch.take<std::byte>(0));
  }

 private:
  struct geometry {
    std::size_t out_height, out_width;
    std::size_t phases;        // rows of the image by their remainder modulo the stride
    std::size_t extra;         // rows of a plane more than output rows
    std::size_t whole_panels;  // so many output rows are whole panels
    std::size_t most;          // output rows that would fit
    std::size_t band;          // output rows at a time; 0: none fits

    geometry(const direct_layer& layer, const window_2d& w, const shape& x)
        : out_height(w.out_height(x[2])), out_width(w.out_width(x[3])) {
      const std::size_t reach = (w.kernel_h - 1) * w.dilation_h;
      phases = std::min(w.stride_h, reach + 1);
      extra = reach / w.stride_h;
      // A band stays in the L2 cache; of whole panels, where there are several.
      constexpr std::size_t elements = (256 << 10) / sizeof(float);
      const std::size_t row = layer.moved(x[1]) * w.kernel_w * phases * out_width;
      const std::size_t rows = elements / std::max<std::size_t>(1, row);
      band = most = std::min(out_height, rows - std::min(rows, extra));
      whole_panels = 2 * layer.kernel_->nr / std::gcd(2 * layer.kernel_->nr, out_width);
      if (band < out_height && band > whole_panels) band -= band % whole_panels;
    }
    [[nodiscard]] std::size_t pixels() const noexcept { return out_height * out_width; }
    [[nodiscard]] std::size_t plane() const noexcept { return (band + extra) * out_width; }
    /// As if it weren't cut to whole panels: the room that this or fewer output rows take.
    [[nodiscard]] geometry largest() const noexcept {
      geometry g = *this;
      g.band = most;
      return g;
    }
  };

  [[nodiscard]] std::size_t spread_elements(const geometry& g, const shape& x) const noexcept {
    return moved(x[1]) * window_.kernel_w * g.phases * g.plane() + kernel_->nr;
  }
  static void set_output(conv_args& args, float* y, std::size_t at, std::size_t stride) noexcept {
    args.y = y == nullptr ? nullptr : y + at;
    args.y_stride = stride;
    if (args.out.residual != nullptr) args.out.residual += at;
    args.codes = args.codes.from(at);
  }

  /// Without image and buffers.
  [[nodiscard]] conv_spread spread_of(const geometry& g, const window_2d& w,
                                      const shape& x) const noexcept {
    return {
        .integer = integer(),
        .channels = moved(x[1]),
        .height = x[2],
        .width = x[3],
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
  [[nodiscard]] std::size_t per_task_bytes(geometry g, const shape& x) const noexcept {
    g = g.largest();
    const std::size_t scratch = spread_scratch(spread_of(g, window_, x), kernel_->nr);
    return workspace_cursor::aligned(spread_elements(g, x) * sizeof(float)) +
           workspace_cursor::aligned(scratch * sizeof(float)) +
           (integer() ? workspace_cursor::aligned(x[1] * x[2] * x[3]) : 0) +
           workspace_cursor::aligned(groups_[0].workspace_bytes(g.band * g.out_width));
  }
  [[nodiscard]] bool integer() const noexcept { return kernel_->op == conv_op::int8; }
  /// Channels that are moved as one.
  [[nodiscard]] std::size_t moved(std::size_t channels) const noexcept {
    return channels / kernel_->kr;
  }
  [[nodiscard]] std::size_t steps() const noexcept { return groups_[0].K() / kernel_->kr; }
  /// Of those.
  [[nodiscard]] std::size_t group_channels() const noexcept {
    return steps() / (window_.kernel_h * window_.kernel_w);
  }

  /// Where tap (c, i, j) lies for output pixel 0: conv_args::offsets.
  void fill_offsets(const geometry& g, std::size_t* offsets) const noexcept {
    const std::size_t taps = window_.kernel_h * window_.kernel_w, all = steps();
    if (all == 0) return;  // no channels
    // Of the first channel; the others follow without divisions (256 channels: 5 us).
    for (std::size_t i = 0; i < window_.kernel_h; ++i)
      for (std::size_t j = 0; j < window_.kernel_w; ++j) {
        const std::size_t row = i * window_.dilation_h;
        offsets[i * window_.kernel_w + j] = (j * g.phases + row % window_.stride_h) * g.plane() +
                                            row / window_.stride_h * g.out_width;
      }
    const std::size_t channel = window_.kernel_w * g.phases * g.plane();
    for (std::size_t k = taps; k < all; ++k) offsets[k] = offsets[k - taps] + channel;
  }

  /// The codes of an image, `stride` between its channels; where it comes as floats, those that
  /// `args` needs, written to `to` without gaps.
  [[nodiscard]] const std::uint8_t* codes_of(const geometry& g, const window_2d& w,
                                             const shape& x_shape, layer_input x,
                                             std::size_t& stride, conv_args& args,
                                             std::uint8_t* to) const {
    const std::size_t plane = x_shape[2] * x_shape[3], elements = x_shape[1] * plane;
    const elementwise_kernels& k = find_elementwise(kernel_->target);
    const block_scale q = image_codes(k, elements, x.reals, fixed_);
    args.image_scale = q.scale;
    args.image_zero_point = q.zero_point;
    if (x.codes != nullptr) return x.codes;
    const row_range rows =
        window_band(w, x_shape[2],
                    {args.pixel_begin / g.out_width, ceil_div(args.pixel_end, g.out_width)})
            .rows;
    const std::size_t n = rows.size() * x_shape[3];
    if (n == plane && stride == plane)
      k.quantize_u8(elements, x.reals, q.scale, q.zero_point, to);
    else
      for (std::size_t c = 0, at = rows.begin * x_shape[3]; c < x_shape[1]; ++c)
        k.quantize_u8(n, x.reals + c * stride + at, q.scale, q.zero_point, to + c * plane + at);
    stride = plane;
    return to;
  }

  /// Of an image x, or part of one, `stride` between its channels.
  void run_image(const geometry& g, const window_2d& w, const shape& x_shape, layer_input x,
                 std::size_t stride, const conv_args& pixels, void* workspace) const {
    workspace_cursor scratch(workspace);
    conv_spread spread = spread_of(g, w, x_shape);
    const std::size_t elements = spread_elements(g, x_shape);
    spread.planes = scratch.take<float>(elements);
    spread.scratch = scratch.take<float>(spread_scratch(spread, kernel_->nr));
    conv_args args = pixels;
    if (integer()) {
      auto* const codes = scratch.take<std::uint8_t>(x_shape[1] * x_shape[2] * x_shape[3]);
      spread.codes = codes_of(g, w, x_shape, x, stride, args, codes);
      spread.padding = static_cast<std::uint8_t>(args.image_zero_point);
    } else {
      spread.image = x.reals;
    }
    spread.image_stride = stride;
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
        args.y = pixels.codes.y != nullptr ? nullptr : pixels.y + at;
        args.codes = pixels.codes.from(at);
        if (pixels.out.bias != nullptr) args.out.bias = pixels.out.bias + i * O;
        if (pixels.out.residual != nullptr) args.out.residual = pixels.out.residual + at;
        kernel_->run(args);
      }
    }
  }

  std::span<const packed_filters> groups_;
  window_2d window_;
  std::optional<block_scale> fixed_;
  const conv_kernel* kernel_;
};

}  // namespace qtk::inline QTK_ABI
