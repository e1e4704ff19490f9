#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "qtk/quantize/f32_product.hpp"
#include "qtk/quantize/finite.hpp"
#include "qtk/quantize/scale_search.hpp"

namespace qtk::inline QTK_ABI {

/// What calibration tells of a layer's inputs x (M, K), whatever their number:
///   H = 2 X^T X, the second derivative of ||W X^T - Wq X^T||^2 by each row of Wq (Frantar et al.
///   2022, GPTQ, section 3), and for each channel the mean and the largest |x|.
/// K (K + 1) / 2 doubles: 64 MiB for K = 4096. Rows are summed up to 512 at a time in fp32, these
/// sums in double. The result does not depend on the executor; another cut into batches may change
/// its last bits. Batches of hundreds of rows are best: each costs a pass over H.
class hessian {
 public:
  explicit hessian(std::size_t channels)
      : sums_(checked_mul(channels, channels + 1, "hessian") / 2),
        abs_sums_(channels),
        abs_max_(channels) {
    QTK_CHECK(channels > 0, "hessian", "no channels");
  }

  /// Adds the rows of x, (M, K) or (..., K). qtk::error naming the place of NaN, and of magnitudes
  /// from 2^59 on, whose squares overflow; then nothing was added.
  void add(tensor_view<const fp32> x, executor_ref executor = {}) {
    QTK_CHECK(x.cols() == channels(), "hessian", "inputs ", x.shape(), " for ", channels(),
              " channels");
    for (std::size_t r = 0; r < x.rows(); ++r) check_row(x, r, "hessian", 0x1p59f);
    constexpr std::size_t chunk = 512;
    for (std::size_t r = 0; r < x.rows(); r += chunk)
      add_rows(x, r, std::min(chunk, x.rows() - r), executor);
    samples_ += x.rows();
  }

  /// As if all inputs had been x_k / scales_k: what a layer sees whose weights were scaled by AWQ
  /// or SmoothQuant.
  void divide_channels(std::span<const float> scales) {
    QTK_CHECK(scales.size() == channels(), "hessian", scales.size(), " scales for ", channels(),
              " channels");
    for (const float s : scales)
      QTK_CHECK(s > 0.0f && s <= std::numeric_limits<float>::max(), "hessian", "scale ", s);
    for (std::size_t i = 0; i < channels(); ++i) {
      const double s = scales[i];
      for (std::size_t j = 0; j <= i; ++j) sums_[i * (i + 1) / 2 + j] /= s * scales[j];
      abs_sums_[i] /= s;
      abs_max_[i] /= scales[i];
    }
  }

  std::size_t channels() const noexcept { return abs_sums_.size(); }
  std::size_t samples() const noexcept { return samples_; }

  /// H[i, j].
  double operator()(std::size_t i, std::size_t j) const noexcept {
    return 2.0 * (i < j ? lower(j)[i] : lower(i)[j]);
  }
  /// mean |x_k|, max |x_k| and mean x_k^2, (K) each: what AWQ, SmoothQuant and clipping ask.
  [[nodiscard]] std::vector<float> mean_abs() const {
    std::vector<float> mean(channels());
    for (std::size_t k = 0; k < channels(); ++k) mean[k] = per_sample(abs_sums_[k]);
    return mean;
  }
  [[nodiscard]] const std::vector<float>& max_abs() const noexcept { return abs_max_; }
  [[nodiscard]] std::vector<float> second_moments() const {
    std::vector<float> mean(channels());
    for (std::size_t k = 0; k < channels(); ++k) mean[k] = per_sample(lower(k)[k]);
    return mean;
  }

 private:
  const double* lower(std::size_t i) const noexcept { return sums_.data() + i * (i + 1) / 2; }
  [[nodiscard]] float per_sample(double sum) const noexcept {
    return samples_ == 0 ? 0.0f : static_cast<float>(sum / static_cast<double>(samples_));
  }

  void add_rows(tensor_view<const fp32> x, std::size_t first, std::size_t rows,
                executor_ref executor) {
    const std::size_t K = channels();
    tensor<fp32> columns({K, rows});  // x^T
    detail::for_ranges(K, executor, [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = 0; r < rows; ++r) {
        const float* from = x.row(first + r);
        for (std::size_t k = begin; k < end; ++k) {
          const float magnitude = std::fabs(from[k]);
          columns.data()[k * rows + r] = from[k];
          abs_sums_[k] += static_cast<double>(magnitude);
          abs_max_[k] = std::max(abs_max_[k], magnitude);
        }
      }
    });
    const detail::f32_product times_columns(K, rows, columns.data(), rows);
    constexpr std::size_t strip = 64;
    executor(ceil_div(K, strip), [&](std::size_t task) {
      const std::size_t begin = task * strip, end = std::min(K, begin + strip);
      tensor<fp32> product({end - begin, end});
      times_columns(end - begin, columns.data() + begin * rows, rows, product.data(), end, end);
      for (std::size_t i = begin; i < end; ++i) {
        double* sums = sums_.data() + i * (i + 1) / 2;
        const float* row = product.data() + (i - begin) * end;
        for (std::size_t j = 0; j <= i; ++j) sums[j] += static_cast<double>(row[j]);
      }
    });
  }

  std::vector<double> sums_;      // of x_i x_j: rows of the lower triangle
  std::vector<double> abs_sums_;  // (K)
  std::vector<float> abs_max_;    // (K)
  std::size_t samples_ = 0;
};

}  // namespace qtk::inline QTK_ABI
