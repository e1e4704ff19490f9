#pragma once

#include <array>

#include "qtk/graph/ops/common.hpp"
#include "qtk/ops/broadcast.hpp"

namespace qtk::inline QTK_ABI::graph_ops {

/// What MatMul means by its operands' shapes (numpy's rule): a vector is a matrix of one row (left)
/// or one column (right), dimensions before the last two are batches that broadcast.
struct matmul_shapes {
  std::size_t M, N, K;
  shape y, batch;
  strides a_step, b_step;  // elements between the matrices of neighbors in `batch`

  matmul_shapes(const op_context& ctx, const shape& a, const shape& b) {
    const std::string where = ctx.node().label();
    QTK_CHECK(a.rank() >= 1 && b.rank() >= 1, where, a, " times ", b);
    const bool row = a.rank() == 1, column = b.rank() == 1;
    M = row ? 1 : a[a.rank() - 2];
    K = a.back();
    N = column ? 1 : b.back();
    QTK_CHECK((column ? b[0] : b[b.rank() - 2]) == K, where, a, " times ", b);
    const auto outer = [](const shape& s) {
      shape o;
      for (std::size_t d = 0; d + 2 < s.rank(); ++d) o.push_back(s[d]);
      return o;
    };
    const shape oa = outer(a), ob = outer(b);
    batch = broadcast_shape(oa, ob);
    a_step = broadcast_strides(oa, batch);
    b_step = broadcast_strides(ob, batch);
    for (std::size_t d = 0; d < batch.rank(); ++d) {
      a_step[d] *= static_cast<std::ptrdiff_t>(M * K);
      b_step[d] *= static_cast<std::ptrdiff_t>(K * N);
    }
    y = batch;
    if (!row) y.push_back(M);
    if (!column) y.push_back(N);
  }
  [[nodiscard]] std::size_t products() const { return batch.elements(); }
  /// Where the matrices of product i begin, in elements.
  [[nodiscard]] std::ptrdiff_t a_at(std::size_t i) const noexcept { return offset(i, a_step); }
  [[nodiscard]] std::ptrdiff_t b_at(std::size_t i) const noexcept { return offset(i, b_step); }

 private:
  [[nodiscard]] std::ptrdiff_t offset(std::size_t i, const strides& step) const noexcept {
    std::ptrdiff_t at = 0;
    for (std::size_t d = batch.rank(); d-- > 0; i /= batch[d])
      at += static_cast<std::ptrdiff_t>(i % batch[d]) * step[d];
    return at;
  }
};

}  // namespace qtk::inline QTK_ABI::graph_ops
