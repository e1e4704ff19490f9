#pragma once

#include <type_traits>

#include "qtk/kernels/elementwise.hpp"
#include "qtk/ops/strided.hpp"

namespace qtk::inline QTK_ABI {

/// One element; integers wrap, an integer divided by zero is zero.
template <class T>
[[nodiscard]] constexpr T apply(binary_op op, T a, T b) noexcept {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    const auto x = static_cast<U>(a), y = static_cast<U>(b);
    switch (op) {
      case binary_op::add:
        return static_cast<T>(x + y);
      case binary_op::subtract:
        return static_cast<T>(x - y);
      case binary_op::multiply:
        return static_cast<T>(x * y);
      case binary_op::divide:
        return b == 0 ? T{0} : b == T(-1) ? static_cast<T>(U{0} - x) : static_cast<T>(a / b);
      default:
        break;
    }
  } else {
    switch (op) {
      case binary_op::add:
        return a + b;
      case binary_op::subtract:
        return a - b;
      case binary_op::multiply:
        return a * b;
      case binary_op::divide:
        return a / b;
      default:
        break;
    }
  }
  if (op == binary_op::minimum) return b < a || b != b ? b : a;
  return b > a || b != b ? b : a;
}

/// y = a op b under broadcasting; y has the shape broadcast_shape(a, b). y may be a or b where that
/// operand has y's shape.
template <class T>
void binary(binary_op op, const shape& a_shape, const T* a, const shape& b_shape, const T* b, T* y,
            const elementwise_kernels& kernels) {
  const shape dims = broadcast_shape(a_shape, b_shape);
  if (dims.elements() == 0) return;
  const std::size_t which = static_cast<std::size_t>(op);
  if constexpr (std::is_same_v<T, float>) {
    if (a_shape == b_shape) return kernels.binary[which](dims.elements(), a, b, y);
    if (b_shape.elements() == 1 && a_shape == dims)
      return kernels.binary_scalar[which](dims.elements(), a, *b, y);
    const bool turns = op == binary_op::add || op == binary_op::multiply;
    if (turns && a_shape.elements() == 1 && b_shape == dims)
      return kernels.binary_scalar[which](dims.elements(), b, *a, y);
  }
  const strides from_a = broadcast_strides(a_shape, dims),
                from_b = broadcast_strides(b_shape, dims);
  const std::size_t n = dims.cols(), last = dims.rank() - 1;
  for_each_row(dims, from_a, from_b, [&](std::ptrdiff_t ia, std::ptrdiff_t ib) {
    const T *pa = a + ia, *pb = b + ib;
    if constexpr (std::is_same_v<T, float>) {
      if (from_a[last] == 1 && from_b[last] == 1)
        kernels.binary[which](n, pa, pb, y);
      else if (from_a[last] == 1)
        kernels.binary_scalar[which](n, pa, *pb, y);
      else
        for (std::size_t i = 0; i < n; ++i) y[i] = apply(op, *pa, pb[i * (from_b[last] != 0)]);
    } else {
      for (std::size_t i = 0; i < n; ++i)
        y[i] = apply(op, pa[i * (from_a[last] != 0)], pb[i * (from_b[last] != 0)]);
    }
    y += n;
  });
}

}  // namespace qtk::inline QTK_ABI
