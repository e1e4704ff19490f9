#pragma once

#include <cstddef>

#include "qtk/core/tensor.hpp"
#include "qtk/graph/op.hpp"

namespace qtk::inline QTK_ABI {

/// How small floats round: what is too large saturates, or becomes infinity or NaN; powers of two.
struct cast_rules {
  bool saturate = true;
  e8m0::rounding powers = e8m0::rounding::up;
};

/// y[i] = x[i] in another format, elements of tensors of shape s, as C++ converts: floats go to
/// integers by truncation, out of range saturates, NaN becomes 0; integers wrap, and so does all
/// that goes to integers of less than 8 bits.
QTK_GRAPH_FUNCTION void convert_elements(dtype from, const std::byte* x, dtype to, std::byte* y,
                                         const shape& s, const cast_rules& rules = {});

/// The same of `count` elements in one row.
inline void convert_elements(dtype from, const std::byte* x, dtype to, std::byte* y,
                             std::size_t count) {
  convert_elements(from, x, to, y, shape{count});
}

/// The tensor in another format.
[[nodiscard]] inline any_tensor converted(const any_tensor& x, dtype to) {
  any_tensor y(to, x.shape());
  convert_elements(x.dtype(), x.data(), to, y.data(), x.shape());
  return y;
}

}  // namespace qtk::inline QTK_ABI

#if !defined(QTK_EXTERN_GRAPH)
#  include "qtk/graph/ops/elementwise.hpp"  // the definition
#endif
