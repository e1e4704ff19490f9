#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "qtk/core/error.hpp"
#include "qtk/quantize/observer.hpp"

namespace qtk::inline QTK_ABI {

/// How often which magnitude occurs, negative and positive values apart:
///   side[i] = number of x of that sign with  i * width <= |x| < (i + 1) * width,  0 <= i < bins
/// The width is the power of two that puts the largest magnitude into the upper half of the bins,
/// at bins / 2 or above. When a larger one comes it doubles, as often as needed, and neighbours are
/// merged by pairs. A bin is found from the bits of x, so merging moves no value into a bin that it
/// would not have had from the start: the histogram depends on nothing but the values, neither on
/// their order nor on how they were cut into pieces, nor on the CPU.
///
/// Zeros have a counter of their own: every quantizer keeps them exactly. NaN is ignored; an
/// infinity shows in range() alone. Memory: 8 * bins bytes, twice that with negative values.
class value_histogram {
 public:
  /// `bins` a power of two, 256 to 2^20.
  explicit value_histogram(std::size_t bins = 2048) : bins_(bins) {
    QTK_CHECK(std::has_single_bit(bins) && bins >= 256 && bins <= std::size_t{1} << 20, "histogram",
              bins, " bins: not a power of two from 256 to 2^20");
  }

  void observe(std::span<const float> values) {
    seen_.observe(values);
    const value_range r = range();
    if (values.empty() || !std::isfinite(r.lo) || !std::isfinite(r.hi)) return;
    grow(std::bit_cast<std::uint32_t>(std::max(r.hi, std::fabs(r.lo))) >> 23);
    if (positive_.empty()) positive_.resize(bins_ + 1);
    if (negative_.empty() && r.lo < 0.0f) negative_.resize(bins_ + 1);
    // No branch on the sign or on zero, which no CPU predicts: 1.9 instead of 4.2 ns a value.
    std::uint64_t* const sides[2] = {positive_.data(), negative_.data()};
    const std::uint32_t most = 24 - static_cast<std::uint32_t>(std::countr_zero(bins_)) + top_;
    for (const float x : values) {
      const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(x) & 0x7fffffffu;
      if (magnitude > 0x7f800000u) [[unlikely]]
        continue;
      // |x| = mantissa * 2^(exponent - 150), subnormals with the exponent 1.
      const std::uint32_t exponent = std::max(magnitude >> 23, 1u);
      const std::uint32_t mantissa = magnitude - ((exponent - 1) << 23);
      const std::uint32_t bin = mantissa >> std::min(most - exponent, 31u);
      ++sides[x < 0.0f][bin + (magnitude != 0)];
    }
  }

  /// As if this had seen the other's values too. qtk::error for another number of bins.
  void merge(const value_histogram& other) {
    QTK_CHECK(bins_ == other.bins_, "histogram", bins_, " bins merged with ", other.bins_);
    grow(other.top_);
    const auto add = [&](std::vector<std::uint64_t>& to, const std::vector<std::uint64_t>& from) {
      if (to.empty()) to.resize(from.size());
      for (std::size_t i = 0; i < from.size(); ++i) to[halved(i, top_ - other.top_)] += from[i];
    };
    add(negative_, other.negative_);
    add(positive_, other.positive_);
    seen_.merge(other.seen_);
  }

  /// The smallest and the largest value, 0 included; exact.
  [[nodiscard]] value_range range() const noexcept { return seen_.range(); }
  /// No infinity was seen, and not only zeros: there is a range to choose.
  [[nodiscard]] bool has_shape() const noexcept {
    const value_range r = range();
    return r.lo < r.hi && std::isfinite(r.lo) && std::isfinite(r.hi);
  }
  [[nodiscard]] double width() const noexcept {
    return std::ldexp(1.0, static_cast<int>(top_) - 126 - std::countr_zero(bins_));
  }
  /// Bins by magnitude, up to the last one that is not empty.
  [[nodiscard]] std::span<const std::uint64_t> negative() const noexcept { return used(negative_); }
  [[nodiscard]] std::span<const std::uint64_t> positive() const noexcept { return used(positive_); }
  [[nodiscard]] std::uint64_t zeros() const noexcept {
    return positive_.empty() ? 0 : positive_[0];
  }
  /// Of both signs: |x|.
  [[nodiscard]] std::vector<std::uint64_t> magnitudes() const {
    const auto n = negative(), p = positive();
    std::vector<std::uint64_t> sum(std::max(n.size(), p.size()));
    for (std::size_t i = 0; i < sum.size(); ++i)
      sum[i] = (i < n.size() ? n[i] : 0) + (i < p.size() ? p[i] : 0);
    return sum;
  }
  /// The range cut at -below * width and above * width; where nothing is cut off, the exact end.
  [[nodiscard]] value_range cut(std::size_t below, std::size_t above) const noexcept {
    const double w = width();  // the products are exact
    return {static_cast<float>(std::max(double{range().lo}, -static_cast<double>(below) * w)),
            static_cast<float>(std::min(double{range().hi}, static_cast<double>(above) * w))};
  }

 private:
  [[nodiscard]] static std::span<const std::uint64_t> used(
      const std::vector<std::uint64_t>& side) noexcept {
    std::size_t n = side.size();
    while (n > 1 && side[n - 1] == 0) --n;
    return std::span(side).subspan(n == 0 ? 0 : 1, n == 0 ? 0 : n - 1);
  }

  /// The slot of a bin when the width has doubled that often.
  [[nodiscard]] static std::size_t halved(std::size_t slot, std::uint32_t times) noexcept {
    return slot == 0 ? 0 : ((slot - 1) >> std::min(times, 31u)) + 1;
  }

  void grow(std::uint32_t exponent) {
    if (exponent <= top_) return;
    for (auto* side : {&negative_, &positive_})
      for (std::size_t i = 0; i < side->size(); ++i) {
        const std::uint64_t count = std::exchange((*side)[i], 0);
        (*side)[halved(i, exponent - top_)] += count;
      }
    top_ = exponent;
  }

  std::size_t bins_;
  std::uint32_t top_ = 1;  // biased exponent of the largest magnitude
  // Slot 0, zeros; slot i + 1, bin i.
  std::vector<std::uint64_t> negative_, positive_;
  min_max seen_;
};

}  // namespace qtk::inline QTK_ABI
