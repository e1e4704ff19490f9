#pragma once

#include <algorithm>
#include <vector>

#include "qtk/prune/magnitude.hpp"

namespace qtk::inline QTK_ABI {

namespace detail {

/// Weights as the matrix (N, K) that layers multiply by: all but the first axis make up K, as in
/// (O, I * kh * kw). A vector is one row.
struct weight_matrix {
  std::size_t N = 1, K = 1;
};
[[nodiscard]] inline weight_matrix matrix_of(const shape& s) {
  return s.rank() < 2 ? weight_matrix{1, s.elements()}
                      : weight_matrix{s[0], s.product(1, s.rank())};
}

/// Element i of the tensor in row-major order, gaps between rows skipped.
[[nodiscard]] inline float element(tensor_view<const fp32> x, std::size_t i) noexcept {
  return x.row(i / x.cols())[i % x.cols()];
}

inline void require_nm(std::size_t n, std::size_t m) {
  QTK_CHECK(m > 0 && n <= m, "N:M", n, ":", m, " keeps more than there are");
}

}  // namespace detail

/// N:M structure: of each M consecutive weights along K the N of largest magnitude stay; 2:4 is
/// what sparse tensor cores take. K is everything after the first axis, (O, I * kh * kw) for a
/// convolution. Groups start anew in each row; a shorter last group counts as padded with zeros, so
/// it keeps N too if it has them. Of equal magnitudes the ones that come first go first. qtk::error
/// for N > M, M = 0, NaN and infinities.
[[nodiscard]] inline mask nm_mask(tensor_view<const fp32> x, std::size_t n, std::size_t m) {
  detail::require_nm(n, m);
  check_finite(x, "prune");
  const auto [N, K] = detail::matrix_of(x.shape());
  mask result{x.shape(), std::vector<std::uint8_t>(N * K, 1)};
  std::vector<std::size_t> group;
  for (std::size_t row = 0; row < N; ++row)
    for (std::size_t k = 0; k < K; k += m) {
      const std::size_t size = std::min(m, K - k);
      if (size <= n) continue;
      group.resize(size);
      for (std::size_t i = 0; i < size; ++i) group[i] = row * K + k + i;
      std::stable_sort(group.begin(), group.end(), [&](std::size_t a, std::size_t b) {
        return detail::magnitude_bits(detail::element(x, a)) <
               detail::magnitude_bits(detail::element(x, b));
      });
      for (std::size_t i = 0; i < size - n; ++i) result.keep[group[i]] = 0;
    }
  return result;
}

}  // namespace qtk::inline QTK_ABI
