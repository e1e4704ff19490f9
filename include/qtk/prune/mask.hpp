#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "qtk/core/tensor.hpp"

namespace qtk::inline QTK_ABI {

/// Which elements of a tensor stay: 1 keeps, 0 prunes, row-major without gaps.
struct mask {
  qtk::shape shape;
  std::vector<std::uint8_t> keep;

  [[nodiscard]] std::size_t kept() const noexcept {
    std::size_t n = 0;
    for (const std::uint8_t k : keep) n += k != 0;
    return n;
  }
  /// The pruned share, 0 without elements.
  [[nodiscard]] double sparsity() const noexcept {
    return keep.empty()
               ? 0.0
               : static_cast<double>(keep.size() - kept()) / static_cast<double>(keep.size());
  }
};

/// Elements to prune out of n: round(sparsity * n), halves up. qtk::error unless 0 <= sparsity
/// <= 1.
[[nodiscard]] inline std::size_t prune_count(std::size_t n, double sparsity) {
  QTK_CHECK(sparsity >= 0.0 && sparsity <= 1.0, "prune", "sparsity ", sparsity,
            " is not in [0, 1]");
  const auto count = static_cast<std::size_t>(std::llround(sparsity * static_cast<double>(n)));
  return count < n ? count : n;
}

/// Sets what the mask prunes to +0. qtk::error where the shapes differ.
inline void apply(tensor_view<fp32> x, const mask& m) {
  QTK_CHECK(x.shape() == m.shape && m.keep.size() == m.shape.elements(), "prune", "mask ", m.shape,
            " with ", m.keep.size(), " elements for ", x.shape());
  for (std::size_t r = 0, i = 0; r < x.rows(); ++r)
    for (std::size_t c = 0; c < x.cols(); ++c, ++i)
      if (m.keep[i] == 0) x.row(r)[c] = 0.0f;
}

}  // namespace qtk::inline QTK_ABI
