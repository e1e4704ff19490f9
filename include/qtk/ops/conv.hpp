#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "qtk/ops/linear.hpp"

namespace qtk::inline QTK_ABI {

/// Geometry of a 2-D convolution or pooling (ONNX Conv, Pool): all in elements.
struct window_2d {
  std::size_t kernel_h = 1, kernel_w = 1;
  std::size_t stride_h = 1, stride_w = 1;
  std::size_t dilation_h = 1, dilation_w = 1;
  std::size_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;

  /// out = floor((in + pads - dilation * (kernel - 1) - 1) / stride) + 1; qtk::error where the
  /// window is larger than the padded input.
  [[nodiscard]] std::size_t out_height(std::size_t in) const {
    return extent(in, pad_top + pad_bottom, kernel_h, stride_h, dilation_h);
  }
  [[nodiscard]] std::size_t out_width(std::size_t in) const {
    return extent(in, pad_left + pad_right, kernel_w, stride_w, dilation_w);
  }

  [[nodiscard]] static std::size_t extent(std::size_t in, std::size_t pads, std::size_t kernel,
                                          std::size_t stride, std::size_t dilation) {
    const std::size_t reach = checked_add(checked_mul(dilation, kernel - 1), 1, "window");
    const std::size_t padded = checked_add(in, pads, "window");
    QTK_CHECK(kernel > 0 && stride > 0 && dilation > 0, "window", "kernel ", kernel, ", stride ",
              stride, ", dilation ", dilation);
    QTK_CHECK(reach <= padded, "window", "spans ", reach, " of an input of ", padded);
    return (padded - reach) / stride + 1;
  }
};

/// 2-D convolution, y = f(conv(x, w) + bias + residual), as implicit GEMM on packed weights:
///   x (batch, C, H, W), w as the matrix (O, C / groups * kh * kw), y and residual (batch, O, OH,
///   OW)
/// With integer products each image of x is quantized on the way in, with one scale.
class conv2d {
 public:
  /// One packed_weights of (O / groups, C / groups * kh * kw) for each group, in order. Shared,
  /// because one set serves inputs of any size.
  conv2d(std::shared_ptr<const std::vector<packed_weights>> weights, const window_2d& window)
      : weights_(std::move(weights)), groups_(*weights_), window_(window) {
    QTK_CHECK(!groups_.empty(), "conv2d", "no weights");
    const std::size_t taps = checked_mul(window.kernel_h, window.kernel_w, "conv2d");
    for (const packed_weights& g : groups_)
      QTK_CHECK(g.K() % taps == 0 && g.N() == groups_[0].N() && g.K() == groups_[0].K(), "conv2d",
                "weights (", g.N(), ", ", g.K(), ") for a window of ", taps);
  }

  const window_2d& window() const noexcept { return window_; }
  const packed_weights& weights(std::size_t group = 0) const { return groups_[group]; }
  std::size_t groups() const noexcept { return groups_.size(); }
  std::size_t in_channels() const noexcept {
    return groups_.size() * groups_[0].K() / (window_.kernel_h * window_.kernel_w);
  }
  std::size_t out_channels() const noexcept { return groups_.size() * groups_[0].N(); }
  std::size_t packed_bytes() const noexcept {
    std::size_t n = 0;
    for (const packed_weights& g : groups_) n += g.size_bytes();
    return n;
  }

  [[nodiscard]] shape output_shape(const shape& x) const {
    QTK_CHECK(x.rank() == 4 && x[1] == in_channels(), "conv2d", "input ", x, " for ", in_channels(),
              " channels");
    return {x[0], out_channels(), window_.out_height(x[2]), window_.out_width(x[3])};
  }

  [[nodiscard]] std::size_t workspace_bytes(const shape& x, std::size_t concurrency = 1) const {
    return concurrency * per_task_bytes(x);
  }

  /// Allocates nothing. `out.residual` has the layout of y.
  void run(const shape& x_shape, const float* x, float* y, const epilogue& out, void* workspace,
           executor_ref executor = {}) const {
    const shape y_shape = output_shape(x_shape);
    const std::size_t batch = x_shape[0], tasks = executor.concurrency();
    const std::size_t pixels = y_shape[2] * y_shape[3];
    // Images are shared out; where there are fewer than threads, each image's pixels.
    const std::size_t parts = batch >= tasks || batch == 0 ? 1 : ceil_div(tasks, batch);
    const std::size_t mr = groups_[0].kernel().mr;
    const std::size_t step = std::max<std::size_t>(1, round_up(ceil_div(pixels, parts), mr));
    const std::size_t jobs = batch * ceil_div(pixels, step);
    const std::size_t jobs_per_task = std::max<std::size_t>(1, ceil_div(jobs, tasks));
    executor(ceil_div(jobs, jobs_per_task), [&](std::size_t task) {
      auto* scratch = static_cast<std::byte*>(workspace) + task * per_task_bytes(x_shape);
      const std::size_t end = std::min(jobs, (task + 1) * jobs_per_task);
      for (std::size_t job = task * jobs_per_task; job < end; ++job) {
        const std::size_t image = job / ceil_div(pixels, step);
        const std::size_t begin = job % ceil_div(pixels, step) * step;
        run_image(x_shape, y_shape, x, y, image, begin, std::min(pixels, begin + step), out,
                  scratch);
      }
    });
  }

 private:
  [[nodiscard]] bool integer() const noexcept {
    const gemm_op op = groups_[0].kernel().op;
    return op == gemm_op::u8_s8 || op == gemm_op::s8_s4;
  }
  [[nodiscard]] bool padded() const noexcept {
    return (window_.pad_top | window_.pad_left | window_.pad_bottom | window_.pad_right) != 0;
  }
  [[nodiscard]] std::size_t padded_height(const shape& x) const noexcept {
    return x[2] + window_.pad_top + window_.pad_bottom;
  }
  [[nodiscard]] std::size_t padded_width(const shape& x) const noexcept {
    return x[3] + window_.pad_left + window_.pad_right;
  }
  [[nodiscard]] std::size_t padded_elements(const shape& x) const noexcept {
    return x[1] * padded_height(x) * padded_width(x);
  }

  /// An image with its padding written out: once for all taps, so that the kernel packs windows
  /// without asking where the image ends (which took more time than the products of small layers).
  template <class T>
  void pad(const shape& x, const T* from, T value, T* to) const noexcept {
    const std::size_t width = padded_width(x), row = x[3];
    for (std::size_t c = 0; c < x[1]; ++c) {
      to = std::fill_n(to, window_.pad_top * width, value);
      for (std::size_t h = 0; h < x[2]; ++h, from += row) {
        to = std::fill_n(to, window_.pad_left, value);
        to = std::copy_n(from, row, to);
        to = std::fill_n(to, window_.pad_right, value);
      }
      to = std::fill_n(to, window_.pad_bottom * width, value);
    }
  }

  [[nodiscard]] std::size_t per_task_bytes(const shape& x) const {
    const packed_weights& w = groups_[0];
    const std::size_t pixels = window_.out_height(x[2]) * window_.out_width(x[3]);
    return workspace_cursor::aligned(
               w.kernel().workspace_bytes(pixels, w.N(), w.K(), w.group_size())) +
           (padded()
                ? workspace_cursor::aligned(padded_elements(x) * (integer() ? 1 : sizeof(float)))
                : 0) +
           (integer() ? quantized_activations::bytes(1, x[1] * x[2] * x[3]) : 0);
  }

  void run_image(const shape& x_shape, const shape& y_shape, const float* x, float* y,
                 std::size_t image, std::size_t m_begin, std::size_t m_end, const epilogue& out,
                 void* workspace) const {
    const std::size_t channels = x_shape[1] / groups_.size();
    const std::size_t pixels = y_shape[2] * y_shape[3], N = groups_[0].N();
    const gemm_kernel& kernel = groups_[0].kernel();
    const std::size_t elements = x_shape[1] * x_shape[2] * x_shape[3];
    const float* const x_image = x + image * elements;
    const conv_window geometry{.channels = channels,
                               .height = padded_height(x_shape),
                               .width = padded_width(x_shape),
                               .kernel_h = window_.kernel_h,
                               .kernel_w = window_.kernel_w,
                               .stride_h = window_.stride_h,
                               .stride_w = window_.stride_w,
                               .dilation_h = window_.dilation_h,
                               .dilation_w = window_.dilation_w,
                               .out_height = y_shape[2],
                               .out_width = y_shape[3]};
    workspace_cursor scratch(workspace);
    gemm_args args{.M = pixels,
                   .N = N,
                   .K = groups_[0].K(),
                   .m_begin = m_begin,
                   .m_end = m_end,
                   .n_end = N,
                   .window = &geometry,
                   .c_row_stride = 1,
                   .c_col_stride = pixels};
    // The image as the kernel reads it: codes or floats, with its padding written out.
    const std::byte* source = nullptr;
    const auto prepare = [&]<class T>(const T* from, T value) {
      if (padded()) {
        T* const to = scratch.take<T>(padded_elements(x_shape));
        pad(x_shape, from, value, to);
        from = to;
      }
      source = reinterpret_cast<const std::byte*>(from);
    };
    std::size_t element_size = sizeof(float);
    if (integer()) {
      const quantized_activations q(scratch, 1, elements);
      q.quantize_row(find_elementwise(kernel.target), kernel.op, 0, elements, x_image);
      const bool has_zero = kernel.op == gemm_op::u8_s8;
      prepare(static_cast<const std::uint8_t*>(q.codes),
              static_cast<std::uint8_t>(has_zero ? q.zero_points[0] : 0));
      args.a_scales = q.scales;
      args.a_zero_points = has_zero ? q.zero_points : nullptr;
      args.a_scale_stride = 0;
      element_size = 1;
    } else {
      prepare(x_image, 0.0f);
    }
    args.workspace = scratch.take<std::byte>(0);
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      args.a = source + g * channels * geometry.height * geometry.width * element_size;
      args.b = groups_[g].data();
      const std::size_t at = (image * groups_.size() + g) * N * pixels;
      args.c = y + at;
      args.out = out;
      if (out.bias != nullptr) args.out.bias = out.bias + g * N;
      if (out.residual != nullptr) args.out.residual = out.residual + at;
      kernel.run(args);
    }
  }

  std::shared_ptr<const std::vector<packed_weights>> weights_;
  std::span<const packed_weights> groups_;
  window_2d window_;
};

}  // namespace qtk::inline QTK_ABI
