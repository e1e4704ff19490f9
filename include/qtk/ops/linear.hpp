#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "qtk/core/executor.hpp"
#include "qtk/kernels/elementwise.hpp"
#include "qtk/ops/batch.hpp"
#include "qtk/ops/packed_weights.hpp"
#include "qtk/quantize/scheme.hpp"

namespace qtk::inline QTK_ABI {

/// Bytes carved from one workspace, each piece 64-byte aligned.
class workspace_cursor {
 public:
  explicit workspace_cursor(void* base) noexcept : at_(static_cast<std::byte*>(base)) {}
  template <class T>
  [[nodiscard]] T* take(std::size_t count) noexcept {
    auto* piece = reinterpret_cast<T*>(at_);
    at_ += aligned(count * sizeof(T));
    return piece;
  }
  [[nodiscard]] static constexpr std::size_t aligned(std::size_t bytes) noexcept {
    return round_up(bytes, buffer_alignment);
  }

 private:
  std::byte* at_;
};

/// The input of a layer: floats, or for integer products uint8 codes of the scale that it is given.
struct layer_input {
  const float* reals = nullptr;
  const std::uint8_t* codes = nullptr;
  constexpr layer_input(const float* x) noexcept : reals(x) {}
  constexpr layer_input(const std::uint8_t* x) noexcept : codes(x) {}
  /// From element `begin` on.
  [[nodiscard]] constexpr layer_input from(std::size_t begin) const noexcept {
    return codes != nullptr ? layer_input(codes + begin) : layer_input(reals + begin);
  }
};

/// The activations of one product as the integer kernels want them: per row (M, K) or, for an
/// image, as one row. uint8 with a zero point for u8_s8, int8 symmetric for int4 weights.
struct quantized_activations {
  void* codes = nullptr;  // (rows, cols)
  float* scales = nullptr;
  std::int32_t* zero_points = nullptr;

  [[nodiscard]] static std::size_t bytes(std::size_t rows, std::size_t cols) noexcept {
    return workspace_cursor::aligned(rows * cols) +
           2 * workspace_cursor::aligned(rows * sizeof(float));
  }
  quantized_activations(workspace_cursor& w, std::size_t rows, std::size_t cols)
      : codes(w.take<std::uint8_t>(rows * cols)),
        scales(w.take<float>(rows)),
        zero_points(w.take<std::int32_t>(rows)) {}

  /// Quantizes row r of x (cols floats) by `fixed`, where given; else by choose_params: asymmetric
  /// uint8 for u8_s8 (ONNX DynamicQuantizeLinear), symmetric int8 for int4 weights, qtk::error for
  /// infinities.
  void quantize_row(const elementwise_kernels& k, gemm_op op, std::size_t r, std::size_t cols,
                    const float* x, const std::optional<block_scale>& fixed) const {
    block_scale b;
    if (fixed) {
      b = *fixed;
    } else {
      value_range range;
      k.minmax(cols, x, &range.lo, &range.hi);
      b = op == gemm_op::u8_s8 ? choose_params(range, codes_of<uint8>, symmetry::asymmetric)
                               : choose_params(range, codes_of<int8>, symmetry::symmetric);
    }
    scales[r] = b.scale;
    zero_points[r] = b.zero_point;
    const std::size_t at = r * cols;
    if (op == gemm_op::u8_s8)
      k.quantize_u8(cols, x, b.scale, b.zero_point, static_cast<std::uint8_t*>(codes) + at);
    else
      k.quantize_s8(cols, x, b.scale, b.zero_point, static_cast<std::int8_t*>(codes) + at);
  }
};

/// A product (M, N) shared out among tasks: by rows or by columns, never along K, so that the
/// number of threads does not change a result. Each task reads the other operand whole. That is W
/// where it gets rows: columns are cut where W is the larger one (128 x 4096 x 4096 on two
/// threads: 1.9 instead of 1.7 times as fast as on one), and where there are too few rows for
/// tiles.
class product_shares {
 public:
  product_shares(const gemm_kernel& k, std::size_t M, std::size_t N, std::size_t tasks) noexcept
      : by_rows_(tasks == 1 || (M >= tasks * k.mr && M >= N)),
        extent_(by_rows_ ? M : N),
        step_(round_up(ceil_div(extent_, tasks), by_rows_ ? k.mr : k.nr)) {}
  [[nodiscard]] std::size_t tasks() const noexcept {
    return step_ == 0 ? 0 : ceil_div(extent_, step_);
  }
  /// Narrows `args`, which are those of the whole product, to a task.
  void take(std::size_t task, gemm_args& args) const noexcept {
    (by_rows_ ? args.m_begin : args.n_begin) = task * step_;
    (by_rows_ ? args.m_end : args.n_end) = std::min(extent_, (task + 1) * step_);
  }

 private:
  bool by_rows_;
  std::size_t extent_, step_;
};

/// A fully connected layer, y = f(x * w^T + bias + residual), on packed weights.
///   x (M, K), w (N, K), y and residual (M, N), all row-major floats
/// With integer products each row of x is quantized on the way in, by its own range or by given
/// parameters.
class linear {
 public:
  linear() = default;
  explicit linear(packed_weights w) : weights_(std::move(w)) {}
  template <weight_format F>
  explicit linear(const tensor<F>& w, compute how = packed_weights::default_compute<F>())
      : weights_(w, how) {}

  const packed_weights& weights() const noexcept { return weights_; }

  /// Scratch for M rows on an executor of that concurrency; `writes_codes`: where y leaves as such.
  [[nodiscard]] std::size_t workspace_bytes(std::size_t M, std::size_t concurrency = 1,
                                            bool writes_codes = false) const {
    return activation_bytes(M) + (writes_codes ? real_bytes(M) : 0) +
           concurrency * per_task_bytes(M);
  }

  /// y rows are `ldy` elements apart, x rows `ldx`. Allocates nothing. `fixed`: how integer
  /// products quantize x, uint8 codes with int8 weights, int8 with the zero point 0 with int4;
  /// without it each row is searched for its range. Codes of x are of `fixed`; those of y and of
  /// the residual have rows of N, and ldy is N then.
  void run(std::size_t M, layer_input x, std::size_t ldx, float* y, std::size_t ldy, epilogue out,
           void* workspace, executor_ref executor = {},
           const std::optional<block_scale>& fixed = {}, const epilogue_codes& codes = {}) const {
    const gemm_kernel& kernel = weights_.kernel();
    const elementwise_kernels& k = find_elementwise(kernel.target);
    QTK_CHECK(x.codes == nullptr || (fixed && kernel.op == gemm_op::u8_s8), "linear",
              "codes without a scale, or for other weights than int8");
    QTK_CHECK(!codes.any() || ldy == weights_.N(), "linear", "codes in rows of ", ldy);
    workspace_cursor scratch(workspace);
    if (codes.y != nullptr) y = scratch.take<float>(M * weights_.N());
    if (codes.residual != nullptr) out.residual = y;
    gemm_args args{.M = M,
                   .N = weights_.N(),
                   .K = weights_.K(),
                   .m_end = M,
                   .n_end = weights_.N(),
                   .a = x.reals,
                   .lda = ldx,
                   .b = weights_.data(),
                   .c = y,
                   .c_row_stride = ldy,
                   .out = out};
    const std::size_t threads =
        threads_for(executor, static_cast<double>(M) * static_cast<double>(args.N * args.K),
                    weights_.size_bytes());
    if (x.codes != nullptr) {
      args.a = x.codes;
      args.a_scales = &fixed->scale;
      args.a_zero_points = &fixed->zero_point;
      args.a_scale_stride = 0;
    } else if (is_integer(kernel.op)) {
      const quantized_activations q(scratch, M, args.K);
      const std::size_t chunk = rows_per_task(M, threads);
      executor(ceil_div(M, chunk), [&](std::size_t task) {
        const std::size_t end = std::min(M, (task + 1) * chunk);
        for (std::size_t m = task * chunk; m < end; ++m)
          q.quantize_row(k, kernel.op, m, args.K, x.reals + m * ldx, fixed);
      });
      args.a = q.codes;
      args.lda = args.K;
      args.a_scales = q.scales;
      args.a_zero_points = kernel.op == gemm_op::u8_s8 ? q.zero_points : nullptr;
    }
    const product_shares shares(kernel, M, args.N, threads);
    auto* task_scratch = scratch.take<std::byte>(0);
    executor(shares.tasks(), [&](std::size_t task) {
      gemm_args part = args;
      shares.take(task, part);
      part.workspace = task_scratch + task * per_task_bytes(M);
      // By way of floats: a row of them is in the L1 cache when it is quantized.
      const std::size_t columns = part.n_end - part.n_begin;
      const auto each_row = [&](const auto& f) {
        for (std::size_t m = part.m_begin; m < part.m_end; ++m) f(m * ldy + part.n_begin);
      };
      if (codes.residual != nullptr)
        each_row([&](std::size_t at) {
          k.dequantize_u8(columns, codes.residual + at, codes.residual_scale,
                          codes.residual_zero_point, y + at);
        });
      kernel.run(part);
      if (codes.y != nullptr)
        each_row([&](std::size_t at) {
          k.quantize_u8(columns, y + at, codes.y_scale, codes.y_zero_point, codes.y + at);
        });
    });
  }

  /// The short form: allocates its workspace. Shapes are checked.
  void operator()(tensor_view<const fp32> x, tensor_view<fp32> y, const epilogue& out = {},
                  executor_ref executor = {}) const {
    QTK_CHECK(x.cols() == weights_.K() && y.cols() == weights_.N() && x.rows() == y.rows(),
              "linear", "x ", x.shape(), " * W (", weights_.N(), ", ", weights_.K(), ")^T -> y ",
              y.shape());
    const buffer workspace(workspace_bytes(x.rows(), executor.concurrency()));
    run(x.rows(), x.data(), x.row_stride(), y.data(), y.row_stride(), out,
        const_cast<std::byte*>(workspace.data()), executor);
  }

 private:
  [[nodiscard]] static std::size_t rows_per_task(std::size_t M, std::size_t concurrency) noexcept {
    return std::max<std::size_t>(1, ceil_div(M, concurrency));
  }
  [[nodiscard]] std::size_t activation_bytes(std::size_t M) const {
    return is_integer(weights_.kernel().op) ? quantized_activations::bytes(M, weights_.K()) : 0;
  }
  [[nodiscard]] std::size_t real_bytes(std::size_t M) const {
    return workspace_cursor::aligned(M * weights_.N() * sizeof(float));
  }
  [[nodiscard]] std::size_t per_task_bytes(std::size_t M) const {
    return workspace_cursor::aligned(
        weights_.kernel().workspace_bytes(M, weights_.N(), weights_.K(), weights_.group_size()));
  }

  packed_weights weights_;
};

}  // namespace qtk::inline QTK_ABI
