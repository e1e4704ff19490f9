#pragma once

#include <cstddef>

#include "qtk/core/tensor.hpp"
#include "qtk/graph/op.hpp"

namespace qtk::inline QTK_ABI {

/// y[i] = x[i] in another format, as C++ converts: floats go to integers by truncation, out of
/// range saturates, NaN becomes 0; integers wrap. Not for formats that pack several elements into a
/// byte.
QTK_GRAPH_FUNCTION void convert_elements(dtype from, const std::byte* x, dtype to, std::byte* y,
                                         std::size_t count);

/// The tensor in another format.
[[nodiscard]] inline any_tensor converted(const any_tensor& x, dtype to) {
  any_tensor y(to, x.shape());
  convert_elements(x.dtype(), x.data(), to, y.data(), x.shape().elements());
  return y;
}

}  // namespace qtk::inline QTK_ABI

#if !defined(QTK_EXTERN_GRAPH)
#  include "qtk/graph/ops/elementwise.hpp"  // the definition
#endif
