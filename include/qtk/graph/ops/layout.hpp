#pragma once

#include "qtk/graph/convert.hpp"
#include "qtk/graph/onnx_types.hpp"
#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/fill.hpp"
#include "qtk/graph/ops/index.hpp"
#include "qtk/graph/ops/rearrange.hpp"
#include "qtk/ops/strided.hpp"

/// Binders of operators that move elements or rename their shape.
namespace qtk::inline QTK_ABI::graph_ops {

[[nodiscard]] inline bound_node strided_copy(const op_context& ctx, const shape& y,
                                             const shape& dims, std::ptrdiff_t first_in,
                                             const strides& from, std::ptrdiff_t first_out,
                                             const strides& to, std::vector<std::byte> fill = {}) {
  const auto size = static_cast<std::ptrdiff_t>(element_size(ctx, ctx.in(0).type));
  bound_node b{.outputs = {{ctx.in(0).type, y}},
               .run = [=, total = y.elements()](const node_buffers& io) {
                 const auto width = static_cast<std::size_t>(size);
                 if (!fill.empty()) fill_elements(io.outputs[0], total, fill.data(), width);
                 if (dims.elements() != 0)
                   copy_strided(dims, width, io.inputs[0] + first_in * size, from,
                                io.outputs[0] + first_out * size, to);
               }};
  count_work(b, ctx, 0);
  return b;
}

inline bound_node bind_identity(const op_context& ctx) { return renamed(ctx, ctx.dims(0)); }

/// Dropout's share of elements that training drops: 0.5 unless given.
[[nodiscard]] inline float ratio(const op_context& ctx) {
  if (!ctx.has(1)) return 0.5f;
  QTK_CHECK(ctx.dims(1).elements() == 1, ctx.node().label(), "ratio ", ctx.dims(1));
  return converted(ctx.value(1), dtype::fp32).as<fp32>().data()[0];
}

/// Dropout at inference: x, and a mask that keeps all.
inline bound_node bind_dropout(const op_context& ctx) {
  if (ctx.has(2)) {
    const any_tensor& training = ctx.value(2);
    QTK_CHECK(training.is<boolean>() && training.shape().elements() == 1 &&
                  (!training.as<boolean>().data()[0] || ratio(ctx) == 0.0f),
              ctx.node().label(), "training mode is not supported");
  }
  if (ctx.node().outputs.size() < 2) return renamed(ctx, ctx.dims(0));
  const std::size_t n = ctx.dims(0).elements(), size = element_size(ctx, ctx.in(0).type);
  const dtype mask = ctx.opset() >= 10 ? dtype::boolean : ctx.in(0).type;
  QTK_CHECK(mask == dtype::boolean, ctx.node().label(), "a mask of ", name(mask),
            " is not supported");
  bound_node b{.outputs = {ctx.in(0), {mask, ctx.dims(0)}},
               .run =
                   [n, size](const node_buffers& io) {
                     if (io.outputs[0] != io.inputs[0] && n != 0)
                       std::memcpy(io.outputs[0], io.inputs[0], n * size);
                     std::fill_n(io.out<boolean::value_type>(1), n, boolean::value_type{1});
                   },
               .in_place = 0};
  count_work(b, ctx, 0);
  return b;
}

inline bound_node bind_reshape(const op_context& ctx) {
  const shape& x = ctx.dims(0);
  const auto target = list_argument(ctx, "shape", 1);
  const bool allow_zero = ctx.node().integer("allowzero", 0) != 0;
  shape y;
  std::size_t known_elements = 1;
  std::optional<std::size_t> free;
  for (std::size_t d = 0; d < target.size(); ++d) {
    if (target[d] == -1) {
      QTK_CHECK(!free, ctx.node().label(), "two dimensions of -1");
      free = d;
      y.push_back(1);
      continue;
    }
    QTK_CHECK(target[d] >= 0, ctx.node().label(), "dimension ", target[d]);
    const bool keep = target[d] == 0 && !allow_zero;
    QTK_CHECK(!keep || d < x.rank(), ctx.node().label(), "dimension ", d, " of ", x);
    y.push_back(keep ? x[d] : static_cast<std::size_t>(target[d]));
    known_elements = checked_mul(known_elements, y.back());
  }
  if (free) {
    QTK_CHECK(known_elements != 0 && x.elements() % known_elements == 0, ctx.node().label(), x,
              " does not divide by ", known_elements);
    y[*free] = x.elements() / known_elements;
  }
  return renamed(ctx, y);
}

inline bound_node bind_flatten(const op_context& ctx) {
  const shape& x = ctx.dims(0);
  const std::int64_t axis = ctx.node().integer("axis", 1);
  const std::size_t cut = axis == static_cast<std::int64_t>(x.rank()) ? x.rank() : x.axis(axis);
  return renamed(ctx, {x.product(0, cut), x.product(cut, x.rank())});
}

inline bound_node bind_squeeze(const op_context& ctx) {
  const shape& x = ctx.dims(0);
  std::vector<bool> drop(x.rank(), false);
  const auto axes = list_argument(ctx, "axes", 1);
  for (const std::int64_t a : axes) drop[x.axis(a)] = true;
  shape y;
  for (std::size_t d = 0; d < x.rank(); ++d) {
    const bool gone = axes.empty() ? x[d] == 1 : static_cast<bool>(drop[d]);
    QTK_CHECK(!gone || x[d] == 1, ctx.node().label(), "axis ", d, " of ", x, " is not 1");
    if (!gone) y.push_back(x[d]);
  }
  return renamed(ctx, y);
}

inline bound_node bind_unsqueeze(const op_context& ctx) {
  const shape& x = ctx.dims(0);
  const auto axes = list_argument(ctx, "axes", 1);
  const std::size_t rank = x.rank() + axes.size();
  QTK_CHECK(rank <= shape::max_rank, ctx.node().label(), "rank above ", shape::max_rank);
  std::vector<bool> fresh(rank, false);
  for (const std::int64_t a : axes) {
    const std::int64_t at = a < 0 ? a + static_cast<std::int64_t>(rank) : a;
    QTK_CHECK(
        at >= 0 && at < static_cast<std::int64_t>(rank) && !fresh[static_cast<std::size_t>(at)],
        ctx.node().label(), "axis ", a, " of rank ", rank);
    fresh[static_cast<std::size_t>(at)] = true;
  }
  shape y;
  for (std::size_t d = 0, from = 0; d < rank; ++d) y.push_back(fresh[d] ? 1 : x[from++]);
  return renamed(ctx, y);
}

inline bound_node bind_shape(const op_context& ctx) {
  const shape& x = ctx.dims(0);
  const auto rank = static_cast<std::int64_t>(x.rank());
  const auto clamp = [rank](std::int64_t a) {
    return std::clamp<std::int64_t>(a < 0 ? a + rank : a, 0, rank);
  };
  std::vector<std::int64_t> dims;
  const std::int64_t end = clamp(ctx.node().integer("end", rank));
  for (std::int64_t d = clamp(ctx.node().integer("start", 0)); d < end; ++d)
    dims.push_back(static_cast<std::int64_t>(x[static_cast<std::size_t>(d)]));
  return known(int64_list(dims));
}

inline bound_node bind_constant(const op_context& ctx) {
  const node& n = ctx.node();
  if (const auto* t = n.find<any_tensor>("value")) return known(*t);
  if (const auto* f = n.find<float>("value_float")) return known(tensor<fp32>({}, {*f}));
  if (const auto* i = n.find<std::int64_t>("value_int")) return known(tensor<int64>({}, {*i}));
  if (const auto* v = n.find<std::vector<std::int64_t>>("value_ints")) return known(int64_list(*v));
  const auto* v = n.find<std::vector<float>>("value_floats");
  QTK_CHECK(v != nullptr, n.label(), "has no value of a supported type");
  tensor<fp32> t({v->size()});
  std::copy(v->begin(), v->end(), t.data());
  return known(std::move(t));
}

inline bound_node bind_transpose(const op_context& ctx) {
  const shape& x = ctx.dims(0);
  auto perm = ctx.node().integers("perm");
  if (perm.empty())
    for (std::size_t d = x.rank(); d-- > 0;) perm.push_back(static_cast<std::int64_t>(d));
  QTK_CHECK(perm.size() == x.rank(), ctx.node().label(), "perm of ", perm.size(), " for ", x);
  const strides own = row_major(x);
  shape y;
  strides from{};
  std::vector<bool> used(x.rank(), false);
  std::size_t before = 0;
  bool in_order = true;  // but for dimensions of 1: nothing moves
  for (const std::int64_t p : perm) {
    const std::size_t d = x.axis(p);
    QTK_CHECK(!used[d], ctx.node().label(), "perm repeats ", p);
    used[d] = true;
    if (x[d] != 1) {
      in_order = in_order && d >= before;
      before = d;
    }
    from[y.rank()] = own[d];
    y.push_back(x[d]);
  }
  if (in_order && bits(ctx.in(0).type) >= 8) return renamed(ctx, y);
  return strided_copy(ctx, y, y, 0, from, 0, row_major(y));
}

/// Slice: attributes before opset 10, inputs since.
inline bound_node bind_slice(const op_context& ctx) {
  const shape& x = ctx.dims(0);
  const auto starts = list_argument(ctx, "starts", 1), ends = list_argument(ctx, "ends", 2);
  auto axes = list_argument(ctx, "axes", 3);
  auto steps = ctx.has(4) ? ctx.integers(4) : std::vector<std::int64_t>(starts.size(), 1);
  if (axes.empty())
    for (std::size_t d = 0; d < starts.size(); ++d) axes.push_back(static_cast<std::int64_t>(d));
  QTK_CHECK(
      ends.size() == starts.size() && axes.size() == starts.size() && steps.size() == starts.size(),
      ctx.node().label(), "starts, ends, axes and steps differ in length");
  shape y = x;
  strides from = row_major(x);
  std::ptrdiff_t first = 0;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::size_t d = x.axis(axes[i]);
    for (std::size_t j = 0; j < i; ++j)
      QTK_CHECK(x.axis(axes[j]) != d, ctx.node().label(), "axis ", axes[i], " is sliced twice");
    const auto n = static_cast<std::int64_t>(x[d]);
    QTK_CHECK(steps[i] != 0, ctx.node().label(), "step 0");
    if (n == 0) continue;
    // Below -n counts as before the first element; a step beyond all others leads as far as n.
    const auto wrap = [n](std::int64_t v) { return v < -n ? -1 : v < 0 ? v + n : v; };
    const std::int64_t step = std::clamp(steps[i], -n, n);
    const std::int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? n : n - 1;
    const std::int64_t begin = std::clamp<std::int64_t>(wrap(starts[i]), 0, highest);
    const std::int64_t end = std::clamp(wrap(ends[i]), lowest, highest);
    const std::int64_t distance = step > 0 ? end - begin : begin - end;
    const std::int64_t stride = step > 0 ? step : -step;
    y[d] = distance <= 0 ? 0 : static_cast<std::size_t>((distance - 1) / stride + 1);
    if (x.elements() == 0) continue;  // nothing will be read: strides may be anything
    first += y[d] != 0 ? begin * from[d] : 0;
    from[d] *= step;
  }
  if (y == x && from == row_major(x)) return renamed(ctx, y);
  return strided_copy(ctx, y, y, first, from, 0, row_major(y));
}

/// Pad: attributes before opset 11, inputs since.
inline bound_node bind_pad(const op_context& ctx) {
  const shape& x = ctx.dims(0);
  const node& n = ctx.node();
  const std::string mode = n.text("mode", "constant");
  const auto pads = list_argument(ctx, "pads", 1);
  std::vector<std::int64_t> axes = ctx.has(3) ? ctx.integers(3) : std::vector<std::int64_t>{};
  if (axes.empty())
    for (std::size_t d = 0; d < x.rank(); ++d) axes.push_back(static_cast<std::int64_t>(d));
  QTK_CHECK(pads.size() == 2 * axes.size(), n.label(), pads.size(), " pads for ", axes.size(),
            " axes");
  shape y = x, inner = x;
  strides from = row_major(x);
  std::array<std::int64_t, shape::max_rank> begin{};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::size_t d = x.axis(axes[i]);
    const std::int64_t before = pads[i], after = pads[i + axes.size()];
    const auto size = static_cast<std::int64_t>(x[d]);
    QTK_CHECK(before > -size - 1 && after > -size - 1 && before < (1 << 24) && after < (1 << 24) &&
                  size + before + after >= 0,
              n.label(), "pads ", before, " and ", after, " of ", size);
    begin[d] = before;
    y[d] = static_cast<std::size_t>(size + before + after);
    inner[d] = static_cast<std::size_t>(std::max<std::int64_t>(
        0, size + std::min<std::int64_t>(before, 0) + std::min<std::int64_t>(after, 0)));
  }
  if (mode != "constant") {
    QTK_CHECK(mode == "edge" || mode == "reflect" || mode == "wrap", n.label(), "mode '", mode,
              "'");
    QTK_CHECK(x.elements() != 0 || y.elements() == 0, n.label(), "pads an empty ", x);
    return take(ctx, y, [&](std::size_t d, std::size_t i) {
      return padded_index(static_cast<std::int64_t>(i) - begin[d], static_cast<std::int64_t>(x[d]),
                          mode);
    });
  }
  const strides to = row_major(y);
  std::ptrdiff_t first_in = 0, first_out = 0;
  for (std::size_t d = 0; inner.elements() != 0 && y.elements() != 0 && d < x.rank(); ++d)
    (begin[d] < 0 ? first_in : first_out) +=
        (begin[d] < 0 ? -begin[d] * from[d] : begin[d] * to[d]);
  std::vector<std::byte> fill(element_size(ctx, ctx.in(0).type));
  if (ctx.has(2)) {
    const any_tensor* value = ctx.constant(2);
    QTK_CHECK(
        value != nullptr && value->dtype() == ctx.in(0).type && value->shape().elements() == 1,
        n.label(), "the padding value must be a constant of the input's type");
    std::memcpy(fill.data(), value->data(), fill.size());
  } else if (ctx.in(0).type == dtype::fp32) {
    const float value = n.number("value", 0.0f);
    std::memcpy(fill.data(), &value, sizeof value);
  }
  return strided_copy(ctx, y, inner, first_in, from, first_out, to, std::move(fill));
}

inline bound_node bind_expand(const op_context& ctx) {
  shape target;
  for (const std::int64_t d : ctx.integers(1)) {
    QTK_CHECK(d >= 0, ctx.node().label(), "dimension ", d);
    target.push_back(static_cast<std::size_t>(d));
  }
  const shape y = broadcast_shape(ctx.dims(0), target);
  return strided_copy(ctx, y, y, 0, broadcast_strides(ctx.dims(0), y), 0, row_major(y));
}

inline bound_node bind_size(const op_context& ctx) {
  return known(tensor<int64>({}, {static_cast<std::int64_t>(ctx.dims(0).elements())}));
}

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table layout_ops() {
  static constexpr op_definition table[] = {
      {"BitCast", "", bind_bit_cast},
      {"CenterCropPad", "", bind_center_crop_pad, input_bit(1)},
      {"Col2Im", "", bind_col2im, input_bit(1) | input_bit(2), all_inputs},
      {"Compress", "", bind_compress, all_inputs},
      {"Concat", "", bind_concat},
      {"Constant", "", bind_constant},
      {"ConstantOfShape", "", bind_constant_of_shape, input_bit(0)},
      {"DepthToSpace", "", bind_depth_to_space},
      {"Dropout", "", bind_dropout, input_bit(1) | input_bit(2)},
      {"Expand", "", bind_expand, input_bit(1)},
      {"EyeLike", "", bind_eye_like},
      {"Flatten", "", bind_flatten},
      {"Gather", "", bind_gather},
      {"GatherElements", "", bind_gather_elements},
      {"GatherND", "", bind_gather_nd},
      {"Identity", "", bind_identity},
      {"NonZero", "", bind_non_zero, all_inputs},
      {"OneHot", "", bind_one_hot, input_bit(1)},
      {"Pad", "", bind_pad, input_bit(1) | input_bit(2) | input_bit(3)},
      {"Range", "", bind_range, all_inputs, 0, all_inputs},
      {"Reshape", "", bind_reshape, input_bit(1)},
      {"ReverseSequence", "", bind_reverse_sequence, input_bit(1)},
      {"Scatter", "", bind_scatter_elements},
      {"ScatterElements", "", bind_scatter_elements},
      {"ScatterND", "", bind_scatter_nd},
      {"Shape", "", bind_shape},
      {"Size", "", bind_size},
      {"Slice", "", bind_slice, input_bit(1) | input_bit(2) | input_bit(3) | input_bit(4)},
      {"SpaceToDepth", "", bind_space_to_depth},
      {"Split", "", bind_split, input_bit(1)},
      {"Squeeze", "", bind_squeeze, input_bit(1)},
      {"TensorScatter", "", bind_tensor_scatter},
      {"Tile", "", bind_tile, input_bit(1)},
      {"Transpose", "", bind_transpose},
      {"Trilu", "", bind_trilu, input_bit(1)},
      {"Unique", "", bind_unique, all_inputs},
      {"Unsqueeze", "", bind_unsqueeze, input_bit(1)},
  };
  return table;
}
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops
