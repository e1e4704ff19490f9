#pragma once

#include "qtk/core/error.hpp"
#include "qtk/quantize/observer.hpp"

namespace qtk::inline QTK_ABI {

/// The average of the batches' smallest and largest values, older ones forgotten exponentially:
///   first batch: lo = min(0, x), hi = max(0, x);   then  lo += weight * (min(0, x) - lo), hi alike
/// `weight` 0.01 is PyTorch's MovingAverageMinMaxObserver (averaging_constant), 1 - 0.999
/// TensorFlow's quant_ops.MovingAvgQuantize (ema_decay), which holds 0 in each batch's range too;
/// Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
/// Integer-Arithmetic-Only Inference", section 3.1.
///
/// A batch is all that is observed up to end_batch(), in whatever pieces; without any end_batch()
/// this is min_max. The range depends on the order of batches, but is never wider than min_max's.
/// NaN is ignored; an infinity stays in the range, which choose_params() refuses. The product of
/// two floats is exact in double: fused or not, the bits are the same.
class moving_average {
 public:
  /// qtk::error unless 0 < share <= 1, the newest batch's.
  explicit moving_average(float share = 0.01f) : weight_(share) {
    QTK_CHECK(share > 0.0f && share <= 1.0f, "moving_average", "weight ", share,
              " is not in (0, 1]");
  }

  void observe(std::span<const float> values) noexcept {
    batch_.observe(values);
    open_ |= !values.empty();
  }
  void end_batch() noexcept {
    average_ = range();
    batch_ = {};
    started_ |= open_;
    open_ = false;
  }
  [[nodiscard]] value_range range() const noexcept {
    if (!open_) return average_;
    const value_range b = batch_.range();
    return started_ ? value_range{mix(average_.lo, b.lo), mix(average_.hi, b.hi)} : b;
  }

 private:
  [[nodiscard]] float mix(float old, float now) const noexcept {
    const double kept = static_cast<double>(1.0f - weight_) * static_cast<double>(old);
    const double added = static_cast<double>(weight_) * static_cast<double>(now);
    return static_cast<float>(kept + added);
  }

  float weight_;
  value_range average_;
  min_max batch_;
  bool open_ = false;     // the batch holds values
  bool started_ = false;  // so does the average
};
static_assert(observer<moving_average>);

}  // namespace qtk::inline QTK_ABI
