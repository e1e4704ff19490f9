#pragma once

#include <limits>
#include <optional>
#include <vector>

#include "qtk/graph/ops/binary.hpp"
#include "qtk/graph/ops/norm.hpp"
#include "qtk/graph/ops/pool_nd.hpp"
#include "qtk/graph/ops/rearrange.hpp"
#include "qtk/graph/ops/unary.hpp"
#include "qtk/kernels/elementwise.hpp"

/// Binders of Microsoft's operators from codes to codes: the float operator between what its
/// operands stand for and the codes of its result, y = saturate(round_half_even(f(..) / y_scale) +
/// y_zero_point).
namespace qtk::inline QTK_ABI::graph_ops {

/// An operand of 8-bit codes: which inputs are its codes, its scale and its zero point (absent: 0).
struct code_operand {
  std::size_t codes, scale, zero;
};

namespace detail {

inline void check_scale(const op_context& ctx, dtype type, std::size_t scale, std::size_t zero) {
  ctx.expect(scale, dtype::fp32);
  QTK_CHECK(ctx.dims(scale).elements() == 1 &&
                (!ctx.has(zero) || (ctx.dims(zero).elements() == 1 && ctx.in(zero).type == type)),
            ctx.node().label(), "input ", scale, " is ", ctx.dims(scale), ": ",
            "scales that are not one for all are not supported");
}

[[nodiscard]] inline std::int32_t zero_point(const node_buffers& io, std::size_t i,
                                             bool is_signed) {
  if (io.in<std::byte>(i) == nullptr) return 0;
  return is_signed ? io.in<std::int8_t>(i)[0] : io.in<std::uint8_t>(i)[0];
}

}  // namespace detail

/// `inner` between fp32 operands, in the order given, and its result as codes.
[[nodiscard]] inline bound_node through_floats(const op_context& ctx,
                                               const std::vector<code_operand>& operands,
                                               std::size_t y_scale, std::size_t y_zero,
                                               binder inner) {
  const dtype type = ctx.in(operands.at(0).codes).type;
  const bool is_signed = type == dtype::int8;
  QTK_CHECK(is_signed || type == dtype::uint8, ctx.node().label(), "codes of ", name(type),
            " are not supported");
  std::vector<std::optional<value_type>> floats;
  std::vector<std::size_t> offsets, counts;
  std::size_t bytes = 0;
  const auto take = [&bytes](std::size_t elements) {
    const std::size_t at = bytes;
    bytes = round_up(checked_add(bytes, checked_mul(elements, sizeof(float))), 64);
    return at;
  };
  for (const code_operand& o : operands) {
    ctx.expect(o.codes, type);
    detail::check_scale(ctx, type, o.scale, o.zero);
    floats.push_back(value_type{dtype::fp32, ctx.dims(o.codes)});
    counts.push_back(ctx.dims(o.codes).elements());
    offsets.push_back(take(counts.back()));
  }
  detail::check_scale(ctx, type, y_scale, y_zero);
  bound_node real = bind_prepared(ctx, floats, inner);
  const std::size_t count = real.outputs[0].dims.elements(), result = take(count);
  bound_node b{.outputs = {{type, real.outputs[0].dims}}, .run = {}};
  b.workspace_bytes = checked_add(bytes, real.workspace_bytes);
  b.run = [=, run = std::move(real.run), alias = real.alias.has_value(),
           &k = find_elementwise(ctx.target())](const node_buffers& io) {
    std::vector<const std::byte*> in;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      const code_operand& o = operands[i];
      auto* const to = reinterpret_cast<float*>(io.workspace + offsets[i]);
      const float scale = io.in<float>(o.scale)[0];
      const std::int32_t zero = detail::zero_point(io, o.zero, is_signed);
      if (is_signed)
        k.dequantize_s8(counts[i], io.in<std::int8_t>(o.codes), scale, zero, to);
      else
        k.dequantize_u8(counts[i], io.in<std::uint8_t>(o.codes), scale, zero, to);
      in.push_back(io.workspace + offsets[i]);
    }
    std::byte* y = io.workspace + (alias ? offsets[0] : result);
    if (!alias)
      run({.inputs = in,
           .outputs = std::span(&y, 1),
           .workspace = io.workspace + bytes,
           .executor = io.executor});
    const auto* const from = reinterpret_cast<const float*>(y);
    const float scale = io.in<float>(y_scale)[0];
    const std::int32_t zero = detail::zero_point(io, y_zero, is_signed);
    if (is_signed)
      k.quantize_s8(count, from, scale, zero, io.out<std::int8_t>());
    else
      k.quantize_u8(count, from, scale, zero, io.out<std::uint8_t>());
  };
  count_work(b, ctx, 3);
  return b;
}

/// Inputs A, B and y, each with scale and zero point.
template <binary_op Op>
bound_node bind_qlinear_binary(const op_context& ctx) {
  return through_floats(ctx, {{0, 1, 2}, {3, 4, 5}}, 6, 7, bind_binary<Op>);
}

inline bound_node bind_qlinear_sigmoid(const op_context& ctx) {
  return through_floats(ctx, {{0, 1, 2}}, 3, 4, bind_unary<unary_op::sigmoid>);
}
inline bound_node bind_qlinear_leaky_relu(const op_context& ctx) {
  return through_floats(ctx, {{0, 1, 2}}, 3, 4, [](const op_context& real) {
    return map_real<functions::leaky_relu>(real, {.alpha = real.node().number("alpha", 0.01f)});
  });
}

/// Softmax as the ONNX set of attribute `opset` says it.
inline bound_node bind_qlinear_softmax(const op_context& ctx) {
  return through_floats(ctx, {{0, 1, 2}}, 3, 4, [](const op_context& real) {
    const node& n = real.node();
    const shape& x = real.dims(0);
    const bool modern = n.integer("opset", 0) >= 13;
    const std::size_t axis = x.axis(n.integer("axis", modern ? -1 : 1));
    return map_rows(real, around(x, axis, modern ? axis + 1 : x.rank()),
                    softmax_rows(real.target()));
  });
}

inline void expect_channels_first(const op_context& ctx) {
  QTK_CHECK(ctx.node().integer("channels_last", 0) == 0, ctx.node().label(),
            "channels_last is not supported");
}
inline bound_node bind_qlinear_average_pool(const op_context& ctx) {
  expect_channels_first(ctx);
  return through_floats(ctx, {{0, 1, 2}}, 3, 4, bind_average_pool_nd);
}
inline bound_node bind_qlinear_global_average_pool(const op_context& ctx) {
  expect_channels_first(ctx);
  return through_floats(ctx, {{0, 1, 2}}, 3, 4, bind_global_pool<false>);
}

/// Inputs: scale and zero point of y, then those of each part behind its codes.
inline bound_node bind_qlinear_concat(const op_context& ctx) {
  QTK_CHECK(ctx.inputs() >= 5 && (ctx.inputs() - 2) % 3 == 0, ctx.node().label(), "has ",
            ctx.inputs(), " inputs");
  std::vector<code_operand> parts;
  for (std::size_t i = 2; i < ctx.inputs(); i += 3) parts.push_back({i, i + 1, i + 2});
  return through_floats(ctx, parts, 0, 1, [](const op_context& real) {
    QTK_CHECK(real.node().find<std::int64_t>("axis") != nullptr, real.node().label(), "no axis");
    return bind_concat(real);
  });
}

}  // namespace qtk::inline QTK_ABI::graph_ops
