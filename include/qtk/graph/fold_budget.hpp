#pragma once

#include "qtk/graph/op.hpp"

namespace qtk::inline QTK_ABI {

/// What constant folding may take, in all: few bytes of a hostile file can ask for a constant of
/// terabytes (Expand) or for hours of products. What exceeds it stays a step, and counts towards
/// the arena and its limit.
class fold_budget {
 public:
  /// What any model may have, and more in proportion to its weights.
  explicit fold_budget(const model& m)
      : bytes_((std::size_t{64} << 20) + 4 * weight_bytes(m)),
        flops_(2e9 + 16 * static_cast<double>(weight_bytes(m))) {}

  [[nodiscard]] bool allows(const bound_node& b) const {
    return asked_by(b) <= bytes_ && b.flops <= flops_;
  }
  /// Whether the node may have its share, and has it now.
  [[nodiscard]] bool take(const bound_node& b) {
    if (!allows(b)) return false;
    bytes_ -= asked_by(b);
    flops_ -= b.flops;
    return true;
  }

 private:
  [[nodiscard]] static std::size_t asked_by(const bound_node& b) {
    std::size_t asked = b.workspace_bytes;
    for (const value_type& t : b.outputs) asked = checked_add(asked, size_bytes(t));
    return asked;
  }

  std::size_t bytes_;
  double flops_;
};

}  // namespace qtk::inline QTK_ABI
