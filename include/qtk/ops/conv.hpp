#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "qtk/kernels/microkernels.hpp"
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
      QTK_CHECK(taps != 0 && g.K() % taps == 0 && g.O() == groups_[0].O() &&
                    g.K() == groups_[0].K() && (g.step_channels() == 1 || g.taps() == taps),
                "conv2d", "weights (", g.O(), ", ", g.K(), ") for a window of ", taps);
    if (depthwise_layer::serves(groups_, taps))
      depthwise_.emplace(groups_, fixed_);
    else if (winograd_filters::serve(groups_, window))
      winograd_.emplace(winograd != nullptr ? std::move(winograd)
                                            : std::make_shared<const winograd_filters>(groups_));
    if (!depthwise_ && direct_layer::serves(groups_, window))
      direct_.emplace(groups_, window, fixed_);
  }

  const window_2d& window() const noexcept { return window_; }
  const packed_filters& filters(std::size_t group = 0) const { return groups_[group]; }
  /// What runs for inputs of shape x.
  struct kernel_id {
    const char* name;
    isa target;
  };
  kernel_id kernel(const shape& x) const {
    const auto id = [](const auto& kernel) { return kernel_id{kernel.name, kernel.target}; };
    return depthwise_                       ? id(depthwise_->kernel())
           : runs_winograd(output_shape(x)) ? id(winograd_->kernel())
                                            : id(groups_[0].kernel());
  }
  bool is_depthwise() const noexcept { return depthwise_.has_value(); }
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
    if (runs_winograd(y)) return winograd_->workspace_bytes(y, concurrency);
    if (runs_direct(x)) return direct_->workspace_bytes(x, concurrency);
    return workspace_cursor::aligned(layout().packed_k * sizeof(std::size_t)) +
           concurrency * per_task_bytes(x, images_at_once(x));
  }

  /// Allocates nothing. `out.residual` has the layout of y; so have `codes`, which are for integer
  /// products. qtk::error for codes of x without `fixed`, and for any with fp32 weights.
  void run(const shape& x_shape, layer_input x, float* y, const epilogue& out, void* workspace,
           executor_ref executor = {}, const epilogue_codes& codes = {}) const {
    const shape y_shape = output_shape(x_shape);
    if (y_shape.elements() == 0) return;
    QTK_CHECK((x.codes == nullptr && !codes.any()) || integer(), "conv2d",
              "codes for products of fp32");
    QTK_CHECK(x.codes == nullptr || fixed_, "conv2d", "codes without a scale");
    if (depthwise_)
      return depthwise_->run(x_shape, y_shape, window_, x, y, out, workspace, executor, codes);
    if (runs_winograd(y_shape))
      return winograd_->run(x_shape, y_shape, window_, x.reals, y, out, workspace, executor);
    if (runs_direct(x_shape)) return direct_->run(x_shape, x, y, out, workspace, executor, codes);
    const bool reals = x.codes == nullptr && !codes.any();
    const std::size_t at_once = reals ? images_at_once(x_shape) : 1;
    const std::size_t pixels = at_once * y_shape[2] * y_shape[3];
    workspace_cursor scratch(workspace);
    auto* const offsets = scratch.take<std::size_t>(layout().packed_k);
    fill_offsets(arranged(x_shape), offsets);
    auto* const task_scratch = scratch.take<std::byte>(0);
    const std::size_t scratch_bytes = per_task_bytes(x_shape, at_once);
    // Threads that share an image share what is read most, filters or pixels: K of each.
    const conv_kernel& kernel = groups_[0].kernel();
    const bool by_filters = groups_[0].O() > pixels;
    const std::size_t extent = by_filters ? ceil_div(groups_[0].O(), kernel.mr) : pixels;
    const std::size_t tasks = threads_for(
        executor, static_cast<double>(y_shape.elements()) * static_cast<double>(groups_[0].K()),
        packed_bytes());
    for_image_parts(
        executor, tasks, ceil_div(x_shape[0], at_once), extent, by_filters ? 1 : kernel.nr,
        [&](std::size_t task, std::size_t run, std::size_t begin, std::size_t end) {
          const image_run images{run * at_once, std::min(at_once, x_shape[0] - run * at_once)};
          const std::size_t all = images.count * y_shape[2] * y_shape[3];
          conv_args args{.pixel_end = all, .offsets = offsets, .out = out, .codes = codes};
          (by_filters ? args.tile_begin : args.pixel_begin) = begin;
          (by_filters ? args.tile_end : args.pixel_end) = by_filters ? end : std::min(end, all);
          if (args.pixel_begin < args.pixel_end)
            run_images(x_shape, y_shape, x, y, images, args, task_scratch + task * scratch_bytes);
        });
  }

  /// Whether run_band() serves inputs of shape x, that come as codes or as floats: those that
  /// needn't be arranged or, as a whole, quantized first.
  [[nodiscard]] bool runs_in_bands(const shape& x, bool codes) const {
    if (integer() && !fixed_) return false;
    return depthwise_ || runs_winograd(output_shape(x)) || runs_direct(x) ||
           (runs_in_order(x) && codes == integer());
  }
  /// Bands begin at a multiple of so many output rows.
  [[nodiscard]] std::size_t band_unit(const shape& x) const {
    return !depthwise_ && runs_winograd(output_shape(x)) ? 2 : 1;
  }
  /// For a band of so many output rows, or fewer, of an image of shape x.
  [[nodiscard]] std::size_t band_workspace_bytes(const shape& x, std::size_t rows) const {
    window_2d w = window_;
    w.pad_top = w.pad_bottom = 0;
    const shape part{1, x[1], (rows - 1) * w.stride_h + window_band::reach(w), x[3]};
    if (depthwise_) return depthwise_->workspace_bytes(part, w, 1);
    if (runs_winograd(output_shape(x)))
      return winograd_->workspace_bytes({1, out_channels(), rows, w.out_width(x[3])}, 1);
    if (runs_direct(x)) return direct_->workspace_bytes(w, part, 1);
    return workspace_cursor::aligned(layout().packed_k * sizeof(std::size_t)) +
           groups_[0].workspace_bytes(rows * w.out_width(x[3]));
  }
  /// Output rows of one image of x_shape, to the bit as run() computes them, from and to where some
  /// of its rows are: `x_rows` and `y_rows` say where, `out.residual` and `codes` lie as y does.
  /// Allocates nothing.
  void run_band(const shape& x_shape, row_range rows, layer_input x, const row_layout& x_rows,
                float* y, const row_layout& y_rows, const epilogue& out, void* workspace,
                const epilogue_codes& codes = {}) const {
    const shape y_shape = output_shape(x_shape);
    if (depthwise_)
      depthwise_->run_band(x_shape, y_shape, window_, rows, x, x_rows, y, y_rows, out, workspace,
                           codes);
    else if (runs_winograd(y_shape))
      winograd_->run_band(x_shape, y_shape, window_, rows, x.reals, x_rows, y, y_rows, out,
                          workspace);
    else if (runs_direct(x_shape))
      direct_->run_band(x_shape, rows, x, x_rows, y, y_rows, out, workspace, codes);
    else
      run_band_in_order(x_shape, y_shape, rows, x, x_rows, y, y_rows, out, workspace, codes);
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
  /// Images whose pixels lie side by side in the panels, where one has a single row that is shorter
  /// than a panel: alone it would leave most of it empty, and filters be read for each image
  /// (sequences; the convolutions of 32 samples of silero_vad: 0.46 ms instead of 1.27).
  [[nodiscard]] std::size_t images_at_once(const shape& x) const {
    constexpr std::size_t enough = 128;
    const std::size_t width = window_.out_width(x[3]);
    const bool one_row = window_.out_height(x[2]) == 1 && width < groups_[0].kernel().nr;
    return one_row && (!integer() || fixed_) && !depthwise_
               ? std::max<std::size_t>(1, std::min(x[0], enough / width))
               : 1;
  }
  /// For outputs of shape y.
  [[nodiscard]] bool runs_winograd(const shape& y) const { return winograd_ && winograd_->pays(y); }
  /// Whether a kernel reads the image as it is.
  [[nodiscard]] bool runs_in_order(const shape& x) const {
    return in_order() && images_at_once(x) == 1 && !groups_[0].kernel().signed_image;
  }
  /// Whether the image is spread out instead of packed.
  [[nodiscard]] bool runs_direct(const shape& x) const {
    return direct_ && images_at_once(x) == 1 && direct_->pays(x);
  }
  /// Elements of an image as it lies there.
  [[nodiscard]] std::size_t arranged_size(const shape& x) const noexcept {
    return x[1] * arranged(x).plane;
  }
  [[nodiscard]] std::size_t arranged_bytes(const shape& x, std::size_t images) const noexcept {
    if (in_order()) return 0;
    const std::size_t elements = images * arranged_size(x) + groups_[0].kernel().nr;
    return workspace_cursor::aligned(elements * (integer() ? 1 : sizeof(float)));
  }
  [[nodiscard]] std::size_t per_task_bytes(const shape& x, std::size_t images) const {
    const std::size_t pixels = images * window_.out_height(x[2]) * window_.out_width(x[3]);
    const std::size_t elements = images * x[1] * x[2] * x[3];
    return workspace_cursor::aligned(groups_[0].workspace_bytes(pixels)) +
           arranged_bytes(x, images) +
           (integer() ? workspace_cursor::aligned(elements + groups_[0].kernel().nr) : 0) +
           (images > 1 ? 2 * workspace_cursor::aligned(groups_[0].O() * pixels * sizeof(float))
                       : 0);
  }

  /// Where tap (c, i, j) lies for output pixel 0: conv_args::offsets.
  void fill_offsets(const image_arrangement& image, std::size_t* offsets) const noexcept {
    const k_layout k_of = layout();
    std::fill_n(offsets, k_of.packed_k, 0);
    if (k_of.K == 0) return;  // no channels
    // Of the first channel; those of the others follow without a division for each tap (3 % of int8
    // ResNet-20).
    const std::size_t step = groups_[0].step_channels(), channels = group_channels();
    std::size_t k = 0;
    for (std::size_t i = 0; i < window_.kernel_h; ++i)
      for (std::size_t j = 0; j < window_.kernel_w; ++j, k += step)
        offsets[k_of.position(k)] = image.tap(window_, i, j);
    for (std::size_t c = 1; c < channels; ++c) {
      const std::size_t first = c / step * k + c % step;
      for (std::size_t at = 0; at < k; at += step)
        offsets[k_of.position(first + at)] = offsets[k_of.position(at)] + c * image.plane;
    }
  }

  /// Images [first, first + count) of the batch: more than one only where images_at_once() says so.
  struct image_run {
    std::size_t first, count;
  };

  /// Their share of the pixels or filters: quantizes and arranges what it reads, then each group.
  void run_images(const shape& x_shape, const shape& y_shape, layer_input x, float* y,
                  image_run images, conv_args args, void* workspace) const {
    const image_arrangement geometry = arranged(x_shape);
    const conv_kernel& kernel = groups_[0].kernel();
    const bool many = images.count > 1;
    const std::size_t pixels = images.count * y_shape[2] * y_shape[3], O = groups_[0].O();
    const std::size_t elements = x_shape[1] * x_shape[2] * x_shape[3];
    // Of the image, what these pixels are made of; all of a small one, where a channel is done
    // before its rows are told apart (8 x 8 int8 of 64 channels: 11 us instead of 12).
    const row_range y_rows{args.pixel_begin / y_shape[3], ceil_div(args.pixel_end, y_shape[3])};
    const row_range rows = x_shape[2] * x_shape[3] <= 64 ? row_range{0, geometry.height}
                           : many                        ? geometry.rows(window_, 0, 1)
                                  : geometry.rows(window_, y_rows.begin, y_rows.end);
    const row_range used = many ? y_rows : row_range{0, 1};  // of many images, each has one row
    workspace_cursor scratch(workspace);
    const auto prepare = [&]<class T>(const T* from, T pad) -> const void* {
      if (in_order()) return from;
      const std::size_t size = arranged_size(x_shape);
      T* const to = scratch.take<T>(images.count * size + kernel.nr);
      for (std::size_t i = used.begin; i < used.end; ++i)
        geometry.fill<T>(x_shape, window_, rows, from + i * elements, pad, to + i * size);
      std::fill_n(to + images.count * size, kernel.nr, pad);
      return to;
    };
    bool owned = !in_order();  // what is made here has room behind it
    if (integer() && x.codes != nullptr && !kernel.signed_image) {
      args.image_scale = fixed_->scale;
      args.image_zero_point = fixed_->zero_point;
      args.image =
          prepare(x.codes + images.first * elements, static_cast<std::uint8_t>(fixed_->zero_point));
    } else if (integer()) {
      const elementwise_kernels& k = find_elementwise(kernel.target);
      const float* const from = x.reals + (x.codes == nullptr ? images.first * elements : 0);
      const block_scale q = x.codes != nullptr ? *fixed_ : image_codes(k, elements, from, fixed_);
      auto* const codes = scratch.take<std::uint8_t>(images.count * elements + kernel.nr);
      args.image_scale = q.scale;
      args.image_zero_point = q.zero_point - (kernel.signed_image ? 128 : 0);
      owned = true;
      const row_range given = image_arrangement::inside(x_shape, window_, rows);
      const bool whole = given.end - given.begin == x_shape[2];
      const std::size_t step = whole ? elements : x_shape[2] * x_shape[3];
      const std::size_t skip = given.begin * x_shape[3];
      const std::size_t n = whole ? elements : (given.end - given.begin) * x_shape[3];
      for (std::size_t i = used.begin * elements + skip; i < used.end * elements; i += step) {
        if (x.codes != nullptr)
          signed_codes(n, x.codes + images.first * elements + i, codes + i);
        else if (kernel.signed_image)  // the same codes less 128
          k.quantize_s8(n, from + i, q.scale, args.image_zero_point,
                        reinterpret_cast<std::int8_t*>(codes + i));
        else
          k.quantize_u8(n, from + i, q.scale, args.image_zero_point, codes + i);
      }
      args.image = prepare(codes, static_cast<std::uint8_t>(args.image_zero_point));
    } else {
      args.image = prepare(x.reals + images.first * elements, 0.0f);
    }
    auto* const sums = scratch.take<float>(many ? O * pixels : 0);
    auto* const residual = scratch.take<float>(many ? O * pixels : 0);
    args.workspace = scratch.take<std::byte>(0);
    args.row_step = many ? arranged_size(x_shape) : window_.stride_h * geometry.width;
    // Rows that follow each other without a gap are one row.
    args.out_width = args.row_step == y_shape[3] ? pixels : y_shape[3];
    args.y_stride = pixels;
    const auto* const first = static_cast<const std::byte*>(args.image);
    // Packing copies whole vectors: what was made here has room behind it, and another image may.
    const std::size_t size = owned ? images.count * arranged_size(x_shape) + kernel.nr
                                   : (x_shape[0] - images.first) * elements;
    const epilogue out = args.out;
    const epilogue_codes all = args.codes;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const std::size_t skip = g * group_channels() * geometry.plane;
      const std::size_t at = (images.first * groups_.size() + g) * O * y_shape[2] * y_shape[3];
      args.image = first + skip * (integer() ? 1 : sizeof(float));
      args.image_size = size - skip;
      args.filters = groups_[g].data();
      args.y = all.y != nullptr ? nullptr : y + at;
      if (out.bias != nullptr) args.out.bias = out.bias + g * O;
      if (out.residual != nullptr) args.out.residual = out.residual + at;
      args.codes = all.from(at);
      if (many)
        run_side_by_side(args, y_shape[3], sums, residual);
      else
        kernel.run(args);
    }
  }

  void run_band_in_order(const shape& x_shape, const shape& y_shape, row_range rows, layer_input x,
                         const row_layout& x_rows, float* y, const row_layout& y_rows,
                         const epilogue& out, void* workspace, const epilogue_codes& codes) const {
    workspace_cursor scratch(workspace);
    auto* const offsets = scratch.take<std::size_t>(layout().packed_k);
    image_arrangement image = arranged(x_shape);
    image.plane = x_rows.stride;
    fill_offsets(image, offsets);
    const std::size_t from = (rows.begin * window_.stride_h - x_rows.first_row) * x_shape[3],
                      to = (rows.begin - y_rows.first_row) * y_shape[3],
                      pixels = rows.size() * y_shape[3];
    conv_args args{.pixel_end = pixels,
                   .row_step = window_.stride_h * image.width,
                   .offsets = offsets,
                   .y_stride = y_rows.stride,
                   .workspace = scratch.take<std::byte>(0)};
    // Rows that follow each other without a gap are one row.
    args.out_width = args.row_step == y_shape[3] ? pixels : y_shape[3];
    if (fixed_) {
      args.image_scale = fixed_->scale;
      args.image_zero_point = fixed_->zero_point;
    }
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const std::size_t skip = from + g * group_channels() * x_rows.stride, O = groups_[g].O(),
                        at = g * O * y_rows.stride + to;
      args.image = integer() ? static_cast<const void*>(x.codes + skip) : x.reals + skip;
      args.image_size = x_rows.size - std::min(x_rows.size, skip);
      args.filters = groups_[g].data();
      args.y = codes.y != nullptr ? nullptr : y + at;
      args.out = out;
      if (out.bias != nullptr) args.out.bias += g * O;
      if (out.residual != nullptr) args.out.residual += at;
      args.codes = codes.from(at);
      groups_[g].kernel().run(args);
    }
  }

  /// Many images, of `width` pixels each: y is (image, filter, pixel), where the kernel makes
  /// (filter, image, pixel).
  void run_side_by_side(conv_args args, std::size_t width, float* sums, float* residual) const {
    const conv_kernel& kernel = groups_[0].kernel();
    const std::size_t O = groups_[0].O(), image_step = groups_.size() * O * width;
    const row_tiles tiles(O, kernel.mr);
    const std::size_t rows_begin = tiles.begin(args.tile_begin),
                      rows_end = tiles.begin(std::min(args.tile_end, tiles.count));
    const auto for_pieces = [&](const auto& f) {
      for (std::size_t pixel = args.pixel_begin, n; pixel < args.pixel_end; pixel += n) {
        n = std::min(width - pixel % width, args.pixel_end - pixel);
        for (std::size_t o = rows_begin; o < rows_end; ++o)
          f(pixel / width * image_step + o * width + pixel % width, o * args.y_stride + pixel, n);
      }
    };
    float* const y = args.y;
    args.y = sums;
    if (const float* const given = std::exchange(args.out.residual, residual))
      for_pieces([&](std::size_t there, std::size_t here, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) residual[here + i] = given[there + i];
      });
    else
      args.out.residual = nullptr;
    kernel.run(args);
    for_pieces([&](std::size_t there, std::size_t here, std::size_t n) {
      for (std::size_t i = 0; i < n; ++i) y[there + i] = sums[here + i];
    });
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
