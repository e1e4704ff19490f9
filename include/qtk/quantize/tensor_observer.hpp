#pragma once

#include <string>
#include <vector>

#include "qtk/quantize/calibration.hpp"
#include "qtk/quantize/quantize.hpp"

namespace qtk::inline QTK_ABI {

/// Sees a tensor's values over many batches and gives its static parameters: one observer for the
/// tensor, or one for each channel, whatever the other dimensions are from batch to batch.
///
///   tensor_observer seen(per_tensor(), any_observer(calibration::entropy, codes_of<uint8>,
///                                                   symmetry::asymmetric), "conv1");
///   for (const tensor<fp32>& batch : batches) seen.observe(batch);    // (n, C, H, W), any n
///   const block_scale input = seen.params<uint8>(symmetry::asymmetric)[0];
///   const tensor<uint8> codes = quantize<uint8>(x, seen.choose<uint8>(x.shape()));
///
/// A value: copies are independent, and merge() joins what parts of the data gave.
template <observer Observer = any_observer>
class tensor_observer {
 public:
  /// `name` goes into errors: the tensor's. qtk::error for granularities that have a block a row:
  /// their number follows the batch.
  explicit tensor_observer(const granularity& g, Observer prototype = Observer(),
                           std::string name = "calibrate")
      : granularity_(g), prototype_(std::move(prototype)), name_(std::move(name)) {
    QTK_CHECK(g.what != granularity::kind::group, name_,
              "static parameters are per tensor or per channel");
  }

  /// One batch. qtk::error where the number of channels changed, or naming row and column of a NaN
  /// or an infinity, when the rows before it have been seen.
  void observe(tensor_view<const fp32> x) {
    const block_grid blocks(x.shape(), granularity_.block(x.shape()));
    grow(blocks.size());
    detail::observe_rows(x, blocks, 0, x.rows(), std::span(observers_), name_);
    if constexpr (requires(Observer o) { o.end_batch(); })
      for (Observer& o : observers_) o.end_batch();
  }

  /// As if this had seen the other's batches too.
  void merge(const tensor_observer& other) {
    if (other.observers_.empty()) return;
    grow(other.observers_.size());
    for (std::size_t i = 0; i < observers_.size(); ++i) observers_[i].merge(other.observers_[i]);
  }

  /// One a channel, or one; none before the first batch.
  [[nodiscard]] std::span<const Observer> observers() const noexcept { return observers_; }

  /// Scale and zero point of each channel, or of the tensor: choose_params() of each range.
  template <quantized_format F>
  [[nodiscard]] std::vector<block_scale> params(symmetry how = default_symmetry<F>) const {
    std::vector<block_scale> all;
    for (const Observer& o : observers_) all.push_back(choose_params(o.range(), codes_of<F>, how));
    return all;
  }

  /// The same for a tensor of shape s. qtk::error where its channels are not those observed.
  template <quantized_format F>
  [[nodiscard]] quantization choose(const shape& s, symmetry how = default_symmetry<F>) const {
    const shape block = granularity_.block(s);
    const std::size_t blocks = block_grid(s, block).size();
    QTK_CHECK(blocks == observers_.size(), name_, blocks, " channels in ", s, ", ",
              observers_.size(), " observed");
    return detail::quantization_of<Observer>(observers_, block, codes_of<F>, how);
  }

 private:
  void grow(std::size_t blocks) {
    if (observers_.empty()) observers_.assign(blocks, prototype_);
    QTK_CHECK(blocks == observers_.size(), name_, blocks, " channels after ", observers_.size());
  }

  granularity granularity_;
  Observer prototype_;
  std::string name_;
  std::vector<Observer> observers_;
};

}  // namespace qtk::inline QTK_ABI
