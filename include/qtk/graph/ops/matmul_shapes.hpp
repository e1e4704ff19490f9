#pragma once

#include <array>
#include <vector>

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
    // Their offsets are kept, also where the matrices are empty.
    QTK_CHECK(batch.elements() <= (std::size_t{1} << 26), where, batch.elements(),
              " products are not supported");
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
  /// Where the matrices of each product begin, in elements.
  [[nodiscard]] std::vector<std::array<std::ptrdiff_t, 2>> offsets() const {
    std::vector<std::array<std::ptrdiff_t, 2>> all;
    shape rows = batch;
    rows.push_back(1);
    std::array<strides, 2> steps{a_step, b_step};
    for_each_row(rows, steps, [&](const std::array<std::ptrdiff_t, 2>& at) { all.push_back(at); });
    return all;
  }
};

}  // namespace qtk::inline QTK_ABI::graph_ops
