#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "qtk/ops/batch.hpp"
#include "qtk/ops/depthwise.hpp"
#include "qtk/ops/direct.hpp"
#include "qtk/ops/winograd.hpp"

namespace qtk::inline QTK_ABI {

/// 2-D convolution, y = f(conv(x, w) + bias + residual):
///   x (batch, C, H, W), w as the matrix (O, C / groups * kh * kw), y and residual (batch, O, OH,
///   OW)
/// With integer products each image of x is quantized on the way in: uint8, one scale and zero
/// point, given or by its range (ONNX DynamicQuantizeLinear).
class conv2d {
 public:
  /// One packed_filters of (O / groups, C / groups * kh * kw) for each group, in order. Shared,
  /// because one set serves inputs of any size. `fixed`: how integer products quantize x.
  /// `winograd`: the same filters for where winograd_filters::serve() them; null: made here.
  conv2d(std::shared_ptr<const std::vector<packed_filters>> filters, const window_2d& window,
         const std::optional<block_scale>& fixed = {},
         std::shared_ptr<const winograd_filters> winograd = nullptr)
      : filters_(std::move(filters)), groups_(*filters_), window_(window), fixed_(fixed) {
    QTK_CHECK(!groups_.empty(), "conv2d", "no weights");
    const std::size_t taps = checked_mul(window.kernel_h, window.kernel_w, "conv2d");
    for (const packed_filters& g : groups_)
      QTK_CHECK(
          taps != 0 && g.K() % taps == 0 && g.O() == groups_[0].O() && g.K() == groups_[0].K(),
          "conv2d", "weights (", g.O(), ", ", g.K(), ") for a window of ", taps);
    if (depthwise_layer::serves(groups_, taps))
      depthwise_.emplace(groups_, fixed_);
    else if (winograd_filters::serve(groups_, window))
      winograd_.emplace(winograd != nullptr ? std::move(winograd)
                                            : std::make_shared<const winograd_filters>(groups_));
    if (!depthwise_ && direct_layer::serves(groups_, window)) direct_.emplace(groups_, window);
  }

  const window_2d& window() const noexcept { return window_; }
  const packed_filters& filters(std::size_t group = 0) const { return groups_[group]; }
  /// What runs.
  struct kernel_id {
    const char* name;
    isa target;
  };
  kernel_id kernel() const noexcept {
    const auto id = [](const auto& kernel) { return kernel_id{kernel.name, kernel.target}; };
    return depthwise_  ? id(depthwise_->kernel())
           : winograd_ ? id(winograd_->kernel())
                       : id(groups_[0].kernel());
  }
  std::size_t groups() const noexcept { return groups_.size(); }
  std::size_t in_channels() const noexcept { return groups_.size() * group_channels(); }
  std::size_t out_channels() const noexcept { return groups_.size() * groups_[0].O(); }
  std::size_t packed_bytes() const noexcept {
    std::size_t n = 0;
    for (const packed_filters& g : groups_) n += g.size_bytes();
    return n + (depthwise_ ? depthwise_->size_bytes() : 0) +
           (winograd_ ? winograd_->size_bytes() : 0);
  }

  [[nodiscard]] shape output_shape(const shape& x) const {
    QTK_CHECK(x.rank() == 4 && x[1] == in_channels(), "conv2d", "input ", x, " for ", in_channels(),
              " channels");
    const shape y{x[0], out_channels(), window_.out_height(x[2]), window_.out_width(x[3])};
    // The image is copied with its padding: a few numbers in a file may not ask for gigabytes.
    const image_arrangement image = arranged(x);
    const std::size_t area = checked_mul(image.height, image.width, "conv2d");
    QTK_CHECK(area / 16 <= x[2] * x[3] + y[2] * y[3] + 4096, "conv2d", "padding makes ",
              image.height, " x ", image.width, " of ", x);
    return y;
  }

  /// qtk::error where output_shape() has one.
  [[nodiscard]] std::size_t workspace_bytes(const shape& x, std::size_t concurrency = 1) const {
    const shape y = output_shape(x);
    if (depthwise_) return depthwise_->workspace_bytes(x, window_, concurrency);
    if (winograd_ && winograd_->pays(y)) return winograd_->workspace_bytes(y, concurrency);
    if (direct_ && direct_->pays(x)) return direct_->workspace_bytes(x, concurrency);
    return workspace_cursor::aligned(layout().packed_k * sizeof(std::size_t)) +
           concurrency * per_task_bytes(x);
  }

  /// Allocates nothing. `out.residual` has the layout of y.
  void run(const shape& x_shape, const float* x, float* y, const epilogue& out, void* workspace,
           executor_ref executor = {}) const {
    const shape y_shape = output_shape(x_shape);
    if (depthwise_)
      return depthwise_->run(x_shape, y_shape, window_, x, y, out, workspace, executor);
    if (winograd_ && winograd_->pays(y_shape))
      return winograd_->run(x_shape, y_shape, window_, x, y, out, workspace, executor);
    if (direct_ && direct_->pays(x_shape))
      return direct_->run(x_shape, x, y, out, workspace, executor);
    const std::size_t pixels = y_shape[2] * y_shape[3];
    workspace_cursor scratch(workspace);
    auto* const offsets = scratch.take<std::size_t>(layout().packed_k);
    fill_offsets(arranged(x_shape), offsets);
    auto* const task_scratch = scratch.take<std::byte>(0);
    const std::size_t scratch_bytes = per_task_bytes(x_shape);
    // Threads that share an image share what is read most, filters or pixels: K of each.
    const conv_kernel& kernel = groups_[0].kernel();
    const bool by_filters = groups_[0].O() > pixels;
    const std::size_t extent = by_filters ? ceil_div(groups_[0].O(), kernel.mr) : pixels;
    for_image_parts(executor, x_shape[0], extent, by_filters ? 1 : kernel.nr,
                    [&](std::size_t task, std::size_t image, std::size_t begin, std::size_t end) {
                      conv_args args{.pixel_end = pixels, .offsets = offsets, .out = out};
                      (by_filters ? args.tile_begin : args.pixel_begin) = begin;
                      (by_filters ? args.tile_end : args.pixel_end) = end;
                      run_image(x_shape, y_shape, x, y, image, args,
                                task_scratch + task * scratch_bytes);
                    });
  }

 private:
  [[nodiscard]] image_arrangement arranged(const shape& x) const noexcept { return {x, window_}; }
  [[nodiscard]] std::size_t group_channels() const noexcept {
    return groups_[0].K() / (window_.kernel_h * window_.kernel_w);
  }
  [[nodiscard]] k_layout layout() const noexcept {
    return {groups_[0].K(), groups_[0].group_size(), groups_[0].kernel().kr};
  }
  [[nodiscard]] bool integer() const noexcept { return groups_[0].kernel().op == conv_op::int8; }
  /// Whether an image is read as it is.
  [[nodiscard]] bool in_order() const noexcept {
    return (window_.pad_top | window_.pad_left | window_.pad_bottom | window_.pad_right) == 0 &&
           window_.stride_w == 1;
  }
  [[nodiscard]] std::size_t arranged_bytes(const shape& x) const noexcept {
    if (in_order()) return 0;
    const std::size_t elements = x[1] * arranged(x).plane + groups_[0].kernel().nr;
    return workspace_cursor::aligned(elements * (integer() ? 1 : sizeof(float)));
  }
  [[nodiscard]] std::size_t per_task_bytes(const shape& x) const {
    const std::size_t pixels = window_.out_height(x[2]) * window_.out_width(x[3]);
    return workspace_cursor::aligned(groups_[0].workspace_bytes(pixels)) + arranged_bytes(x) +
           (integer() ? workspace_cursor::aligned(x[1] * x[2] * x[3] + groups_[0].kernel().nr) : 0);
  }

  /// Where tap (c, i, j) lies for output pixel 0: conv_args::offsets.
  void fill_offsets(const image_arrangement& image, std::size_t* offsets) const noexcept {
    const k_layout k_of = layout();
    std::fill_n(offsets, k_of.packed_k, 0);
    std::size_t k = 0;
    for (std::size_t c = 0; c < group_channels(); ++c)
      for (std::size_t i = 0; i < window_.kernel_h; ++i)
        for (std::size_t j = 0; j < window_.kernel_w; ++j)
          offsets[k_of.position(k++)] = c * image.plane + image.tap(window_, i, j);
  }

  void run_image(const shape& x_shape, const shape& y_shape, const float* x, float* y,
                 std::size_t image, conv_args args, void* workspace) const {
    const image_arrangement geometry = arranged(x_shape);
    const conv_kernel& kernel = groups_[0].kernel();
    const std::size_t pixels = y_shape[2] * y_shape[3], O = groups_[0].O();
    const std::size_t elements = x_shape[1] * x_shape[2] * x_shape[3];
    // Of the image, what these pixels are made of; all of a small one, where a channel is done
    // before its rows are told apart (8 x 8 int8 of 64 channels: 11 us instead of 12).
    const row_range rows = x_shape[2] * x_shape[3] <= 64
                               ? row_range{0, geometry.height}
                               : geometry.rows(window_, args.pixel_begin / y_shape[3],
                                               ceil_div(args.pixel_end, y_shape[3]));
    workspace_cursor scratch(workspace);
    const auto prepare = [&]<class T>(T* from, std::remove_const_t<T> pad) -> const void* {
      if (in_order()) return from;
      auto* const to =
          scratch.take<std::remove_const_t<T>>(x_shape[1] * geometry.plane + kernel.nr);
      geometry.fill<std::remove_const_t<T>>(x_shape, window_, rows, from, pad, to);
      std::fill_n(to + x_shape[1] * geometry.plane, kernel.nr, pad);
      return to;
    };
    if (integer()) {
      const float* const from = x + image * elements;
      const elementwise_kernels& k = find_elementwise(kernel.target);
      const block_scale q = image_codes(k, elements, from, fixed_);
      auto* const codes = scratch.take<std::uint8_t>(elements + kernel.nr);
      args.image_scale = q.scale;
      args.image_zero_point = q.zero_point - (kernel.signed_image ? 128 : 0);
      const row_range given = image_arrangement::inside(x_shape, window_, rows);
      const bool whole = given.end - given.begin == x_shape[2];
      const std::size_t step = whole ? elements : x_shape[2] * x_shape[3];
      const std::size_t skip = given.begin * x_shape[3];
      const std::size_t n = whole ? elements : (given.end - given.begin) * x_shape[3];
      for (std::size_t i = skip; i < elements; i += step) {
        if (kernel.signed_image)  // the same codes less 128
          k.quantize_s8(n, from + i, q.scale, args.image_zero_point,
                        reinterpret_cast<std::int8_t*>(codes + i));
        else
          k.quantize_u8(n, from + i, q.scale, args.image_zero_point, codes + i);
      }
      args.image = prepare(codes, static_cast<std::uint8_t>(args.image_zero_point));
    } else {
      args.image = prepare(x + image * elements, 0.0f);
    }
    args.workspace = scratch.take<std::byte>(0);
    args.row_step = window_.stride_h * geometry.width;
    // Rows that follow each other without a gap are one row.
    args.out_width = args.row_step == y_shape[3] ? pixels : y_shape[3];
    args.y_stride = pixels;
    const auto* const first = static_cast<const std::byte*>(args.image);
    // Packing copies whole vectors: what was made here has room behind it, and another image may.
    const std::size_t size = integer() || !in_order() ? x_shape[1] * geometry.plane + kernel.nr
                                                      : (x_shape[0] - image) * elements;
    const epilogue out = args.out;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const std::size_t skip = g * group_channels() * geometry.plane;
      const std::size_t at = (image * groups_.size() + g) * O * pixels;
      args.image = first + skip * (integer() ? 1 : sizeof(float));
      args.image_size = size - skip;
      args.filters = groups_[g].data();
      args.y = y + at;
      if (out.bias != nullptr) args.out.bias = out.bias + g * O;
      if (out.residual != nullptr) args.out.residual = out.residual + at;
      kernel.run(args);
    }
  }

  std::shared_ptr<const std::vector<packed_filters>> filters_;
  std::span<const packed_filters> groups_;
  window_2d window_;
  std::optional<block_scale> fixed_;
  std::optional<depthwise_layer> depthwise_;
  std::optional<winograd_layer> winograd_;
  std::optional<direct_layer> direct_;
};

}  // namespace qtk::inline QTK_ABI
