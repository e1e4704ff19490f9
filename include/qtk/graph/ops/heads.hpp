#pragma once

#include <algorithm>

#include "qtk/graph/ops/common.hpp"

namespace qtk::inline QTK_ABI::graph_ops {

/// Where the rows of head h of batch b lie in a tensor (B, H, L, d), or (B, L, H * d).
struct head_layout {
  std::size_t batch = 0, heads = 0, length = 0, width = 0;
  bool packed = false;  // (B, L, H * d)

  head_layout() = default;
  head_layout(const op_context& ctx, std::size_t input, std::int64_t given_heads) {
    const shape& s = ctx.dims(input);
    const std::string where = ctx.node().label();
    packed = s.rank() == 3;
    QTK_CHECK(packed || s.rank() == 4, where, "input ", input, " is ", s);
    batch = s[0];
    if (packed) {
      QTK_CHECK(given_heads > 0 && s[2] % static_cast<std::size_t>(given_heads) == 0, where,
                "input ", input, " ", s, " of ", given_heads, " heads");
      heads = static_cast<std::size_t>(given_heads);
      length = s[1];
      width = s[2] / heads;
    } else {
      heads = s[1];
      length = s[2];
      width = s[3];
    }
  }
  [[nodiscard]] std::size_t row(std::size_t b, std::size_t h, std::size_t i) const noexcept {
    return packed ? ((b * length + i) * heads + h) * width : ((b * heads + h) * length + i) * width;
  }
  /// `count` rows from `begin` on, next to each other.
  void gather(const float* from, std::size_t b, std::size_t h, std::size_t begin, std::size_t count,
              float* to) const {
    for (std::size_t i = begin; i < begin + count; ++i, to += width)
      std::copy_n(from + row(b, h, i), width, to);
  }
};

}  // namespace qtk::inline QTK_ABI::graph_ops
