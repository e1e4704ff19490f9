#pragma once

#include <algorithm>
#include <map>
#include <utility>

#include "qtk/graph/passes/rewrite.hpp"
#include "qtk/ops/packed_weights.hpp"

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
  constexpr std::size_t block = 16;  // lines of both sides stay in the cache
  const tensor_view<F> to = out.view();
  for (std::size_t first = 0; first < cols; first += block)
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = first; c < std::min(first + block, cols); ++c) to.set(c, r, t.at(r, c));
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
[[nodiscard]] tensor<F> as_matrix(tensor<F> t) {
  const shape s = t.shape();
  if (s.rank() == 2) return t;
  const shape matrix{s[0], s.product(1, s.rank())};
  if (!F::packed && t.quantization().scales.empty()) {
    t.reshape(matrix);
    return t;
  }
  tensor<F> out(matrix);
  if constexpr (!F::packed) {
    std::copy_n(t.data(), t.elements(), out.data());
  } else {
    for (std::size_t r = 0; r < t.rows(); ++r)
      for (std::size_t c = 0; c < t.cols(); ++c) {
        const std::size_t i = r * t.cols() + c;
        out.view().set(i / matrix[1], i % matrix[1], t.at(r, c));
      }
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

namespace detail {

class layer_lowering {
 public:
  explicit layer_lowering(model m) : m_(std::move(m)), uses_(m_), names_(m_) {
    const auto made_for = m_.metadata.find("qtk.activations");
    dynamic_ = made_for != m_.metadata.end() && made_for->second == "int8";
  }

  model run() && {
    for (const node& n : m_.nodes) {
      if (!takes_weights(n) || n.inputs.size() < 2 || n.outputs.size() != 1 || !lower(n))
        out_.push_back(n);
    }
    m_.nodes = std::move(out_);
    return std::move(m_);
  }

 private:
  /// Pushes what stands for `n`; false where it is no layer.
  bool lower(const node& n) {
    const any_tensor* w = m_.find_weight(n.inputs[1]);
    // Integers and doubles are multiplied as they are.
    if (w != nullptr && !w->visit([]<class F>(const tensor<F>&) { return weight_format<F>; }))
      return false;
    if (n.op == "Conv") return convolution(n);
    if (w == nullptr || w->shape().rank() != 2) return false;
    if (n.op == "Gemm") return gemm(n);
    layer(n, n.inputs[1], true).op = "Linear";
    return true;
  }

  bool convolution(const node& n) {
    if (const any_tensor* w = m_.find_weight(n.inputs[1])) {
      const shape s = w->shape();
      if (s.rank() == 3) return convolution_1d(n, s[2]);
      if (s.rank() != 4) return false;
      set_kernel_shape(layer(n, n.inputs[1], false), s[2], s[3]);
      return true;
    }
    // A matrix stored under the shape (O, I / group, kh, kw).
    const auto maker = uses_.maker(n.inputs[1]);
    if (!maker || !m_.nodes[*maker].is("Reshape") || m_.nodes[*maker].inputs.size() != 2)
      return false;
    const node& reshape = m_.nodes[*maker];
    const any_tensor* w = m_.find_weight(reshape.inputs[0]);
    const any_tensor* to = m_.find_weight(reshape.inputs[1]);
    if (w == nullptr || w->shape().rank() != 2 || to == nullptr || !to->is<int64>()) return false;
    const auto dims = to->as<int64>().span();
    if (dims.size() != 4 || std::any_of(dims.begin(), dims.end(), [](auto d) { return d <= 0; }))
      return false;
    const shape s{static_cast<std::size_t>(dims[0]), static_cast<std::size_t>(dims[1]),
                  static_cast<std::size_t>(dims[2]), static_cast<std::size_t>(dims[3])};
    if (s[0] != w->shape()[0] || s.product(1, 4) != w->shape()[1]) return false;
    set_kernel_shape(layer(n, reshape.inputs[0], false), s[2], s[3]);
    return true;
  }

  /// As one of height 1: the input gets a dimension that the output loses.
  bool convolution_1d(const node& n, std::size_t kernel) {
    const auto given = n.integers("kernel_shape");
    QTK_CHECK(given.empty() || given == std::vector{static_cast<std::int64_t>(kernel)}, n.label(),
              "kernel_shape differs from weights of ", kernel);
    const std::string flat = names_.fresh(n.outputs[0] + ":rows_in"),
                      made = names_.fresh(n.outputs[0] + ":rows");
    with_axis("Unsqueeze", n, n.inputs[0], flat);
    node& conv = layer(n, n.inputs[1], false);
    conv.inputs[0] = flat;
    conv.outputs[0] = made;
    conv.attributes.erase("kernel_shape");
    set_kernel_shape(conv, 1, kernel);
    for (const char* key : {"strides", "dilations"})
      if (auto v = n.integers(key); v.size() == 1) {
        v.insert(v.begin(), 1);
        conv.attributes.insert_or_assign(key, std::move(v));
      }
    if (const auto p = n.integers("pads"); p.size() == 2)
      conv.attributes.insert_or_assign("pads", std::vector<std::int64_t>{0, p[0], 0, p[1]});
    with_axis("Squeeze", n, made, n.outputs[0]);
    return true;
  }
  void with_axis(std::string op, const node& n, const std::string& x, const std::string& y) {
    push(std::move(op), n.name, {x}, y);
    if (m_.opset() < 13) {
      out_.back().attributes.emplace("axes", std::vector<std::int64_t>{2});
      return;
    }
    const std::string axes = names_.fresh(y + ":axes");
    m_.set_weight(axes, tensor<int64>({1}, {2}));
    out_.back().inputs.push_back(axes);
  }

  /// y = alpha * x * w + beta * c. A c of (N) or (1, N) is the bias; any other is added behind the
  /// layer, scaled where beta isn't 1.
  bool gemm(const node& n) {
    const float alpha = n.number("alpha", 1.0f), beta = n.number("beta", 1.0f);
    const bool turn = n.integer("transB", 0) == 0;
    const any_tensor& w = *m_.find_weight(n.inputs[1]);
    if (n.integer("transA", 0) != 0 || (alpha != 1.0f && !w.is<fp32>())) return false;
    std::string source = n.inputs[1];
    if (alpha != 1.0f) {
      tensor<fp32> scaled = w.as<fp32>();
      for (float& v : scaled.span()) v *= alpha;
      source = names_.fresh(source + ":alpha");
      m_.set_weight(source, std::move(scaled));
    }
    const std::size_t N = w.shape()[turn ? 1 : 0];
    const std::string c = n.has_input(2) && beta != 0.0f ? n.inputs[2] : "";
    const any_tensor* bias = m_.find_weight(c);
    const bool plain = bias != nullptr && beta == 1.0f && bias->is<fp32>() &&
                       bias->shape().elements() == N && bias->shape().cols() == N &&
                       bias->shape().rank() <= 2;
    node& linear = layer(n, source, turn);
    linear.op = "Linear";
    linear.inputs.resize(plain ? 3 : 2);
    for (const char* key : {"alpha", "beta", "transA", "transB"}) linear.attributes.erase(key);
    if (plain || c.empty()) return true;
    const std::string product = linear.outputs[0] = names_.fresh(n.outputs[0] + ":product");
    std::string term = c;
    if (beta != 1.0f) {
      const std::string factor = names_.fresh(n.outputs[0] + ":beta");
      m_.set_weight(factor, tensor<fp32>({}, {beta}));
      term = names_.fresh(n.outputs[0] + ":scaled");
      push("Mul", n.name, {c, factor}, term);
    }
    push("Add", n.name, {product, term}, n.outputs[0]);
    return true;
  }

  /// The layer for `n` with the matrix of weight `source`, turned where that is (K, N).
  node& layer(const node& n, const std::string& source, bool turn) {
    const any_tensor& w = *m_.find_weight(source);
    const bool integer =
        dynamic_ && w.visit([]<class F>(const tensor<F>&) { return F::quantized; });
    auto [at, first] = matrices_.try_emplace({source, turn});
    if (first) {
      const auto reader = uses_.only_reader(source);
      any_tensor matrix =
          reader && &m_.nodes[*reader] == &n ? m_.take_weight(source) : *m_.find_weight(source);
      matrix.visit([&](auto& t) { t = turn ? transposed(t) : as_matrix(std::move(t)); });
      at->second = names_.fresh(source + (turn ? ":nk" : ":matrix"));
      m_.set_weight(at->second, std::move(matrix));
    }
    node& made = out_.emplace_back(n);
    made.domain = qtk_domain;
    made.inputs[1] = at->second;
    if (integer) made.attributes.insert_or_assign("compute", std::string("int8"));
    return made;
  }

  void push(std::string op, const std::string& name, std::vector<std::string> inputs,
            std::string output) {
    node& n = out_.emplace_back();
    n.op = std::move(op);
    n.name = name;
    n.inputs = std::move(inputs);
    n.outputs = {std::move(output)};
  }

  model m_;
  value_uses uses_;
  value_names names_;
  bool dynamic_ = false;
  std::vector<node> out_;
  std::map<std::pair<std::string, bool>, std::string> matrices_;  // (weight, turned) -> its matrix
};

}  // namespace detail

/// Turns Conv, Gemm and MatMul with constant weights into layers: qtk.Conv with the weights as the
/// matrix (O, I / group * kh * kw), qtk.Linear with the weights as (N, K). What a layer cannot say
/// (a Gemm with transA, a 3-D Conv) stays as it is.
inline model lower_layers(model m) { return detail::layer_lowering(std::move(m)).run(); }

}  // namespace qtk::inline QTK_ABI::passes
