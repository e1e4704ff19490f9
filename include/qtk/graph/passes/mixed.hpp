#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "qtk/graph/passes/quantize.hpp"

/// A format for each layer.
namespace qtk::inline QTK_ABI {

/// How one layer is stored and computed: weights of a format under products in fp32, or integer
/// products with activations quantized at run time (dynamic).
enum class layer_format : std::uint8_t {
  fp32,
  fp16,
  int8_dynamic,
  int4_dynamic,
  int8_weight_only,
  int4_weight_only
};

inline constexpr layer_format layer_formats[] = {layer_format::fp32,
                                                 layer_format::fp16,
                                                 layer_format::int8_dynamic,
                                                 layer_format::int4_dynamic,
                                                 layer_format::int8_weight_only,
                                                 layer_format::int4_weight_only};

[[nodiscard]] constexpr std::string_view name(layer_format f) noexcept {
  switch (f) {
    case layer_format::fp32:
      return "fp32";
    case layer_format::fp16:
      return "fp16";
    case layer_format::int8_dynamic:
      return "int8-dynamic";
    case layer_format::int4_dynamic:
      return "int4-dynamic";
    case layer_format::int8_weight_only:
      return "int8-weight-only";
    case layer_format::int4_weight_only:
      return "int4-weight-only";
  }
  return "unknown";
}

/// Formats by layer; a layer is known by the value that it makes (its output 0 in the optimized
/// model).
using layer_format_map = std::map<std::string, layer_format, std::less<>>;

/// Each layer in its format; those that the map lacks, and those whose weights are not fp32, stay
/// as they are. The model is optimized first. Note that a file has one word for all of its
/// quantized layers on whether they quantize their activations: one that mixes dynamic and
/// weight-only formats runs, but cannot be saved.
[[nodiscard]] inline model quantize_mixed(model m, const layer_format_map& formats) {
  const auto in = [&](layer_format f) -> layer_filter {
    return [&formats, f](const node& n) {
      const auto it = formats.find(n.outputs[0]);
      return it != formats.end() && it->second == f;
    };
  };
  const auto used = [&](layer_format f) {
    for (const auto& [layer, format] : formats)
      if (format == f) return true;
    return false;
  };
  m = optimize(std::move(m));
  if (used(layer_format::fp16)) m = quantize_weights<fp16>(std::move(m), in(layer_format::fp16));
  if (used(layer_format::int8_dynamic))
    m = quantize_dynamic<int8>(std::move(m), default_granularity<int8>(),
                               in(layer_format::int8_dynamic));
  if (used(layer_format::int4_dynamic))
    m = quantize_dynamic<int4>(std::move(m), default_granularity<int4>(),
                               in(layer_format::int4_dynamic));
  if (used(layer_format::int8_weight_only))
    m = quantize_weights<int8>(std::move(m), default_granularity<int8>(),
                               in(layer_format::int8_weight_only));
  if (used(layer_format::int4_weight_only))
    m = quantize_weights<int4>(std::move(m), default_granularity<int4>(),
                               in(layer_format::int4_weight_only));
  return m;
}

}  // namespace qtk::inline QTK_ABI
