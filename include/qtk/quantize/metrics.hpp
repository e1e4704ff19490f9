#pragma once

#include <cmath>
#include <limits>

#include "qtk/core/tensor.hpp"

namespace qtk::inline QTK_ABI {

/// How far y (test) is from x (reference), over n elements, summed in double.
///   mse      sum (x - y)^2 / n
///   sqnr_db  10 log10(sum x^2 / sum (x - y)^2): +inf where they are equal, -inf where only x is
///   zero max_abs  max |x - y| cosine   sum x y / sqrt(sum x^2 * sum y^2): 1 where both are zero, 0
///   where one is
/// Without elements: as equal ones. A NaN on either side makes all four NaN.
struct error_metrics {
  double mse = 0.0;
  double sqnr_db = std::numeric_limits<double>::infinity();
  double max_abs = 0.0;
  double cosine = 1.0;
};

/// The sums behind error_metrics, over data that come piece by piece: constant memory.
class error_sums {
 public:
  /// qtk::error where the shapes differ.
  void add(tensor_view<const fp32> reference, tensor_view<const fp32> test) {
    QTK_CHECK(reference.shape() == test.shape(), "compare", reference.shape(), " with ",
              test.shape());
    for (std::size_t r = 0; r < reference.rows(); ++r)
      for (std::size_t c = 0; c < reference.cols(); ++c) {
        const double x = reference.row(r)[c], y = test.row(r)[c];
        xx_ += x * x;
        yy_ += y * y;
        xy_ += x * y;
        noise_ += (x - y) * (x - y);
        max_abs_ = std::fabs(x - y) > max_abs_ ? std::fabs(x - y) : max_abs_;
      }
    n_ += reference.shape().elements();
  }

  [[nodiscard]] error_metrics result() const {
    if (n_ == 0) return {};
    if (std::isnan(noise_)) return {noise_, noise_, noise_, noise_};
    const double product = std::sqrt(xx_) * std::sqrt(yy_);
    return {.mse = noise_ / static_cast<double>(n_),
            .sqnr_db = noise_ == 0.0 ? std::numeric_limits<double>::infinity()
                                     : 10.0 * std::log10(xx_ / noise_),
            .max_abs = max_abs_,
            .cosine = product > 0.0 ? xy_ / product
                      : xx_ == yy_  ? 1.0
                                    : 0.0};
  }

 private:
  double xx_ = 0.0, yy_ = 0.0, xy_ = 0.0, noise_ = 0.0, max_abs_ = 0.0;
  std::size_t n_ = 0;
};

/// qtk::error where the shapes differ.
[[nodiscard]] inline error_metrics compare(tensor_view<const fp32> reference,
                                           tensor_view<const fp32> test) {
  error_sums sums;
  sums.add(reference, test);
  return sums.result();
}

}  // namespace qtk::inline QTK_ABI
