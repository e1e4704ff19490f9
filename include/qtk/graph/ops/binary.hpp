#pragma once

#include <bit>
#include <cmath>
#include <limits>

#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/parts.hpp"
#include "qtk/ops/binary.hpp"
#include "qtk/ops/broadcast.hpp"

/// Binders of functions of several tensors under broadcasting, element by element.
namespace qtk::inline QTK_ABI::graph_ops {

/// y = f(a, b) for operands of T; inputs `first` and `first` + 1.
template <class T, class Out, class Function>
[[nodiscard]] bound_node map_pairs(const op_context& ctx, dtype out, Function f) {
  const shape a = ctx.dims(0), b = ctx.dims(1), y = broadcast_shape(a, b);
  bound_node bound{.outputs = {{out, y}},
                   .run = [y, f, s = std::array{broadcast_strides(a, y), broadcast_strides(b, y)}](
                              const node_buffers& io) {
                     map_broadcast(y, io.out<Out>(), f, s, io.in<T>(0), io.in<T>(1));
                   }};
  count_work(bound, ctx, 1);
  return bound;
}

inline void expect_equal_types(const op_context& ctx) {
  for (std::size_t i = 1; i < ctx.inputs(); ++i)
    QTK_CHECK(ctx.in(i).type == ctx.in(0).type, ctx.node().label(), "operands are ",
              name(ctx.in(0).type), " and ", name(ctx.in(i).type));
}

/// Calls f with the format of input 0 where its elements are numbers one by one.
template <class Function>
[[nodiscard]] bound_node for_operands(const op_context& ctx, Function&& f) {
  expect_equal_types(ctx);
  return visit_format(ctx.in(0).type, [&]<class F>(F) -> bound_node {
    if constexpr (std::is_arithmetic_v<typename F::value_type> && !F::packed)
      return f(F{});
    else
      ctx.reject(cat("operands of ", name(F::id), " are not supported"));
  });
}

/// An operand, cut as the result y is along its first dimension of more than one.
class cut_operand {
 public:
  cut_operand(const shape& operand, const shape& y) : dims_(operand) {
    const std::size_t missing = y.rank() - operand.rank(), axis = axis_of(y);
    if (axis < missing || axis == y.rank() || operand[axis - missing] == 1) return;
    axis_ = axis - missing;
    step_ = operand.product(axis_ + 1, operand.rank());
  }
  /// The dimension of y that is cut; its rank where there is none.
  [[nodiscard]] static std::size_t axis_of(const shape& y) noexcept {
    std::size_t axis = 0;
    while (axis < y.rank() && y[axis] == 1) ++axis;
    return axis;
  }
  /// Of so many of y's indices.
  [[nodiscard]] shape dims(std::size_t count) const {
    shape part = dims_;
    if (step_ != 0) part[axis_] = count;
    return part;
  }
  [[nodiscard]] std::size_t offset(std::size_t begin) const noexcept { return begin * step_; }

 private:
  shape dims_;
  std::size_t axis_ = 0, step_ = 0;  // 0: read whole by each part
};

/// Add, Sub, Mul, Div, and Min, Max, Sum of any number of operands: from left to right.
template <binary_op Op>
bound_node bind_binary(const op_context& ctx) {
  QTK_CHECK(ctx.inputs() >= 1, ctx.node().label(), "has no operands");
  return for_operands(ctx, [&]<class F>(F) -> bound_node {
    using T = typename F::value_type;
    std::vector<shape> operands;
    shape y = ctx.dims(0);
    for (std::size_t i = 0; i < ctx.inputs(); ++i) {
      operands.push_back(ctx.dims(i));
      y = broadcast_shape(y, operands.back());
    }
    bound_node b{.outputs = {{F::id, y}}, .run = {}};
    if (operands.size() == 1) {
      b.alias = 0;
      return b;
    }
    if (operands.size() == 2) {
      const std::size_t axis = cut_operand::axis_of(y);
      const bool whole = axis == y.rank();
      b.run = [u = cut_operand(operands[0], y), v = cut_operand(operands[1], y),
               extent = whole ? 1 : y[axis], step = whole ? 1 : y.product(axis + 1, y.rank()),
               &k = find_elementwise(ctx.target())](const node_buffers& io) {
        in_parts(io.executor, extent, step * sizeof(T), [&](std::size_t begin, std::size_t end) {
          const std::size_t count = end - begin;
          binary<T>(Op, u.dims(count), io.in<T>(0) + u.offset(begin), v.dims(count),
                    io.in<T>(1) + v.offset(begin), io.out<T>() + begin * step, k);
        });
      };
      if (operands[0] == y)
        b.in_place = 0;
      else if (operands[1] == y)
        b.in_place = 1;
    } else {
      b.run = [operands, y, &k = find_elementwise(ctx.target())](const node_buffers& io) {
        T* const out = io.out<T>();
        // Operands may be wider than those before them: the first is spread over all of y.
        map_broadcast(
            y, out, [](T x) { return x; },
            std::array<strides, 1>{broadcast_strides(operands[0], y)}, io.in<T>(0));
        for (std::size_t i = 1; i < operands.size(); ++i)
          binary<T>(Op, y, out, operands[i], io.in<T>(i), out, k);
      };
    }
    count_work(b, ctx, static_cast<double>(operands.size() - 1));
    return b;
  });
}

/// The mean of floats.
inline bound_node bind_mean(const op_context& ctx) {
  bound_node b = bind_binary<binary_op::add>(ctx);
  const std::size_t n = b.outputs[0].dims.elements(), count = ctx.inputs();
  if (b.alias) return b;
  const bool wide = ctx.in(0).type == dtype::fp64;
  QTK_CHECK(wide || ctx.in(0).type == dtype::fp32, ctx.node().label(), "operands of ",
            name(ctx.in(0).type), " are not supported");
  b.in_place = std::nullopt;
  b.run = [n, count, wide, sum = std::move(b.run)](const node_buffers& io) {
    sum(io);
    for (std::size_t i = 0; i < n; ++i)
      if (wide)
        io.out<double>()[i] /= static_cast<double>(count);
      else
        io.out<float>()[i] /= static_cast<float>(count);
  };
  return b;
}

/// Equal, Less, ...: `Compare` is a function object of <functional>.
template <class Compare>
bound_node bind_compare(const op_context& ctx) {
  return for_operands(ctx, [&]<class F>(F) {
    using T = typename F::value_type;
    return map_pairs<T, boolean::value_type>(ctx, dtype::boolean, [](T a, T b) {
      return static_cast<boolean::value_type>(Compare{}(a, b));
    });
  });
}

/// And, Or, Xor of truth values.
template <class Function>
bound_node bind_logical(const op_context& ctx) {
  ctx.expect(0, dtype::boolean);
  ctx.expect(1, dtype::boolean);
  using T = boolean::value_type;
  return map_pairs<T, T>(ctx, dtype::boolean,
                         [](T a, T b) { return static_cast<T>(Function{}(a != 0, b != 0)); });
}

/// BitwiseAnd, BitwiseOr, BitwiseXor of integers.
template <class Function>
bound_node bind_bitwise(const op_context& ctx) {
  return for_operands(ctx, [&]<class F>(F) -> bound_node {
    using T = typename F::value_type;
    if constexpr (std::is_integral_v<T>)
      return map_pairs<T, T>(ctx, F::id, [](T a, T b) { return static_cast<T>(Function{}(a, b)); });
    else
      ctx.reject(cat("bits of ", name(F::id), " are not supported"));
  });
}

/// Shift of unsigned integers; by all of their bits or more leaves 0.
inline bound_node bind_bit_shift(const op_context& ctx) {
  const std::string direction = ctx.node().text("direction", "");
  QTK_CHECK(direction == "LEFT" || direction == "RIGHT", ctx.node().label(), "direction = '",
            direction, "'");
  return for_operands(ctx, [&]<class F>(F) -> bound_node {
    using T = typename F::value_type;
    if constexpr (std::is_unsigned_v<T>)
      return map_pairs<T, T>(ctx, F::id, [left = direction == "LEFT"](T a, T b) {
        if (b >= static_cast<T>(std::numeric_limits<T>::digits)) return T{0};
        return static_cast<T>(left ? a << b : a >> b);
      });
    else
      ctx.reject(cat("shifts of ", name(F::id), " are not supported"));
  });
}

/// Mod: integers have the sign of the divisor (fmod = 0) or of the dividend, floats that of the
/// dividend. Modulo 0 is 0 for integers.
inline bound_node bind_mod(const op_context& ctx) {
  const bool c_like = ctx.node().integer("fmod", 0) != 0;
  return for_operands(ctx, [&]<class F>(F) {
    using T = typename F::value_type;
    return map_pairs<T, T>(ctx, F::id, [c_like](T a, T b) {
      if constexpr (std::is_floating_point_v<T>) {
        const T r = std::fmod(a, b);
        return c_like || r == T{0} || (r < T{0}) == (b < T{0}) ? r : r + b;
      } else {
        if (b == T{0} || (std::is_signed_v<T> && b == static_cast<T>(-1))) return T{0};
        const T r = static_cast<T>(a % b);
        return static_cast<T>(c_like || r == T{0} || (r < T{0}) == (b < T{0}) ? r : r + b);
      }
    });
  });
}

namespace detail {

/// a to the power of b; integers wrap, and to a negative power give what truncates.
template <class T, class E>
[[nodiscard]] T power(T a, E b) noexcept {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(std::pow(a, static_cast<T>(b)));
  } else if constexpr (std::is_floating_point_v<E>) {
    const double r = std::pow(static_cast<double>(a), static_cast<double>(b));
    return r != r ? T{0}
                  : static_cast<T>(static_cast<std::int64_t>(std::clamp(r, -9.2e18, 9.2e18)));
  } else {
    if (b < E{0})
      return a == T{1} ? T{1} : a == static_cast<T>(-1) ? (b % 2 == 0 ? T{1} : a) : T{0};
    std::uint64_t result = 1, base = static_cast<std::uint64_t>(a);
    for (auto e = static_cast<std::uint64_t>(b); e != 0; e >>= 1, base *= base)
      if ((e & 1) != 0) result *= base;
    return static_cast<T>(result);
  }
}

}  // namespace detail

/// Pow: the exponent may be of another type; the result is of the base's.
inline bound_node bind_pow(const op_context& ctx) {
  const shape a = ctx.dims(0), b = ctx.dims(1), y = broadcast_shape(a, b);
  const auto s = std::array{broadcast_strides(a, y), broadcast_strides(b, y)};
  bound_node bound{.outputs = {{ctx.in(0).type, y}}, .run = {}};
  const any_tensor* e = ctx.constant(1);
  const tensor<fp32>* exponent = e != nullptr ? e->get_if<fp32>() : nullptr;
  if (ctx.in(0).type == dtype::fp32 && exponent != nullptr && exponent->elements() == 1 &&
      exponent->data()[0] == 2.0f && y == a) {
    bound.run = [n = y.elements(), &k = find_elementwise(ctx.target())](const node_buffers& io) {
      const float* x = io.in<float>(0);
      k.binary[static_cast<std::size_t>(binary_op::multiply)](n, x, x, io.out<float>());
    };
    bound.in_place = 0;
    count_work(bound, ctx, 1);
    return bound;
  }
  const auto number = []<class F>(F) {
    return std::is_arithmetic_v<typename F::value_type> && !F::packed;
  };
  visit_format(ctx.in(0).type, [&]<class Base>(Base) {
    visit_format(ctx.in(1).type, [&]<class Exponent>(Exponent) {
      if constexpr (number(Base{}) && number(Exponent{})) {
        using T = typename Base::value_type;
        using E = typename Exponent::value_type;
        bound.run = [y, s](const node_buffers& io) {
          map_broadcast(
              y, io.out<T>(), [](T u, E v) { return detail::power(u, v); }, s, io.in<T>(0),
              io.in<E>(1));
        };
      } else {
        ctx.reject(
            cat("powers of ", name(Base::id), " by ", name(Exponent::id), " are not supported"));
      }
    });
  });
  count_work(bound, ctx, 1);
  return bound;
}

/// x < 0 ? slope * x : x
inline bound_node bind_prelu(const op_context& ctx) {
  return for_operands(ctx, [&]<class F>(F) {
    using T = typename F::value_type;
    return map_pairs<T, T>(ctx, F::id,
                           [](T x, T slope) { return x < T{0} ? static_cast<T>(x * slope) : x; });
  });
}

/// y = condition ? a : b, of any type of whole bytes.
inline bound_node bind_where(const op_context& ctx) {
  ctx.expect(0, dtype::boolean);
  QTK_CHECK(ctx.in(1).type == ctx.in(2).type, ctx.node().label(), "operands are ",
            name(ctx.in(1).type), " and ", name(ctx.in(2).type));
  const shape y = broadcast_shape(broadcast_shape(ctx.dims(0), ctx.dims(1)), ctx.dims(2));
  const auto s = std::array{broadcast_strides(ctx.dims(0), y), broadcast_strides(ctx.dims(1), y),
                            broadcast_strides(ctx.dims(2), y)};
  bound_node b{.outputs = {{ctx.in(1).type, y}}, .run = {}};
  const auto select = [&]<class T>(T) {
    b.run = [y, s](const node_buffers& io) {
      map_broadcast(
          y, io.out<T>(), [](boolean::value_type c, T x, T z) { return c != 0 ? x : z; }, s,
          io.in<boolean::value_type>(0), io.in<T>(1), io.in<T>(2));
    };
  };
  switch (element_size(ctx, ctx.in(1).type)) {
    case 1:
      select(std::uint8_t{});
      break;
    case 2:
      select(std::uint16_t{});
      break;
    case 4:
      select(std::uint32_t{});
      break;
    default:
      select(std::uint64_t{});
  }
  count_work(b, ctx, 0);
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
