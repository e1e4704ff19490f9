#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "qtk/graph/session.hpp"
#include "qtk/quantize/layer_error.hpp"

/// Where a quantized model goes wrong: the error of each layer's output.
namespace qtk::inline QTK_ABI {

/// Compares two forms of one model layer by layer while both run over data, in memory that depends
/// on the batch alone. Layers (qtk.Conv and qtk.Linear of the optimized graphs) belong together
/// where they make a value of one name, as the passes leave it.
///   layer_error_meter meter(model, quantize_dynamic<int8>(model));
///   for (const any_tensor& batch : data) meter.add({&batch, 1});
///   for (const layer_error& e : worst_first(meter.result())) ...
/// Three sessions run: the fp32 model and the quantized one, whose outputs also are what flows
/// between layers, and all quantized layers side by side, fed by the first.
class layer_error_meter {
 public:
  /// qtk::error where the models have no layer in common.
  layer_error_meter(const model& reference, const model& quantized, executor_ref executor = {}) {
    model real = optimize(reference), small = optimize(quantized);
    std::map<std::string, const node*> counterpart;
    for (const node& n : small.nodes)
      if (passes::is_layer(n)) counterpart.emplace(n.outputs[0], &n);
    model apart;  // the layers side by side
    apart.opsets = small.opsets;
    apart.weights = small.weights;
    std::size_t layers = 0;
    for (const node& n : real.nodes) {
      if (!passes::is_layer(n)) continue;
      ++layers;
      const auto it = counterpart.find(n.outputs[0]);
      if (it == counterpart.end()) continue;
      node alone = *it->second;
      const bool known = std::all_of(alone.inputs.begin(), alone.inputs.end(), [&](const auto& v) {
        return v.empty() || small.find_weight(v) != nullptr || makes(real, v);
      });
      if (!known) continue;  // reads what only the quantized model has
      for (std::string& v : alone.inputs)
        if (!v.empty() && small.find_weight(v) == nullptr) v = feed(apart, v);
      alone.outputs[0] += ":alone";
      apart.outputs.push_back(tap(alone.outputs[0]));
      apart.nodes.push_back(std::move(alone));
      layers_.push_back({.layer = n.name, .output = n.outputs[0], .accumulated = {}, .alone = {}});
    }
    QTK_CHECK(layers != 0, "model", "has no layers of weights (Conv, Gemm, MatMul)");
    QTK_CHECK(!layers_.empty(), "model",
              "no layer makes a value that one of the quantized model "
              "makes, too: not two forms of one model");
    real.outputs.clear();
    small.outputs.clear();
    for (const layer_state& l : layers_) {
      real.outputs.push_back(tap(l.output));
      small.outputs.push_back(tap(l.output));
    }
    for (const std::string& v : fed_) real.outputs.push_back(tap(v));
    const session_options options{.executor = executor, .optimize = false};
    real_.emplace(passes::remove_dead(std::move(real)), options, session::unbound{});
    small_.emplace(passes::remove_dead(std::move(small)), options, session::unbound{});
    apart_.emplace(passes::remove_dead(std::move(apart)), options, session::unbound{});
  }
  layer_error_meter(const layer_error_meter&) = delete;
  layer_error_meter& operator=(const layer_error_meter&) = delete;

  /// One batch: the model's inputs. qtk::error as session::run().
  void add(std::span<const any_tensor> inputs) {
    std::vector<any_tensor> real = real_->run(inputs);
    const std::vector<any_tensor> small = small_->run(inputs);
    const std::size_t n = layers_.size();
    const std::vector<any_tensor> apart = apart_->run(std::span(real).subspan(n));
    for (std::size_t i = 0; i < n; ++i) {
      const auto& x = real[i].as<fp32>();
      layers_[i].accumulated.add(x, small[i].as<fp32>());
      layers_[i].alone.add(x, apart[i].as<fp32>());
    }
  }

  /// In the order of the graph.
  [[nodiscard]] std::vector<layer_error> result() const {
    std::vector<layer_error> out;
    for (const layer_state& l : layers_)
      out.push_back({l.layer, l.output, l.accumulated.result(), l.alone.result()});
    return out;
  }

 private:
  struct layer_state {
    std::string layer, output;
    error_sums accumulated, alone;
  };

  static value_info tap(std::string name) {
    return {.name = std::move(name), .type = dtype::fp32, .dims = {}, .untyped = true};
  }
  static bool makes(const model& m, const std::string& value) {
    const auto is = [&](const value_info& v) { return v.name == value; };
    return std::any_of(m.inputs.begin(), m.inputs.end(), is) ||
           std::any_of(m.nodes.begin(), m.nodes.end(), [&](const node& n) {
             return std::find(n.outputs.begin(), n.outputs.end(), value) != n.outputs.end();
           });
  }
  /// The input of `apart` for this value of the fp32 model.
  std::string feed(model& apart, const std::string& value) {
    if (std::find(fed_.begin(), fed_.end(), value) == fed_.end()) {
      fed_.push_back(value);
      apart.inputs.push_back(tap(value));
    }
    return value;
  }

  std::vector<layer_state> layers_;
  std::vector<std::string> fed_;
  std::optional<session> real_, small_, apart_;
};

}  // namespace qtk::inline QTK_ABI
