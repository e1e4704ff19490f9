#pragma once

#include <limits>

#include "qtk/quantize/hessian.hpp"

namespace qtk::inline QTK_ABI {

/// What a layer's output loses when its weights w (N, K) are replaced:
///   ||(W - Wq) X^T||^2 / ||W X^T||^2 = tr(D H D^T) / tr(W H W^T),   D = W - Wq
/// 0: nothing; 1: as if all weights were 0. H is packed once, in fp32, for any number of
/// candidates. Products are fp32 and the traces sums in double: errors below 1e-6 or so are noise.
/// The same for every executor. Refers to w and to the executor.
class output_error {
 public:
  /// qtk::error for other numbers of channels, and for NaN and infinities in w.
  output_error(tensor_view<const fp32> w, const hessian& h, executor_ref executor = {})
      : w_(w), executor_(executor) {
    const std::size_t K = h.channels();
    detail::check_channels(K, w.shape(), "output_error");
    check_finite(w, "output_error");
    tensor<fp32> rows({K, K});
    double largest = 0.0;
    for (std::size_t k = 0; k < K; ++k) largest = std::max(largest, h(k, k));
    // In units of the largest element: fp32 holds it, and the unit leaves the ratio.
    if (largest > 0.0)
      detail::for_ranges(K, executor, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
          for (std::size_t j = 0; j < K; ++j)
            rows.data()[i * K + j] = static_cast<float>(h(i, j) / largest);
      });
    times_h_ = detail::f32_product(K, K, rows.data(), K);
    whole_ = trace([&](std::size_t n, std::size_t k) { return w_.row(n)[k]; });
  }

  /// Of the layer with these weights (N, K) in place of w.
  [[nodiscard]] double operator()(tensor_view<const fp32> wq) const {
    QTK_CHECK(wq.shape() == w_.shape(), "output_error", wq.shape(), " in place of ", w_.shape());
    const double lost =
        trace([&](std::size_t n, std::size_t k) { return w_.row(n)[k] - wq.row(n)[k]; });
    return lost == 0.0 ? 0.0 : lost / whole_;
  }
  template <quantized_format F>
  [[nodiscard]] double operator()(const tensor<F>& wq) const {
    return (*this)(dequantize(wq, executor_).view());
  }

 private:
  /// tr(D H D^T), D[n, k] = d(n, k).
  template <class Difference>
  [[nodiscard]] double trace(const Difference& d) const {
    const std::size_t N = w_.shape()[0], K = w_.shape()[1];
    constexpr std::size_t strip = 64;
    std::vector<double> rows(N);
    executor_(ceil_div(N, strip), [&](std::size_t task) {
      const std::size_t begin = task * strip, count = std::min(strip, N - begin);
      tensor<fp32> left({count, K}), product({count, K});
      for (std::size_t n = 0; n < count; ++n)
        for (std::size_t k = 0; k < K; ++k) left.data()[n * K + k] = d(begin + n, k);
      times_h_(count, left.data(), K, product.data(), K, K);
      for (std::size_t n = 0; n < count; ++n)
        for (std::size_t k = 0; k < K; ++k)
          rows[begin + n] +=
              static_cast<double>(left.data()[n * K + k]) * product.data()[n * K + k];
    });
    double sum = 0.0;
    for (const double row : rows) sum += row;
    return std::max(sum, 0.0);  // rounding where D lies in what X does not reach
  }

  tensor_view<const fp32> w_;
  executor_ref executor_;
  detail::f32_product times_h_;
  double whole_ = 0.0;
};

/// The same once.
[[nodiscard]] inline double layer_output_error(tensor_view<const fp32> w,
                                               tensor_view<const fp32> wq, const hessian& h,
                                               executor_ref executor = {}) {
  return output_error(w, h, executor)(wq);
}

}  // namespace qtk::inline QTK_ABI
