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

/// qtk::error where the shapes differ.
[[nodiscard]] inline error_metrics compare(tensor_view<const fp32> reference,
                                           tensor_view<const fp32> test) {
  QTK_CHECK(reference.shape() == test.shape(), "compare", reference.shape(), " with ",
            test.shape());
  double xx = 0.0, yy = 0.0, xy = 0.0, noise = 0.0, max_abs = 0.0;
  for (std::size_t r = 0; r < reference.rows(); ++r)
    for (std::size_t c = 0; c < reference.cols(); ++c) {
      const double x = reference.row(r)[c], y = test.row(r)[c];
      xx += x * x;
      yy += y * y;
      xy += x * y;
      noise += (x - y) * (x - y);
      max_abs = std::fabs(x - y) > max_abs ? std::fabs(x - y) : max_abs;
    }
  const std::size_t n = reference.shape().elements();
  if (n == 0) return {};
  if (std::isnan(noise)) return {noise, noise, noise, noise};
  const double product = std::sqrt(xx) * std::sqrt(yy);
  return {.mse = noise / static_cast<double>(n),
          .sqnr_db = noise == 0.0 ? std::numeric_limits<double>::infinity()
                                  : 10.0 * std::log10(xx / noise),
          .max_abs = max_abs,
          .cosine = product > 0.0 ? xy / product
                    : xx == yy    ? 1.0
                                  : 0.0};
}

}  // namespace qtk::inline QTK_ABI
