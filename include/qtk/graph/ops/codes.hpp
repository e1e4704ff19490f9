#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include "qtk/core/numeric.hpp"
#include "qtk/graph/onnx_types.hpp"
#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/parts.hpp"
#include "qtk/kernels/elementwise.hpp"

/// Binders of operators from floats to codes and back.
namespace qtk::inline QTK_ABI::graph_ops {

/// Whether F holds codes: an integer of at most 32 bits.
template <class F>
inline constexpr bool is_code =
    std::is_integral_v<typename F::value_type> && !std::is_same_v<F, boolean> && F::bits <= 32;

/// Whether F is a float of at most 8 bits that scales are made for.
template <class F>
inline constexpr bool is_small_float = requires(float x) {
  F::value_type::of(x, true);
  F::value_type::largest;
};

/// The largest and smallest code of F.
template <class F>
[[nodiscard]] constexpr std::pair<std::int64_t, std::int64_t> code_limits() {
  if constexpr (F::quantized) {
    return {F::code_min, F::code_max};
  } else {
    using T = typename F::value_type;
    return {static_cast<std::int64_t>(std::numeric_limits<T>::min()),
            static_cast<std::int64_t>(std::numeric_limits<T>::max())};
  }
}

/// Element i of a tensor of shape s, also where several share a byte.
template <class F>
[[nodiscard]] auto load_code(const std::byte* data, const shape& s, std::size_t i) {
  const tensor_view<const F> view(reinterpret_cast<const typename F::storage_type*>(data), s);
  if constexpr (is_small_float<F>)
    return to_float(view.at(i / s.cols(), i % s.cols()));
  else
    return static_cast<std::int64_t>(view.at(i / s.cols(), i % s.cols()));
}
template <class F>
void store_code(std::byte* data, const shape& s, std::size_t i, typename F::value_type code) {
  if constexpr (F::packed) {
    const tensor_view<F> view(reinterpret_cast<typename F::storage_type*>(data), s);
    view.set(i / s.cols(), i % s.cols(), code);
  } else {
    reinterpret_cast<typename F::value_type*>(data)[i] = code;
  }
}

/// Which scale an element takes: one for all, one for each index of an axis, or one for each block
/// of block_size along it.
struct scale_map {
  std::size_t outer = 1, count = 1, inner = 1, block = 0;  // block 0: all; else elements a scale
  bool blocked = false;

  scale_map(const op_context& ctx, const shape& x, const shape& scale) {
    const node& n = ctx.node();
    const std::int64_t size = n.integer("block_size", 0);
    if (size <= 0 && scale.elements() == 1 && scale.rank() <= 1) {
      inner = x.elements();
      return;
    }
    const std::size_t axis = x.axis(n.integer("axis", 1));
    outer = x.product(0, axis);
    count = x[axis];
    inner = x.product(axis + 1, x.rank());
    block = 1;
    if (size > 0) {
      blocked = true;
      block = static_cast<std::size_t>(size);
      shape expected = x;
      expected[axis] = ceil_div(x[axis], block);
      QTK_CHECK(scale == expected, n.label(), "scales ", scale, " in blocks of ", block, " of ", x);
    } else {
      QTK_CHECK(scale.elements() == count && scale.rank() == 1, n.label(), "scales ", scale,
                " for ", x);
    }
  }
  /// Calls f(element, scale) for all elements in order.
  template <class Function>
  void for_each(Function&& f) const {
    const std::size_t blocks = block == 0 ? 1 : ceil_div(count, block);
    std::size_t i = 0;
    for (std::size_t o = 0; o < outer; ++o)
      for (std::size_t a = 0; a < count; ++a)
        for (std::size_t k = 0; k < inner; ++k, ++i)
          f(i, block == 0 ? 0 : blocked ? (o * blocks + a / block) * inner + k : a);
  }
};

/// y = saturate(round_half_even(x / scale) + zero_point), or x / scale as a small float.
inline bound_node bind_quantize_linear(const op_context& ctx) {
  const node& n = ctx.node();
  const shape x = ctx.dims(0);
  const bool integers = ctx.in(0).type == dtype::int32;
  if (!integers) ctx.expect(0, dtype::fp32);
  ctx.expect(1, dtype::fp32);
  const std::int64_t asked = n.integer("output_dtype", 0);
  const auto given = asked != 0 ? from_onnx_type(asked) : std::optional(dtype::uint8);
  QTK_CHECK(given, n.label(), "data type ", asked, " is not supported");
  const dtype type = ctx.has(2) ? ctx.in(2).type : *given;
  const scale_map map(ctx, x, ctx.dims(1));
  QTK_CHECK(!ctx.has(2) || ctx.dims(2).elements() == ctx.dims(1).elements(), n.label(),
            "zero points ", ctx.has(2) ? ctx.dims(2) : shape{}, " for scales ", ctx.dims(1));
  bound_node b{.outputs = {{type, x}}, .run = {}};
  visit_format(type, [&]<class F>(F) {
    if constexpr (is_code<F>) {
      b.run = [=, zeros = ctx.has(2) ? ctx.dims(2) : shape{}, label = n.label(),
               &k = find_elementwise(ctx.target())](const node_buffers& io) {
        // Not a structured binding: clang 14 captures none.
        const std::int64_t lo = code_limits<F>().first, hi = code_limits<F>().second;
        const float* const scales = io.in<float>(1);
        const auto zero = [&](std::size_t s) {
          return io.inputs.size() > 2 && io.inputs[2] != nullptr
                     ? load_code<F>(io.inputs[2], zeros, s)
                     : std::int64_t{0};
        };
        if constexpr (std::is_same_v<F, uint8> || std::is_same_v<F, int8>)
          if (!integers && map.block == 0) {  // one scale: the kernel's, in the same arithmetic
            const auto z = static_cast<std::int32_t>(zero(0));
            return in_parts(
                io.executor, x.elements(), sizeof(float) + 1,
                [&](std::size_t begin, std::size_t end) {
                  const float* const from = io.in<float>(0) + begin;
                  if constexpr (std::is_same_v<F, uint8>)
                    k.quantize_u8(end - begin, from, scales[0], z, io.out<std::uint8_t>() + begin);
                  else
                    k.quantize_s8(end - begin, from, scales[0], z, io.out<std::int8_t>() + begin);
                });
          }
        map.for_each([&](std::size_t i, std::size_t s) {
          const float v =
              integers ? static_cast<float>(io.in<std::int32_t>(0)[i]) : io.in<float>(0)[i];
          const float q = std::nearbyint(v / scales[s]);
          const std::int64_t z = zero(s);
          // Infinity and what no integer holds saturate, NaN becomes the zero point.
          const double code =
              q != q ? static_cast<double>(z) : static_cast<double>(q) + static_cast<double>(z);
          store_code<F>(io.outputs[0], x, i,
                        static_cast<typename F::value_type>(
                            std::clamp(code, static_cast<double>(lo), static_cast<double>(hi))));
        });
      };
    } else if constexpr (is_small_float<F>) {  // x / scale rounded to that format
      b.run = [=, saturate = n.integer("saturate", 1) != 0](const node_buffers& io) {
        const float* const scales = io.in<float>(1);
        map.for_each([&](std::size_t i, std::size_t s) {
          const float v =
              integers ? static_cast<float>(io.in<std::int32_t>(0)[i]) : io.in<float>(0)[i];
          store_code<F>(io.outputs[0], x, i, F::value_type::of(v / scales[s], saturate));
        });
      };
    } else {
      ctx.reject(cat("data type ", name(F::id), " is not supported"));
    }
  });
  count_work(b, ctx, 2);
  return b;
}

/// y = (x - zero_point) * scale, in the format of the scale.
inline bound_node bind_dequantize_linear(const op_context& ctx) {
  const node& n = ctx.node();
  const shape x = ctx.dims(0);
  ctx.expect(1, dtype::fp32);
  const scale_map map(ctx, x, ctx.dims(1));
  QTK_CHECK(
      !ctx.has(2) ||
          (ctx.dims(2).elements() == ctx.dims(1).elements() && ctx.in(2).type == ctx.in(0).type),
      n.label(), "zero points ", ctx.has(2) ? ctx.dims(2) : shape{}, " for scales ", ctx.dims(1));
  bound_node b{.outputs = {{dtype::fp32, x}}, .run = {}};
  visit_format(ctx.in(0).type, [&]<class F>(F) {
    if constexpr (is_code<F> || is_small_float<F>) {
      b.run = [=, zeros = ctx.has(2) ? ctx.dims(2) : shape{},
               &k = find_elementwise(ctx.target())](const node_buffers& io) {
        const float* const scales = io.in<float>(1);
        using code = decltype(load_code<F>(nullptr, x, 0));
        const auto zero = [&](std::size_t s) {
          return io.inputs.size() > 2 && io.inputs[2] != nullptr
                     ? load_code<F>(io.inputs[2], zeros, s)
                     : code{0};
        };
        if constexpr (std::is_same_v<F, uint8> || std::is_same_v<F, int8>)
          if (map.block == 0) {  // one scale: the kernel's, in the same arithmetic
            const auto z = static_cast<std::int32_t>(zero(0));
            return in_parts(
                io.executor, x.elements(), sizeof(float) + 1,
                [&](std::size_t begin, std::size_t end) {
                  float* const to = io.out<float>() + begin;
                  if constexpr (std::is_same_v<F, uint8>)
                    k.dequantize_u8(end - begin, io.in<std::uint8_t>(0) + begin, scales[0], z, to);
                  else
                    k.dequantize_s8(end - begin, io.in<std::int8_t>(0) + begin, scales[0], z, to);
                });
          }
        map.for_each([&](std::size_t i, std::size_t s) {
          io.out<float>()[i] =
              static_cast<float>(load_code<F>(io.inputs[0], x, i) - zero(s)) * scales[s];
        });
      };
    } else {
      ctx.reject(cat("input of ", name(F::id), " is not supported"));
    }
  });
  count_work(b, ctx, 2);
  return b;
}

/// uint8 codes that span the values of x and 0, their scale and zero point.
inline bound_node bind_dynamic_quantize_linear(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const std::size_t n = ctx.dims(0).elements();
  bound_node b{.outputs = {{dtype::uint8, ctx.dims(0)}, {dtype::fp32, {}}, {dtype::uint8, {}}},
               .run = [n, &k = find_elementwise(ctx.target())](const node_buffers& io) {
                 float lo = 0, hi = 0;
                 k.minmax(n, io.in<float>(0), &lo, &hi);
                 lo = std::min(lo, 0.0f);
                 hi = std::max(hi, 0.0f);
                 // As the operator says it: no scale of 1 for all zeros, whose codes are 0 anyway.
                 const float scale = (hi - lo) / 255.0f;
                 const float zero =
                     scale == 0.0f ? 0.0f : std::nearbyint(std::clamp(-lo / scale, 0.0f, 255.0f));
                 io.out<float>(1)[0] = scale;
                 io.out<std::uint8_t>(2)[0] = static_cast<std::uint8_t>(zero);
                 if (scale == 0.0f)
                   std::fill_n(io.out<std::uint8_t>(0), n, std::uint8_t{0});
                 else
                   k.quantize_u8(n, io.in<float>(0), scale, static_cast<std::int32_t>(zero),
                                 io.out<std::uint8_t>(0));
               }};
  count_work(b, ctx, 2);
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
