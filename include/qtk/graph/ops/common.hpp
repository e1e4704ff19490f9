#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "qtk/graph/op.hpp"

/// What binders of all families share.
namespace qtk::inline QTK_ABI::graph_ops {

/// Work of a node that reads its inputs and writes its outputs once, with `per_element` operations
/// for each element of the first.
inline void count_work(bound_node& b, const op_context& ctx, double per_element) {
  double bytes = 0;
  for (std::size_t i = 0; i < ctx.inputs(); ++i)
    if (ctx.has(i)) bytes += static_cast<double>(size_bytes(ctx.in(i)));
  for (const value_type& out : b.outputs) bytes += static_cast<double>(size_bytes(out));
  b.bytes = bytes;
  b.flops = per_element * static_cast<double>(b.outputs[0].dims.elements());
}

[[nodiscard]] inline std::size_t element_size(const op_context& ctx, dtype d) {
  QTK_CHECK(bits(d) >= 8, ctx.node().label(), name(d), " elements are not supported");
  return static_cast<std::size_t>(bits(d)) / 8;
}

/// The same bytes under another shape.
[[nodiscard]] inline bound_node renamed(const op_context& ctx, const shape& y) {
  const value_type& x = ctx.in(0);
  QTK_CHECK(y.elements() == x.dims.elements(), ctx.node().label(), x.dims, " to ", y);
  QTK_CHECK(bits(x.type) >= 8, ctx.node().label(), name(x.type), " elements are not supported");
  return {.outputs = {{x.type, y}}, .run = {}, .alias = 0};
}

/// A table of that many bytes, which the bound node holds on to as others do to packed weights. The
/// binder asked op_context::expect_memory for them.
template <class T>
[[nodiscard]] std::shared_ptr<const T> hold(bound_node& b, T table, std::size_t bytes) {
  auto held = std::make_shared<const T>(std::move(table));
  b.packed = held;
  b.packed_bytes = bytes;
  return held;
}

/// Outputs known when the node is bound.
[[nodiscard]] inline bound_node known(std::vector<any_tensor> values) {
  bound_node b;
  for (const any_tensor& v : values) b.outputs.push_back({v.dtype(), v.shape()});
  b.values = std::move(values);
  return b;
}
[[nodiscard]] inline bound_node known(any_tensor value) {
  std::vector<any_tensor> one;
  one.push_back(std::move(value));
  return known(std::move(one));
}

[[nodiscard]] inline any_tensor int64_list(const std::vector<std::int64_t>& values) {
  tensor<int64> t({values.size()});
  std::copy(values.begin(), values.end(), t.data());
  return t;
}

/// The node bound by `inner` to inputs of these types in place of its own, none known before: what
/// a binder does that prepares its inputs first and leaves the rest to another.
[[nodiscard]] inline bound_node bind_prepared(const op_context& ctx,
                                              std::span<const std::optional<value_type>> types,
                                              binder inner) {
  std::vector<const value_type*> inputs;
  for (const auto& t : types) inputs.push_back(t ? &*t : nullptr);
  const std::vector<const any_tensor*> unknown(types.size(), nullptr);
  binding other = ctx.given();
  other.inputs = inputs;
  other.constants = unknown;
  return inner(op_context(other));
}

/// An attribute in old opsets, an input in new ones: axes, starts, pads, ...
[[nodiscard]] inline std::vector<std::int64_t> list_argument(const op_context& ctx,
                                                             std::string_view key,
                                                             std::size_t input) {
  return ctx.has(input) ? ctx.integers(input) : ctx.node().integers(key);
}

}  // namespace qtk::inline QTK_ABI::graph_ops
