#pragma once

#include <algorithm>
#include <array>

#include "qtk/graph/ops/layers.hpp"

namespace qtk::inline QTK_ABI {

/// The operators that a session runs, sorted by (domain, name).
[[nodiscard]] inline std::span<const op_definition> all_ops() {
  using namespace graph_ops;
  static constexpr op_definition table[] = {
      {"Conv", qtk_domain, bind_conv},
      {"Linear", qtk_domain, bind_linear},
  };
  return table;
}

/// Null where no session runs it.
[[nodiscard]] inline const op_definition* find_op(std::string_view op, std::string_view domain) {
  for (const op_definition& d : all_ops())
    if (d.op == op && d.domain == domain) return &d;
  return nullptr;
}

}  // namespace qtk::inline QTK_ABI
