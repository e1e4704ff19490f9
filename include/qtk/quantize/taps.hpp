#pragma once

#include <cstddef>
#include <type_traits>

#include "qtk/core/tensor.hpp"

namespace qtk::inline QTK_ABI::detail {

/// How the weights of a layer, (N, K) or filters (O, I / groups, kh, kw), meet its inputs.
struct layer_shape {
  std::size_t outputs, inputs, groups;

  /// qtk::error where `groups` does not divide the outputs.
  layer_shape(const shape& s, std::size_t groups_, std::string_view where)
      : outputs(s.rank() == 0 ? 0 : s[0]), inputs(0), groups(groups_) {
    QTK_CHECK(s.rank() >= 2 && groups > 0 && outputs % groups == 0, where, groups, " groups of ",
              s);
    inputs = checked_mul(s[1], groups, where);
  }
};

/// Calls body(o, i, taps) for the weights between output o and input channel i, run by run; all of
/// them and none twice. A run is one weight of a matrix, one row of a filter.
template <class F, class Body>
void for_taps(tensor_view<F> w, const layer_shape& layer, const Body& body) {
  const shape& s = w.shape();
  const auto input = [&](std::size_t o, std::size_t i) {
    return o / (layer.outputs / layer.groups) * s[1] + i;
  };
  using element = std::remove_pointer_t<decltype(w.row(0))>;
  if (s.rank() == 2) {
    for (std::size_t o = 0; o < s[0]; ++o)
      for (std::size_t i = 0; i < s[1]; ++i)
        body(o, input(o, i), std::span<element>(w.row(o) + i, 1));
    return;
  }
  const std::size_t height = s.product(2, s.rank() - 1);
  for (std::size_t r = 0; r < w.rows(); ++r) {
    const std::size_t o = r / (s[1] * height), i = r / height % s[1];
    body(o, input(o, i), std::span<element>(w.row(r), w.cols()));
  }
}

}  // namespace qtk::inline QTK_ABI::detail
