#include "formats.hpp"

namespace qtk_cli {
namespace {

using qtk::model;

model pruned(const model& m) { return qtk::prune_magnitude(m, 0.5); }

constexpr format_choice choices[] = {
    {"fp32", "as trained", [](const model& m) { return qtk::optimize(m); }},
    {"fp16", "weights in half precision, products in fp32",
     [](const model& m) { return qtk::quantize_weights<qtk::fp16>(m); }},
    {"bf16", "weights in bfloat16, products in fp32",
     [](const model& m) { return qtk::quantize_weights<qtk::bf16>(m); }},
    {"int8-dynamic", "weights int8 per channel, activations uint8 per row at run time",
     [](const model& m) { return qtk::quantize_dynamic<qtk::int8>(m); }},
    {"int8-weight-only", "weights int8 per channel, products in fp32",
     [](const model& m) { return qtk::quantize_weights<qtk::int8>(m); }},
    {"int4-dynamic", "weights int4 in groups of 32, activations int8 per row at run time",
     [](const model& m) { return qtk::quantize_dynamic<qtk::int4>(m); }},
    {"int4-weight-only", "weights int4 in groups of 32, products in fp32",
     [](const model& m) { return qtk::quantize_weights<qtk::int4>(m); }},
    {"pruned50", "half of each layer's weights zero, stored dense", pruned},
    {"pruned50+int8", "the same, then int8-dynamic",
     [](const model& m) { return qtk::quantize_dynamic<qtk::int8>(pruned(m)); }},
};

}  // namespace

std::span<const format_choice> all_formats() { return choices; }

const format_choice& find_format(std::string_view name) {
  std::string known;
  for (const format_choice& f : choices) {
    if (f.name == name) return f;
    known += qtk::cat(known.empty() ? "" : ", ", f.name);
  }
  qtk::fail(qtk::cat("unknown format '", name, "' (", known, ")"), "--to");
}

}  // namespace qtk_cli
