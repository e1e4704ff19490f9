#pragma once

#include <algorithm>
#include <cstring>
#include <utility>

#include "qtk/graph/convert.hpp"
#include "qtk/graph/op.hpp"

/// From a node and the types of its inputs to what runs: its operator's binder, and what is the
/// same for all operators around it.
namespace qtk::inline QTK_ABI {

namespace detail {

/// Whether `op` takes input i of type `d` as fp32.
[[nodiscard]] constexpr bool is_converted(const op_definition& op, std::size_t i,
                                          dtype d) noexcept {
  if (d == dtype::fp64) return holds(op.fp32_only, i);
  return (d == dtype::fp16 || d == dtype::bf16) &&
         (holds(op.fp32_only, i) || holds(op.halves_in_fp32, i));
}

/// Binds an operator of fp32 alone to inputs of another float format: inputs are converted to fp32
/// and outputs back, in the workspace.
[[nodiscard]] inline bound_node bind_in_fp32(const op_definition& op, const binding& given,
                                             dtype type) {
  struct conversion {
    dtype from;
    std::size_t elements, offset;
    std::shared_ptr<const any_tensor> constant;  // made once
    bool used = false;
  };
  std::vector<value_type> types(given.inputs.size());
  std::vector<const value_type*> inputs(given.inputs.begin(), given.inputs.end());
  std::vector<const any_tensor*> constants(given.constants.begin(), given.constants.end());
  std::vector<conversion> in(inputs.size()), out;
  std::size_t bytes = 0;
  const auto take = [&bytes](std::size_t elements) {
    const std::size_t at = bytes;
    bytes = round_up(checked_add(bytes, checked_mul(elements, sizeof(float))), 64);
    return at;
  };
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] == nullptr || !is_converted(op, i, inputs[i]->type)) continue;
    const std::size_t n = inputs[i]->dims.elements();
    in[i] = {
        .from = inputs[i]->type, .elements = n, .offset = 0, .constant = nullptr, .used = true};
    if (constants[i] != nullptr && !given.types_only) {
      in[i].constant = std::make_shared<const any_tensor>(converted(*constants[i], dtype::fp32));
      constants[i] = in[i].constant.get();
    } else {
      in[i].offset = take(n);
    }
    types[i] = {dtype::fp32, inputs[i]->dims};
    inputs[i] = &types[i];
  }
  binding wide = given;
  wide.inputs = inputs;
  wide.constants = constants;
  bound_node b = op.bind(op_context(wide));
  for (any_tensor& v : b.values)
    if (v.is<fp32>()) v = converted(v, type);
  for (value_type& t : b.outputs) {
    const bool used = t.type == dtype::fp32;
    const std::size_t n = t.dims.elements();
    out.push_back({.from = type,
                   .elements = n,
                   .offset = used ? take(n) : 0,
                   .constant = nullptr,
                   .used = used});
    if (used) t.type = type;
  }
  b.in_place = std::nullopt;
  b.bands = nullptr;
  if (!b.run) return b;
  b.run = [inner = std::move(b.run), in = std::move(in), out = std::move(out),
           bytes](const node_buffers& io) {
    std::vector<const std::byte*> from(io.inputs.begin(), io.inputs.end());
    std::vector<std::byte*> to(io.outputs.begin(), io.outputs.end());
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (!in[i].used) continue;
      if (in[i].constant != nullptr) {
        from[i] = in[i].constant->data();
      } else {
        convert_elements(in[i].from, io.inputs[i], dtype::fp32, io.workspace + in[i].offset,
                         in[i].elements);
        from[i] = io.workspace + in[i].offset;
      }
    }
    for (std::size_t i = 0; i < out.size(); ++i)
      if (out[i].used) to[i] = io.workspace + out[i].offset;
    inner({.inputs = from,
           .outputs = to,
           .workspace = io.workspace + bytes,
           .executor = io.executor});
    for (std::size_t i = 0; i < out.size(); ++i)
      if (out[i].used)
        convert_elements(dtype::fp32, to[i], out[i].from, io.outputs[i], out[i].elements);
  };
  b.workspace_bytes = checked_add(b.workspace_bytes, bytes);
  return b;
}

}  // namespace detail

/// A shape without elements may still have many rows, and to walk them takes time that its bytes do
/// not tell: qtk::error for more than any real one has.
inline void check_rows(const shape& s, std::string_view where) {
  std::size_t rows = 1;
  for (const std::size_t d : s)
    if (d != 0) rows = checked_mul(rows, d, where);
  QTK_CHECK(rows <= (std::size_t{1} << 30) || s.elements() != 0, std::string(where), "shape ", s,
            " has no elements, but many rows");
}

/// `op` bound to its inputs; qtk::error names the node.
[[nodiscard]] inline bound_node bind_node(const op_definition& op, const binding& b) {
  bound_node bound = [&] {
    // Outputs have the format of the first float input.
    bool converts = false;
    std::optional<dtype> type;
    for (std::size_t i = 0; i < b.inputs.size(); ++i) {
      if (b.inputs[i] == nullptr) continue;
      const dtype d = b.inputs[i]->type;
      converts = converts || detail::is_converted(op, i, d);
      if (!type && (holds(op.fp32_only, i) || holds(op.halves_in_fp32, i)) &&
          (d == dtype::fp32 || d == dtype::fp64 || d == dtype::fp16 || d == dtype::bf16))
        type = d;
    }
    return converts ? detail::bind_in_fp32(op, b, *type) : op.bind(op_context(b));
  }();
  bool any = !bound.values.empty();
  for (const value_type& t : bound.outputs) {
    check_rows(t.dims, b.node.name);
    any = any || t.dims.elements() != 0;
  }
  if (!any && bound.run) {  // nothing to make
    bound.run = [](const node_buffers&) {};
    bound.bands = nullptr;
  }
  const std::size_t made = bound.values.empty() ? bound.outputs.size() : bound.values.size();
  QTK_CHECK(made >= b.node.outputs.size(), b.node.label(), "has ", b.node.outputs.size(),
            " outputs, supported are ", made);
  return bound;
}

/// The outputs of a bound node, each in a tensor of its own.
[[nodiscard]] inline std::vector<any_tensor> run_bound(const bound_node& b,
                                                       std::span<const std::byte* const> inputs,
                                                       executor_ref executor) {
  std::vector<any_tensor> results;
  std::vector<std::byte*> out;
  for (const value_type& t : b.outputs) results.emplace_back(t.type, t.dims);
  for (any_tensor& r : results) out.push_back(r.data());
  if (b.alias) {
    const std::size_t bytes = size_bytes(b.outputs[0]);
    if (bytes != 0) std::memcpy(out[0], inputs[*b.alias], bytes);
  } else {
    buffer workspace(b.workspace_bytes);
    b.run({.inputs = inputs, .outputs = out, .workspace = workspace.data(), .executor = executor});
  }
  return results;
}

}  // namespace qtk::inline QTK_ABI
