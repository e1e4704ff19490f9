#pragma once

#include <limits>

#include "qtk/quantize/deterministic.hpp"
#include "qtk/quantize/histogram.hpp"

namespace qtk::inline QTK_ABI {

/// The range with the least expected squared error, clipping and rounding weighed against each
/// other over the histogram, values spread evenly within a bin:
///   error(range) = sum over bins of count / width * integral of (x - quantized(x))^2 dx
/// for the scale and zero point that choose_params(range, codes, how) gives. With u = x / scale and
/// n the nearest code (less the zero point) in reach, the integral from 0 to x is
///   scale^3 / 12 * (n + 4 (u - n)^3)
/// inside of the range as beyond it. PyTorch's HistogramObserver minimizes the same sum; the
/// trade-off is that of Banner et al. 2019 (ACIQ), without their assumption of a Gauss or Laplace
/// distribution.
///   symmetric   [-T, T], T at ends of bins, each a 32nd below the one before
///   asymmetric  the two ends in turn, each among the same candidates, until neither moves
/// and an end beyond the smallest or largest value is that value.
///
/// Only clips where the estimate promises a 32nd less error than min_max: values that lie on a grid
/// (pixels) are exact with the right scale, which no histogram shows. Depends on nothing but the
/// values, in whatever order and pieces, and on no CPU. NaN is ignored; an infinity stays in the
/// range, which choose_params() refuses.
class mse {
 public:
  explicit mse(code_range codes = codes_of<int8>, symmetry how = symmetry::symmetric,
               std::size_t bins = 2048)
      : codes_(codes), how_(how), values_(bins) {}

  void observe(std::span<const float> values) { values_.observe(values); }
  void merge(const mse& other) { values_.merge(other.values_); }

  [[nodiscard]] value_range range() const {
    if (!values_.has_shape()) return values_.range();
    const std::size_t below = values_.negative().size(), above = values_.positive().size();
    const double unclipped = error(values_.range());
    candidate best{below, above, unclipped};
    if (how_ == symmetry::symmetric) {
      best = narrow(best, [](candidate& c, std::size_t end) { c.below = c.above = end; });
    } else {
      for (double before = std::numeric_limits<double>::infinity(); best.error < before;) {
        before = best.error;
        best = narrow(best, [](candidate& c, std::size_t end) { c.below = end; });
        best = narrow(best, [](candidate& c, std::size_t end) { c.above = end; });
      }
    }
    return best.error <= unclipped - unclipped / 32.0 ? values_.cut(best.below, best.above)
                                                      : values_.range();
  }

  /// The expected squared error of one value under a range; 0 without values.
  [[nodiscard]] double error(value_range range) const {
    const block_scale b = choose_params(range, codes_, how_);
    const auto lowest = static_cast<double>(codes_.min - b.zero_point);
    const auto highest = static_cast<double>(codes_.max - b.zero_point);
    const double scale = static_cast<double>(b.scale), width = values_.width();
    const double step = width / scale;
    std::uint64_t total = values_.zeros();
    const auto side = [&](std::span<const std::uint64_t> counts, double sign) {
      double sum = 0.0, before = 0.0;
      for (std::size_t i = 0; i < counts.size(); ++i) {
        const double u = detail::rounded(sign * static_cast<double>(i + 1) * step);
        const double here = integral(u, lowest, highest);
        sum += detail::rounded(static_cast<double>(counts[i]) * (here - before));
        before = here;
        total += counts[i];
      }
      return sign * sum;
    };
    const double sum = side(values_.negative(), -1.0) + side(values_.positive(), 1.0);
    // scale^3 / width = scale^2 / step
    return sum == 0.0 ? 0.0 : sum / (12.0 * static_cast<double>(total)) * scale * scale / step;
  }

 private:
  struct candidate {
    std::size_t below, above;
    double error;
  };

  template <class Set>
  [[nodiscard]] candidate narrow(candidate best, const Set& set) const {
    candidate c = best;
    for (std::size_t end = std::max(values_.negative().size(), values_.positive().size()); end > 0;
         end -= ceil_div(end, 32)) {
      set(c, end);
      c.error = error(values_.cut(c.below, c.above));
      if (c.error < best.error) best = c;
    }
    return best;
  }

  /// 12 times the integral of the squared error from 0 to u, in steps.
  [[nodiscard]] static double integral(double u, double lowest, double highest) noexcept {
    constexpr double magic = 0x1.8p52;  // as in round_half_even
    double n = u > lowest ? u : lowest;
    n = n < highest ? n : highest;
    n = (n + magic) - magic;
    const double d = u - n;
    return n + detail::rounded(4.0 * d * d * d);
  }

  code_range codes_;
  symmetry how_;
  value_histogram values_;
};
static_assert(observer<mse>);

}  // namespace qtk::inline QTK_ABI
