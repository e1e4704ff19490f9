#pragma once

#include <map>
#include <utility>

#include "qtk/graph/passes/rewrite.hpp"

namespace qtk::inline QTK_ABI::passes {

/// Writes the kernel's size where the node leaves it to the weights; qtk::error where the two
/// differ.
inline void set_kernel_shape(node& n, std::size_t kh, std::size_t kw) {
  const std::vector<std::int64_t> from_weights{static_cast<std::int64_t>(kh),
                                               static_cast<std::int64_t>(kw)};
  const auto given = n.integers("kernel_shape");
  QTK_CHECK(given.empty() || given == from_weights, n.label(),
            "kernel_shape differs from weights of ", kh, " x ", kw);
  n.attributes.insert_or_assign("kernel_shape", from_weights);
}

/// Elements of a (rows, cols) matrix in another order: (cols, rows).
template <storage_format F>
[[nodiscard]] tensor<F> transposed(const tensor<F>& t) {
  const std::size_t rows = t.shape()[0], cols = t.shape()[1];
  tensor<F> out({cols, rows});
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) out.view().set(c, r, t.at(r, c));
  if (!t.quantization().scales.empty()) {
    const quantization& q = t.quantization();
    const std::size_t grid_rows = ceil_div(rows, q.block[0]),
                      grid_cols = ceil_div(cols, q.block[1]);
    quantization turned{.block = {q.block[1], q.block[0]}, .scales = {}, .zero_points = {}};
    for (std::size_t c = 0; c < grid_cols; ++c)
      for (std::size_t r = 0; r < grid_rows; ++r) {
        turned.scales.push_back(q.scales[r * grid_cols + c]);
        if (!q.symmetric()) turned.zero_points.push_back(q.zero_points[r * grid_cols + c]);
      }
    out.set_quantization(std::move(turned));
  }
  return out;
}

/// The same elements as the matrix (first dimension, all others): convolution weights.
template <storage_format F>
[[nodiscard]] tensor<F> as_matrix(const tensor<F>& t) {
  const shape& s = t.shape();
  if (s.rank() == 2) return t;
  const shape matrix{s[0], s.product(1, s.rank())};
  tensor<F> out(matrix);
  for (std::size_t r = 0; r < t.rows(); ++r)
    for (std::size_t c = 0; c < t.cols(); ++c) {
      const std::size_t i = r * t.cols() + c;
      out.view().set(i / matrix[1], i % matrix[1], t.at(r, c));
    }
  if (!t.quantization().scales.empty()) {
    quantization q = t.quantization();
    // One scale for all, or one for each output channel: a block of whole channels stays one.
    for (std::size_t d = 1; d < s.rank(); ++d)
      QTK_CHECK(q.block[d] == s[d], "weights", "scales of block ", q.block,
                " for a convolution of ", s);
    q.block = {q.block[0], matrix[1]};
    out.set_quantization(std::move(q));
  }
  return out;
}

/// Turns Conv, Gemm and MatMul with constant weights into layers: qtk.Conv with the weights as the
/// matrix (O, I / group * kh * kw), qtk.Linear with the weights as (N, K). What a layer cannot say
/// (a Gemm with alpha, a 1-D or 3-D Conv) stays as it is.
inline model lower_layers(model m) {
  const auto made_for = m.metadata.find("qtk.activations");
  const bool dynamic = made_for != m.metadata.end() && made_for->second == "int8";
  std::map<std::pair<std::string, bool>, std::string> lowered;  // (weight, turned) -> its matrix
  const value_uses uses(m);
  for (node& n : m.nodes) {
    if (!n.domain.empty() || n.inputs.size() < 2) continue;
    std::string source = n.inputs[1];
    if (const auto maker = uses.maker(source);
        maker && m.nodes[*maker].is("Reshape") && !m.nodes[*maker].inputs.empty())
      source = m.nodes[*maker].inputs[0];  // a matrix stored under the shape of a convolution
    const any_tensor* w = m.find_weight(source);
    if (w == nullptr) continue;
    const shape& s = w->shape();
    bool turn = false;
    if (n.op == "Conv" && s.rank() == 4 && source == n.inputs[1]) {
      set_kernel_shape(n, s[2], s[3]);
    } else if (n.op == "Conv" && s.rank() == 2 && source != n.inputs[1] &&
               n.integers("kernel_shape").size() == 2) {
      // Already the matrix.
    } else if (n.op == "MatMul" && s.rank() == 2 && source == n.inputs[1]) {
      turn = true;
      n.op = "Linear";
    } else if (n.op == "Gemm" && s.rank() == 2 && source == n.inputs[1] &&
               n.integer("transA", 0) == 0 && n.number("alpha", 1.0f) == 1.0f &&
               n.number("beta", 1.0f) == 1.0f) {
      turn = n.integer("transB", 0) == 0;
      const any_tensor* bias = n.has_input(2) ? m.find_weight(n.inputs[2]) : nullptr;
      if (n.has_input(2) && (bias == nullptr || bias->shape().elements() != s[turn ? 1 : 0]))
        continue;
      n.op = "Linear";
      for (const char* key : {"alpha", "beta", "transA", "transB"}) n.attributes.erase(key);
    } else {
      continue;
    }
    n.domain = qtk_domain;
    if (dynamic && w->visit([]<class F>(const tensor<F>&) { return F::quantized; }))
      n.attributes.insert_or_assign("compute", std::string("int8"));
    auto [at, first] = lowered.try_emplace({source, turn});
    if (first) {
      any_tensor matrix;
      w->visit([&](const auto& t) { matrix = turn ? any_tensor(transposed(t)) : as_matrix(t); });
      at->second = fresh_name(m, source + (turn ? ":nk" : ":matrix"));
      m.set_weight(at->second, std::move(matrix));
    }
    n.inputs[1] = at->second;
  }
  return m;
}

}  // namespace qtk::inline QTK_ABI::passes
