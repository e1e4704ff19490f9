#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "qtk/graph/ops/window.hpp"
#include "qtk/graph/passes/quantize.hpp"
#include "qtk/graph/session.hpp"
#include "qtk/quantize/bias_correction.hpp"
#include "qtk/quantize/hessian.hpp"
#include "qtk/quantize/tensor_observer.hpp"

/// What the layers of a model meet while it runs over data.
namespace qtk::inline QTK_ABI {

/// The model, optimized, with these values as further outputs, in their order: a session then gives
/// what flows between layers. qtk::error where nobody makes a value.
[[nodiscard]] inline model with_outputs(model m, std::span<const std::string> values) {
  for (const std::string& v : values)
    m.outputs.push_back({.name = v, .type = dtype::fp32, .dims = {}, .untyped = true});
  sort_nodes(m);
  return m;
}

/// The values that a layer multiplies, as a matrix of its weights' columns: the rows of a linear
/// layer's input, the patches of a convolution's, those of all groups. At most `limit` rows, spread
/// over all: of equal parts, each gives one that `seed` chooses.
[[nodiscard]] inline tensor<fp32> layer_rows(const node& layer, const tensor<fp32>& x,
                                             std::size_t limit, std::uint64_t seed) {
  const auto for_sample = [&](std::size_t count, const auto& take) {
    const std::size_t rows = std::min(count, limit);
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t begin = count * i / rows, part = count * (i + 1) / rows - begin;
      std::uint64_t h = (seed << 32) + i;  // splitmix64
      h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
      h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
      take(i, begin + (h ^ (h >> 31)) % part);
    }
    return rows;
  };
  if (layer.op == "Linear") {
    const std::size_t K = x.shape().back(), M = x.shape().elements() / std::max<std::size_t>(1, K);
    tensor<fp32> out({std::min(M, limit), K});
    for_sample(M, [&](std::size_t to, std::size_t from) {
      std::copy_n(x.data() + from * K, K, out.data() + to * K);
    });
    return out;
  }
  const window_2d w = graph_ops::parse_window(layer, x.shape(), 0, 0);
  const auto groups = static_cast<std::size_t>(layer.integer("group", 1));
  const shape& s = x.shape();
  const std::size_t oh = w.out_height(s[2]), ow = w.out_width(s[3]), C = s[1] / groups;
  const std::size_t count = s[0] * groups * oh * ow, K = C * w.kernel_h * w.kernel_w;
  tensor<fp32> out({std::min(count, limit), K});
  for_sample(count, [&](std::size_t to, std::size_t from) {
    const std::size_t column = from % ow, row = from / ow % oh, first = from / (ow * oh) * C;
    float* y = out.data() + to * K;
    for (std::size_t c = 0; c < C; ++c)
      for (std::size_t i = 0; i < w.kernel_h; ++i)
        for (std::size_t j = 0; j < w.kernel_w; ++j) {
          // Unsigned: what lies before the image is huge, too.
          const std::size_t r = row * w.stride_h + i * w.dilation_h - w.pad_top;
          const std::size_t q = column * w.stride_w + j * w.dilation_w - w.pad_left;
          *y++ = r < s[2] && q < s[3] ? x.data()[((first + c) * s[2] + r) * s[3] + q] : 0.0f;
        }
  });
  return out;
}

struct calibration_options {
  any_observer activations = any_observer();  // of each layer's input
  bool hessians = false;                      // for GPTQ, AWQ, SmoothQuant, clipping by importance
  std::size_t rows = 1024;                    // of a batch, that a hessian sees of a layer at most
  layer_filter take = {};
  executor_ref executor = {};
};

/// Statistics of one layer's inputs.
struct layer_statistics {
  tensor_observer<any_observer> input;  // its range
  channel_mean mean;                    // E[x] of each channel
  std::optional<hessian> rows;          // over layer_rows()
};

/// Runs a model over data and keeps, of each layer's inputs, what quantization asks for: memory
/// depends on the model and on the size of a batch, not on how many batches there are.
///   calibrator seen(model, {.activations = any_observer(calibration::entropy, codes_of<uint8>,
///                                                       symmetry::asymmetric)});
///   for (const any_tensor& batch : data) seen.observe({&batch, 1});
///   const model small = quantize_static<int8>(model, seen);
/// Layers are known by what they make: the name of output 0 in the optimized model, which is the
/// same each time a model is optimized. The batch is cut as it comes: moving averages, and the last
/// bits of sums, depend on that.
class calibrator {
 public:
  explicit calibrator(model m, calibration_options o = {})
      : options_(std::move(o)), model_(optimize(std::move(m))) {
    std::vector<std::string> values;
    for (const node& n : model_.nodes) {
      if (!passes::is_layer(n) || (options_.take && !options_.take(n))) continue;
      const any_tensor* w = model_.find_weight(n.inputs[1]);
      std::optional<hessian> rows;
      if (options_.hessians && w != nullptr) rows.emplace(w->shape()[1]);
      layers_.emplace(n.outputs[0],
                      layer_statistics{tensor_observer(per_tensor(), options_.activations, n.name),
                                       channel_mean(n.op == "Conv" ? 1 : -1), std::move(rows)});
      taps_.push_back(&n);
      values.push_back(n.inputs[0]);
    }
    first_tap_ = model_.outputs.size();
    session_.emplace(with_outputs(model_, values),
                     session_options{.executor = options_.executor, .optimize = false},
                     session::unbound{});
  }
  calibrator(const calibrator&) = delete;
  calibrator& operator=(const calibrator&) = delete;

  /// One batch: the model's inputs. qtk::error as session::run(), and where a layer meets NaN or an
  /// infinity.
  void observe(std::span<const any_tensor> inputs) {
    const std::vector<any_tensor> values = session_->run(inputs);
    for (const any_tensor& t : inputs) add_to_hash(t);
    if (!inputs.empty() && inputs[0].shape().rank() > 0) samples_ += inputs[0].shape()[0];
    for (std::size_t i = 0; i < taps_.size(); ++i) {
      const node& n = *taps_[i];
      in_node(n, [&] {
        const tensor<fp32>& x = values[first_tap_ + i].as<fp32>();
        layer_statistics& of = layers_.at(n.outputs[0]);
        of.input.observe(x);
        of.mean.observe(x);
        if (of.rows) of.rows->add(layer_rows(n, x, options_.rows, batches_), options_.executor);
      });
    }
    ++batches_;
  }

  /// Of a layer of the optimized model; qtk::error where it was not watched or saw no data.
  [[nodiscard]] const layer_statistics& of(const node& layer) const {
    const auto it = layers_.find(layer.outputs.at(0));
    QTK_CHECK(it != layers_.end() && !it->second.input.observers().empty(), layer.label(),
              "was not calibrated");
    return it->second;
  }
  /// The range of its input.
  [[nodiscard]] value_range range(const node& layer) const {
    return of(layer).input.observers()[0].range();
  }

  [[nodiscard]] calibration how() const noexcept { return options_.activations.what(); }
  /// First dimensions of the first inputs, added up.
  [[nodiscard]] std::size_t samples() const noexcept { return samples_; }
  /// FNV-1a (64 bits) over the bytes of all inputs in order.
  [[nodiscard]] std::uint64_t data_hash() const noexcept { return hash_; }

 private:
  void add_to_hash(const any_tensor& t) noexcept {
    for (std::size_t i = 0; i < t.size_bytes(); ++i)
      hash_ = (hash_ ^ std::to_integer<std::uint64_t>(t.data()[i])) * 0x100000001b3u;
  }

  calibration_options options_;
  model model_;
  std::optional<session> session_;
  std::vector<const node*> taps_;  // nodes of model_
  std::size_t first_tap_ = 0, samples_ = 0, batches_ = 0;
  std::uint64_t hash_ = 0xcbf29ce484222325u;
  std::map<std::string, layer_statistics, std::less<>> layers_;
};

}  // namespace qtk::inline QTK_ABI
