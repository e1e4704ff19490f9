#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "qtk/quantize/cholesky.hpp"
#include "qtk/quantize/hessian.hpp"

namespace qtk::inline QTK_ABI {

/// A hessian made ready for gptq(), for all layers that read the same inputs (query, key and
/// value).
///
/// Rounding a row w to q, e = w - q, costs e H e^T. With H = V D V^T, V unit upper triangular in
/// the order in which channels are rounded, that is a sum of squares, sum_i D_i (e_i + sum_{j<i}
/// e_j V_ji)^2, so that channel i is best rounded from
///   w_i + sum_{j<i} (w_j - q_j) V_ji.
/// This is GPTQ's recursion (Frantar et al. 2022, algorithm 1, on the Cholesky factor of H^-1)
/// without an inverse: both round the same numbers (Chee et al. 2023, QuIP, theorem 6).
///
///   damping    added to H's diagonal, relative to its mean over live channels; multiplied by ten
///              until H is positive definite, as with fewer samples than channels
///   act_order  channels with the largest diagonal first (Frantar's code, --act-order)
/// A channel that was 0 in all samples is dead: its weights become 0.
///
/// Memory: K^2 doubles while it is made, K^2 / 2 floats after. The factor is the same bits on every
/// CPU and executor where H is.
class hessian_factor {
 public:
  explicit hessian_factor(const hessian& h, double damping = 0.01, bool act_order = false,
                          executor_ref executor = {})
      : order_(h.channels()), dead_(h.channels()), damping_(damping) {
    QTK_CHECK(damping >= 0.0 && damping <= most, "gptq", "damping ", damping);
    const std::size_t K = h.channels();
    double mean = 0.0;
    for (std::size_t k = 0; k < K; ++k) {
      order_[k] = K - 1 - k;
      dead_[k] = h(k, k) == 0.0;
      dead_count_ += dead_[k];
      mean += h(k, k);
    }
    if (dead_count_ < K) mean /= static_cast<double>(K - dead_count_);
    if (act_order)
      std::stable_sort(order_.begin(), order_.end(),
                       [&](std::size_t a, std::size_t b) { return h(a, a) < h(b, b); });
    detail::cholesky u(K);
    for (;; damping_ = std::max(10.0 * damping_, 1e-6)) {
      QTK_CHECK(damping_ <= most, "gptq", "the Hessian is not positive definite with damping ",
                damping_ / 10.0);
      detail::for_ranges(K, executor, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
          const std::size_t k = order_[i];
          for (std::size_t j = i; j < K; ++j) u.row(i)[j] = h(k, order_[j]);
          u.row(i)[i] += dead_[k] ? 1.0 : damping_ * mean;
        }
      });
      if (u.factor(executor)) break;
    }
    keep(u, executor);
  }

  std::size_t channels() const noexcept { return order_.size(); }
  std::size_t dead_channels() const noexcept { return dead_count_; }
  bool dead(std::size_t k) const noexcept { return dead_[k] != 0; }
  /// What was needed in the end.
  double damping() const noexcept { return damping_; }

  /// Channels are rounded from the last position to the first, in blocks that start at a multiple
  /// of `block`.
  static constexpr std::size_t block = 128;
  /// The channel at a position.
  std::size_t channel(std::size_t position) const noexcept { return order_[position]; }
  /// V for the positions [b * block, ...) of a block: row i holds what position i takes of the
  /// errors at positions j > i, (block, block).
  const float* within(std::size_t b) const noexcept { return within_.data() + b * block * block; }
  /// What block b takes of the errors at all positions after it, M rows of them `lde` apart, into
  /// (M, block).
  void from_later(std::size_t b, std::size_t M, const float* errors, std::size_t lde,
                  float* sums) const {
    later_[b](M, errors, lde, sums, block, block);
  }

 private:
  static constexpr double most = 1e6;

  /// Divides the rows of U by their pivots: V transposed, row by row what a position reads.
  void keep(detail::cholesky& u, executor_ref executor) {
    const std::size_t K = channels(), blocks = ceil_div(K, block);
    within_.resize(blocks * block * block);
    later_.resize(blocks);
    executor(blocks, [&](std::size_t b) {
      const std::size_t begin = b * block, end = std::min(K, begin + block);
      tensor<fp32> rows({block, K - end});
      for (std::size_t i = begin; i < end; ++i) {
        const double* from = u.row(i);
        const double pivot = from[i];
        float* inner = within_.data() + (b * block + i - begin) * block;
        for (std::size_t j = i + 1; j < end; ++j)
          inner[j - begin] = static_cast<float>(from[j] / pivot);
        float* outer = rows.data() + (i - begin) * (K - end);
        for (std::size_t j = end; j < K; ++j) outer[j - end] = static_cast<float>(from[j] / pivot);
      }
      if (end < K) later_[b] = detail::f32_product(block, K - end, rows.data(), K - end);
    });
  }

  std::vector<std::size_t> order_;
  std::vector<std::uint8_t> dead_;
  std::size_t dead_count_ = 0;
  double damping_;
  std::vector<float> within_;
  std::vector<detail::f32_product> later_;
};

}  // namespace qtk::inline QTK_ABI
