#pragma once

#include <cmath>

#include "qtk/quantize/histogram.hpp"

namespace qtk::inline QTK_ABI {

/// Which values a percentile leaves out.
///   both       the (1 - fraction) / 2 lowest and as many of the highest (ONNX Runtime's
///   calibrator) magnitude  the 1 - fraction largest |x| (TensorRT's pytorch-quantization)
enum class tails : std::uint8_t { both, magnitude };

/// The range that holds at least `fraction` of the values (zeros count): the smallest one that ends
/// at bins of the histogram. Each end lies less than one bin above the true quantile, that is, less
/// than max |x| / (bins / 2). An end that cuts nothing off is the exact smallest or largest value;
/// fraction 1 is min_max.
///
/// Depends on nothing but the values, in whatever order and pieces. NaN is ignored; an infinity
/// stays in the range, which choose_params() refuses.
class percentile {
 public:
  /// qtk::error unless 0 < fraction <= 1.
  explicit percentile(double fraction = 0.9999, tails which = tails::both, std::size_t bins = 2048)
      : fraction_(fraction), which_(which), values_(bins) {
    QTK_CHECK(fraction > 0.0 && fraction <= 1.0, "percentile", "fraction ", fraction,
              " is not in (0, 1]");
  }

  void observe(std::span<const float> values) { values_.observe(values); }
  void merge(const percentile& other) { values_.merge(other.values_); }

  [[nodiscard]] value_range range() const {
    if (!values_.has_shape()) return values_.range();
    const std::vector<std::uint64_t> magnitudes = values_.magnitudes();
    std::uint64_t total = values_.zeros();
    for (const std::uint64_t count : magnitudes) total += count;
    if (which_ == tails::magnitude) {
      const std::size_t end = end_of(magnitudes, beyond(total, fraction_));
      return values_.cut(end, end);
    }
    const std::uint64_t out = beyond(total, (1.0 + fraction_) / 2.0);
    return values_.cut(end_of(values_.negative(), out), end_of(values_.positive(), out));
  }

 private:
  /// How many of `total` may lie outside. From p * n, which is whole where it should be (0.9999 *
  /// 10000 = 9999), unlike (1 - p) * n.
  [[nodiscard]] static std::uint64_t beyond(std::uint64_t total, double p) noexcept {
    const auto kept = static_cast<std::uint64_t>(std::ceil(p * static_cast<double>(total)));
    return total - std::min(kept, total);
  }
  /// The end of the last bin that has to stay.
  [[nodiscard]] static std::size_t end_of(std::span<const std::uint64_t> side,
                                          std::uint64_t out) noexcept {
    std::size_t end = side.size();
    while (end > 0 && side[end - 1] <= out) out -= side[--end];
    return end;
  }

  double fraction_;
  tails which_;
  value_histogram values_;
};
static_assert(observer<percentile>);

}  // namespace qtk::inline QTK_ABI
