#pragma once

#include <array>
#include <cstddef>

#include "qtk/ops/strided.hpp"

/// Functions of several operands under the broadcasting rule (numpy's, as in ONNX).
namespace qtk::inline QTK_ABI {

/// Calls f(offsets) for each row (all dimensions but the last) of `dims`, in order: where that row
/// begins in each of N operands, in elements.
template <std::size_t N, class Function>
void for_each_row(const shape& dims, const std::array<strides, N>& operands, Function&& f) {
  if (dims.elements() == 0) return;
  const std::size_t outer = dims.rank() == 0 ? 0 : dims.rank() - 1;
  std::array<std::size_t, shape::max_rank> at{};
  std::array<std::ptrdiff_t, N> offset{};
  for (;;) {
    f(offset);
    std::size_t d = outer;
    for (; d-- > 0;) {
      const bool carry = ++at[d] == dims[d];
      for (std::size_t i = 0; i < N; ++i)
        offset[i] +=
            carry ? -static_cast<std::ptrdiff_t>(dims[d] - 1) * operands[i][d] : operands[i][d];
      if (!carry) break;
      at[d] = 0;
    }
    if (d == static_cast<std::size_t>(-1)) return;
  }
}

/// y[i] = f(a[i], b[i], ...) for every index i of `dims`, row-major; the operands by their strides
/// as broadcast_strides gives them. y may be an operand that has the shape `dims`.
template <class Out, class Function, class... In>
void map_broadcast(const shape& dims, Out* y, Function&& f,
                   const std::array<strides, sizeof...(In)>& operands, const In*... in) {
  const std::size_t n = dims.cols(), last = dims.rank() == 0 ? 0 : dims.rank() - 1;
  for_each_row(dims, operands, [&](const std::array<std::ptrdiff_t, sizeof...(In)>& offset) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      for (std::size_t i = 0; i < n; ++i) {
        const auto k = static_cast<std::ptrdiff_t>(i);
        y[i] = f(in[offset[I] + k * (n == 1 ? 0 : operands[I][last])]...);
      }
    }
    (std::index_sequence_for<In...>{});
    y += n;
  });
}

}  // namespace qtk::inline QTK_ABI
