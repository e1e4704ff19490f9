#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "qtk/prune/nm.hpp"

namespace qtk::inline QTK_ABI {

/// Zeros of a tensor; -0 counts, NaN does not.
struct zero_count {
  std::size_t zeros = 0, elements = 0;

  /// 0 without elements.
  [[nodiscard]] double sparsity() const noexcept {
    return elements == 0 ? 0.0 : static_cast<double>(zeros) / static_cast<double>(elements);
  }
  /// Layers add up to a model.
  zero_count& operator+=(const zero_count& other) noexcept {
    zeros += other.zeros;
    elements += other.elements;
    return *this;
  }
};

[[nodiscard]] inline zero_count count_zeros(tensor_view<const fp32> x) {
  zero_count n{0, x.shape().elements()};
  for (std::size_t r = 0; r < x.rows(); ++r)
    n.zeros += static_cast<std::size_t>(std::count(x.row(r), x.row(r) + x.cols(), 0.0f));
  return n;
}

/// Magnitudes in bins of equal width over [0, max]: bin i counts
/// i * max / bins <= |x| < (i + 1) * max / bins, the last one max as well.
struct magnitude_histogram {
  float max = 0.0f;
  std::vector<std::size_t> counts;
};

/// qtk::error for no bins, NaN and infinities. A tensor of zeros is counted in bin 0.
[[nodiscard]] inline magnitude_histogram histogram(tensor_view<const fp32> x, std::size_t bins) {
  QTK_CHECK(bins > 0, "histogram", "no bins");
  check_finite(x, "histogram");
  magnitude_histogram h{0.0f, std::vector<std::size_t>(bins)};
  for (std::size_t r = 0; r < x.rows(); ++r)
    for (std::size_t c = 0; c < x.cols(); ++c) h.max = std::max(h.max, std::fabs(x.row(r)[c]));
  for (std::size_t r = 0; r < x.rows(); ++r)
    for (std::size_t c = 0; c < x.cols(); ++c) {
      // In double: |x| * bins is exact for any sensible number of bins, and does not overflow.
      const double at = h.max == 0.0f ? 0.0
                                      : std::fabs(static_cast<double>(x.row(r)[c])) *
                                            static_cast<double>(bins) / static_cast<double>(h.max);
      ++h.counts[std::min(static_cast<std::size_t>(at), bins - 1)];
    }
  return h;
}

/// Groups of M along K, and those of them with more than N weights that are not zero.
struct nm_check {
  std::size_t groups = 0, violations = 0;
  [[nodiscard]] bool conforms() const noexcept { return violations == 0; }
};

/// Whether x has the structure that nm_mask(x, n, m) makes; groups and tails as there.
[[nodiscard]] inline nm_check check_nm(tensor_view<const fp32> x, std::size_t n, std::size_t m) {
  detail::require_nm(n, m);
  const auto [N, K] = detail::matrix_of(x.shape());
  nm_check result;
  for (std::size_t row = 0; row < N; ++row)
    for (std::size_t k = 0; k < K; k += m) {
      std::size_t used = 0;
      for (std::size_t i = k; i < std::min(k + m, K); ++i)
        used += detail::element(x, row * K + i) != 0.0f;
      ++result.groups;
      result.violations += used > n;
    }
  return result;
}

}  // namespace qtk::inline QTK_ABI
