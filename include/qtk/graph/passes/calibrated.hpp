#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "qtk/graph/passes/requantize.hpp"
#include "qtk/graph/passes/rescale.hpp"
#include "qtk/quantize/clip.hpp"
#include "qtk/quantize/gptq.hpp"
#include "qtk/quantize/hqq.hpp"

/// Quantization by what a calibrator saw: activations of fixed scales, weights rounded to what
/// matters to the layer's output.
namespace qtk::inline QTK_ABI {

namespace passes {

/// How the model was made, in the file's metadata: of data their number and hash. No time and no
/// place, so that the same command writes the same bytes.
inline void describe(model& m, std::string_view algorithm, const calibrator* seen) {
  m.metadata.insert_or_assign("qtk.algorithm", std::string(algorithm));
  m.metadata.insert_or_assign(
      "qtk.version", cat(QTK_VERSION_MAJOR, ".", QTK_VERSION_MINOR, ".", QTK_VERSION_PATCH));
  if (seen == nullptr) return;
  m.metadata.insert_or_assign("qtk.calibration.samples", cat(seen->samples()));
  std::string hash = "fnv1a64:";
  for (int shift = 60; shift >= 0; shift -= 4)
    hash += "0123456789abcdef"[seen->data_hash() >> shift & 15];
  m.metadata.insert_or_assign("qtk.calibration.data", hash);
}

/// Takes back what quantized weights add to the mean of each output (expected_shift()). `before`:
/// the same model with fp32 weights.
inline model correct_biases(model m, const model& before, const calibrator& seen) {
  std::map<std::string_view, const node*> originals;
  for (const node& n : before.nodes)
    if (is_layer(n)) originals.emplace(n.outputs[0], &n);
  value_names names(m);
  for (node& n : m.nodes) {
    if (!is_layer(n)) continue;
    const auto original = originals.find(n.outputs[0]);
    if (original == originals.end() || has_scales(*before.find_weight(original->second->inputs[1])))
      continue;
    const any_tensor* codes = m.find_weight(n.inputs[1]);
    const tensor<fp32>* w = floats(before, *original->second, 1);
    const tensor<fp32>* bias = floats(m, n, 2);
    if (w == nullptr || !has_scales(*codes) || (n.has_input(2) && bias == nullptr)) continue;
    in_node(n, [&] {
      tensor<fp32> real = dequantize(*codes), old = *w;
      const shape filters = filter_shape(n, w->shape());
      real.reshape(filters);
      old.reshape(filters);
      const tensor<fp32> mean = seen.of(n).mean.mean();
      const tensor<fp32> shift = expected_shift(old, real, mean.span(), layer_groups(n));
      const std::string name = names.fresh(n.outputs[0] + ":bias");
      m.set_weight(name, correct_bias(bias == nullptr ? std::span<const float>() : bias->span(),
                                      shift.span()));
      set_input(n, 2, name);
    });
  }
  return remove_dead(std::move(m));
}

/// A residual that also is the input of layers of fixed scales, or made of one by moving elements,
/// is quantized as they do it.
inline model quantize_residuals(model m) {
  const value_uses uses(m);
  std::map<std::string_view, block_scale> inputs;
  for (const node& n : m.nodes)
    if (const auto x = is_layer(n) ? fixed_codes(n, "x") : std::nullopt)
      inputs.emplace(n.inputs[0], *x);
  for (node& n : m.nodes) {
    if (!is_layer(n) || !n.has_input(3) || !n.attributes.contains("x_scale")) continue;
    const std::string* value = &n.inputs[3];
    for (auto found = inputs.find(*value);; found = inputs.find(*value)) {
      if (found != inputs.end()) set_codes(n, "r", found->second);
      const auto maker = uses.maker(*value);
      if (found != inputs.end() || !maker || !moves_elements(m.nodes[*maker])) break;
      value = &m.nodes[*maker].inputs[0];
    }
  }
  return m;
}

}  // namespace passes

struct static_options {
  symmetry activations = symmetry::asymmetric;
  granularity weights = per_channel(0);
  bool bias_correction = true;
  /// Residuals, too, where another layer quantizes the same value: it can then stay codes between
  /// layers.
  bool residuals = true;
  layer_filter take = {};
};

/// Weights int8 and activations uint8 by the ranges that `seen` observed, products in integers: the
/// input of each layer is quantized by one scale and zero point, fixed in the file. Written to ONNX
/// as QuantizeLinear and DequantizeLinear (QDQ). The model is optimized first; it must be the one
/// that `seen` ran. qtk::error names a layer that was not calibrated.
template <quantized_format F>
requires std::same_as<F, int8>
[[nodiscard]] model quantize_static(model m, const calibrator& seen, const static_options& o = {}) {
  const model before = optimize(std::move(m));
  m = passes::rewrite_weights(
      before, o.take, [&](const tensor<fp32>& w, const node&) { return quantize<F>(w, o.weights); },
      [&](node& n) {
        n.attributes.insert_or_assign("compute", std::string("int8"));
        passes::set_codes(n, "x", choose_params(seen.range(n), codes_of<uint8>, o.activations));
      });
  if (o.residuals) m = passes::quantize_residuals(std::move(m));
  if (o.bias_correction) m = passes::correct_biases(std::move(m), before, seen);
  passes::describe(m, "rtn", &seen);
  m.metadata.insert_or_assign("qtk.calibration", std::string(name(seen.how())));
  return m;
}

/// How weights are rounded.
///   rtn          to the nearest code of min-max scales
///   clip         scales of the least squared error, weighed by the inputs where there are data
///   hqq          scales and zero points that outliers do not move; no data
///   gptq         errors made up for by the weights that come after
///   awq          weights scaled by the size of their inputs first
///   smoothquant  likewise by the largest of both, then nearest
enum class weight_algorithm : std::uint8_t { rtn, clip, hqq, gptq, awq, smoothquant };

inline constexpr weight_algorithm weight_algorithms[] = {
    weight_algorithm::rtn,  weight_algorithm::clip, weight_algorithm::hqq,
    weight_algorithm::gptq, weight_algorithm::awq,  weight_algorithm::smoothquant};

[[nodiscard]] constexpr std::string_view name(weight_algorithm a) noexcept {
  constexpr std::string_view names[] = {"rtn", "clip", "hqq", "gptq", "awq", "smoothquant"};
  return names[static_cast<std::size_t>(a)];
}
[[nodiscard]] inline std::string_view to_string(weight_algorithm a) noexcept { return name(a); }

/// qtk::error listing the names, for another text.
[[nodiscard]] inline weight_algorithm parse_weight_algorithm(std::string_view text) {
  std::string known;
  for (const weight_algorithm a : weight_algorithms) {
    if (text == name(a)) return a;
    known += cat(known.empty() ? "" : ", ", a);
  }
  fail(cat("unknown: ", text, "; known: ", known), "algorithm");
}
/// Whether it cannot do without a calibrator with hessians.
[[nodiscard]] constexpr bool needs_data(weight_algorithm a) noexcept {
  return a == weight_algorithm::gptq || a == weight_algorithm::awq ||
         a == weight_algorithm::smoothquant;
}

template <quantized_format F>
struct weight_options {
  weight_algorithm algorithm = weight_algorithm::rtn;
  granularity weights = default_granularity<F>();
  int bits = F::bits;  // fewer: of the codes of F, those of so many bits
  /// Unless given: symmetric; asymmetric for HQQ, which moves zero points, and for 2 bits, of which
  /// symmetric scales use three codes.
  std::optional<symmetry> how = std::nullopt;
  bool act_order = true;        // of GPTQ
  bool clip = false;            // GPTQ and AWQ: on scales that clip
  bool bias_correction = true;  // where there are data
  bool integer = false;         // products in integers, activations quantized at run time
  layer_filter take = {};
};

/// Weights stored as F, chosen by an algorithm; products in fp32, or in integers with `integer`.
/// The model is optimized first; it must be the one that `seen` ran, with hessians. qtk::error
/// where an algorithm has no data.
/// Weights that fp32 sums or pow() decide (gptq, awq, smoothquant, hqq) may differ between CPUs
/// where a code is nearly a tie; rtn and clip give the same bytes everywhere.
template <quantized_format F>
[[nodiscard]] model quantize_weights(model m, const weight_options<F>& o,
                                     const calibrator* seen = nullptr) {
  using enum weight_algorithm;
  QTK_CHECK(!needs_data(o.algorithm) || seen != nullptr, "quantize_weights", o.algorithm,
            " needs data");
  const code_range codes = codes_of_bits<F>(o.bits);
  const bool zeros = o.algorithm == hqq || o.bits == 2 || F::code_min == 0;
  const symmetry how = o.how.value_or(zeros ? symmetry::asymmetric : symmetry::symmetric);
  const auto rows_of = [&](const node& n) -> const hessian* {
    if (seen == nullptr) return nullptr;
    const auto& rows = seen->of(n).rows;
    QTK_CHECK(rows.has_value() || !needs_data(o.algorithm), n.label(), "has no hessian");
    return rows ? &*rows : nullptr;
  };
  const auto clipped = [&](const tensor<fp32>& w, const node& n) {
    clip_options<F> c{.how = how, .codes = codes};
    std::vector<float> importance;
    if (const hessian* rows = rows_of(n)) importance = rows->second_moments();
    c.importance = importance;
    return clip_quantization<F>(w, o.weights, c).scales;
  };
  m = optimize(std::move(m));
  if (o.algorithm == smoothquant) m = smooth_inputs(std::move(m), *seen, 0.5, o.take);
  if (o.algorithm == awq)
    m = scale_for_awq<F>(std::move(m), *seen, o.weights, {.how = how, .codes = codes}, o.take);
  const model before = m;
  m = passes::rewrite_weights(
      std::move(m), o.take,
      [&](const tensor<fp32>& w, const node& n) -> tensor<F> {
        switch (o.algorithm) {
          case clip:
            return quantize<F>(w, clipped(w, n), {}, codes);
          case hqq:
            return quantize<F>(
                w, hqq_quantization<F>(w, o.weights, {.how = how, .codes = codes}).scales, {},
                codes);
          case gptq: {
            const gptq_options<F> g{
                .how = how, .codes = codes, .act_order = o.act_order, .measure = false};
            return o.clip ? qtk::gptq<F>(w, *rows_of(n), clipped(w, n), g).weights
                          : qtk::gptq<F>(w, *rows_of(n), o.weights, g).weights;
          }
          case rtn:
          case awq:
          case smoothquant:
            break;
        }
        return quantize<F>(w, o.weights, how, {}, codes);
      },
      [&](node& n) {
        n.attributes.erase("compute");
        if (o.integer) n.attributes.insert_or_assign("compute", std::string("int8"));
      });
  // The means are those of the inputs before a rewrite divided them.
  const bool divided = o.algorithm == awq || o.algorithm == smoothquant;
  if (o.bias_correction && seen != nullptr && !divided)
    m = passes::correct_biases(std::move(m), before, *seen);
  if (o.integer) m.metadata.insert_or_assign("qtk.activations", "int8");
  passes::describe(m, name(o.algorithm), seen);
  m.metadata.insert_or_assign("qtk.bits", cat(o.bits));
  return m;
}

}  // namespace qtk::inline QTK_ABI
