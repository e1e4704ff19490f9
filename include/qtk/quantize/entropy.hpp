#pragma once

#include <limits>

#include "qtk/quantize/deterministic.hpp"
#include "qtk/quantize/histogram.hpp"

namespace qtk::inline QTK_ABI {

/// The threshold T under which codes keep most of the distribution's information: Migacz, "8-bit
/// Inference with TensorRT", GTC 2017. For each T at the end of a bin, of the bins within T
///   P = their counts, what lies beyond T added to the last one
///   Q = their counts brought to as many levels as there are codes, each level's mass spread evenly
///       over those of its bins that are not empty
/// and T is the one with the least KL(P || Q) = sum p log(p / q), p and q being P and Q over their
/// sums; of equals the largest.
///   symmetric   bins of |x|, max - middle + 1 levels (128 of int8); range [-T, T]
///   asymmetric  bins of both signs, max - min + 1 levels over what occurs within [-T, T] (ONNX
///               Runtime's calibrator; one-sided values have all levels on their side)
/// and an end beyond the smallest or largest value is that value.
///
/// Empty bins count as 1e-4 values in P and Q both (MXNet's smoothing; there the amount comes off
/// the other bins by subtraction, which can make them negative, here by the division by the sum).
/// That matters where T ends in an empty bin: without it KL would be infinite. Zeros are left out:
/// any scale keeps them exactly, and behind a ReLU they would outweigh all else.
///
/// T is at least one bin a level: max |x| / 16 or less for int8. Outliers further out than 16 times
/// the rest need more bins. Depends on nothing but the values, in whatever order and pieces, and on
/// no CPU. NaN is ignored; an infinity stays in the range, which choose_params() refuses.
class entropy {
 public:
  explicit entropy(code_range codes = codes_of<int8>, symmetry how = symmetry::symmetric,
                   std::size_t bins = 4096)
      : codes_(codes), how_(how), values_(bins) {}

  void observe(std::span<const float> values) { values_.observe(values); }
  void merge(const entropy& other) { values_.merge(other.values_); }

  [[nodiscard]] value_range range() const {
    if (!values_.has_shape()) return values_.range();
    const bool symmetric = how_ == symmetry::symmetric;
    const auto levels =
        static_cast<std::size_t>(codes_.max - (symmetric ? codes_.middle() : codes_.min) + 1);
    const prefix_sums sums(symmetric ? values_.magnitudes() : both_signs());
    const std::size_t below = symmetric ? 0 : values_.negative().size();
    const std::size_t above = sums.counts.size() - below;
    std::size_t best = std::max(below, above);
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t t = best; t > 0; --t) {
      const std::size_t first = below - std::min(t, below), last = below + std::min(t, above);
      if (last - first < levels) break;
      const double d = divergence(sums, first, last, levels);
      if (d < least) {
        least = d;
        best = t;
      }
    }
    return values_.cut(best, best);
  }

 private:
  [[nodiscard]] std::vector<std::uint64_t> both_signs() const {
    const auto n = values_.negative(), p = values_.positive();
    std::vector<std::uint64_t> counts(n.rbegin(), n.rend());
    counts.insert(counts.end(), p.begin(), p.end());
    return counts;
  }

  /// c log c, 0 for 0.
  [[nodiscard]] static double weighted_log(std::uint64_t count) noexcept {
    const auto c = static_cast<double>(count);
    return count == 0 ? 0.0 : detail::rounded(c * detail::portable_log(c));
  }

  /// Sums over the bins before i: a threshold costs one logarithm a level, not one a bin.
  struct prefix_sums {
    std::vector<std::uint64_t> counts, mass{0}, filled{0};
    std::vector<double> logs{0.0};

    explicit prefix_sums(std::vector<std::uint64_t> from) : counts(std::move(from)) {
      for (const std::uint64_t c : counts) {
        mass.push_back(mass.back() + c);
        filled.push_back(filled.back() + (c != 0));
        logs.push_back(logs.back() + weighted_log(c));
      }
    }
  };

  /// KL(P || Q) of the bins [first, last). Empty bins add P log(P / Q) = 0, and to the sums.
  [[nodiscard]] static double divergence(const prefix_sums& s, std::size_t first, std::size_t last,
                                         std::size_t levels) noexcept {
    constexpr double smoothing = 1e-4;
    const std::size_t bins = last - first;
    const std::uint64_t inside = s.mass[last] - s.mass[first];
    if (inside == 0) return std::numeric_limits<double>::infinity();
    double p_log_p = s.logs[last] - s.logs[first], p_log_q = 0.0;
    std::size_t empty_p = bins - (s.filled[last] - s.filled[first]);
    const std::size_t empty_q = empty_p;

    // What is clipped sits in the bins at the ends.
    std::uint64_t clipped[2] = {s.mass[first], s.mass.back() - s.mass[last]};
    const std::uint64_t at_end[2] = {s.counts[first], s.counts[last - 1]};
    for (int end = 0; end < 2; ++end) {
      if (clipped[end] == 0) continue;
      p_log_p += weighted_log(at_end[end] + clipped[end]) - weighted_log(at_end[end]);
      if (at_end[end] != 0) continue;
      --empty_p;
      p_log_q += detail::rounded(static_cast<double>(clipped[end]) * log_smoothing());
      clipped[end] = 0;  // belongs to no level
    }

    for (std::size_t level = 0, begin = first; level < levels; ++level) {
      const std::size_t end = first + ceil_div((level + 1) * bins, levels);
      const std::uint64_t mass = s.mass[end] - s.mass[begin];
      if (mass != 0) {
        const std::uint64_t outside =
            (level == 0 ? clipped[0] : 0) + (level + 1 == levels ? clipped[1] : 0);
        const double q =
            static_cast<double>(mass) / static_cast<double>(s.filled[end] - s.filled[begin]);
        p_log_q += detail::rounded(static_cast<double>(mass + outside) * detail::portable_log(q));
      }
      begin = end;
    }
    const double sum_p = static_cast<double>(s.mass.back()) +
                         detail::rounded(smoothing * static_cast<double>(empty_p));
    const double sum_q =
        static_cast<double>(inside) + detail::rounded(smoothing * static_cast<double>(empty_q));
    return (p_log_p - p_log_q) / sum_p + detail::portable_log(sum_q / sum_p);
  }
  [[nodiscard]] static double log_smoothing() noexcept { return detail::portable_log(1e-4); }

  code_range codes_;
  symmetry how_;
  value_histogram values_;
};
static_assert(observer<entropy>);

}  // namespace qtk::inline QTK_ABI
