#pragma once

#include <concepts>
#include <cstddef>
#include <span>

#include "qtk/quantize/scheme.hpp"

namespace qtk::inline QTK_ABI {

/// Sees the values of one block, piece by piece, and says which range the codes should span. Values
/// outside of it will saturate. Copied from a prototype for each block, so options are members:
/// `choose_quantization<int8>(w, per_channel(0), symmetry::symmetric, {}, my_observer{0.999})`.
/// `range()` is only asked after the last `observe`; a block without values has the range [0, 0].
///
/// Optional: `end_batch()`, for those that weigh batches (moving_average), is called when all of a
/// batch has been observed; `merge(other)` makes of two that saw parts of the data the one that saw
/// all.
template <class O>
concept observer = std::copy_constructible<O> &&
    requires(O o, const O& done, std::span<const float> values) {
  o.observe(values);
  { done.range() } -> std::same_as<value_range>;
};

/// The smallest and the largest value, 0 included: nothing saturates. NaN is ignored.
class min_max {
 public:
  void observe(std::span<const float> values) noexcept {
    // Independent lanes hide the latency of min and max; short runs are not worth them.
    constexpr std::size_t lanes = 8;
    const std::size_t body = values.size() - values.size() % lanes;
    if (body != 0) {
      float lo[lanes] = {}, hi[lanes] = {};
      for (std::size_t i = 0; i < body; i += lanes)
        for (std::size_t j = 0; j < lanes; ++j) widen(values[i + j], lo[j], hi[j]);
      for (std::size_t j = 0; j < lanes; ++j) {
        widen(lo[j], range_.lo, range_.hi);
        widen(hi[j], range_.lo, range_.hi);
      }
    }
    for (const float x : values.subspan(body)) widen(x, range_.lo, range_.hi);
  }
  void merge(const min_max& other) noexcept {
    widen(other.range_.lo, range_.lo, range_.hi);
    widen(other.range_.hi, range_.lo, range_.hi);
  }
  [[nodiscard]] value_range range() const noexcept { return range_; }

 private:
  static void widen(float x, float& lo, float& hi) noexcept {
    lo = x < lo ? x : lo;
    hi = x > hi ? x : hi;
  }
  value_range range_;
};
static_assert(observer<min_max>);

}  // namespace qtk::inline QTK_ABI
