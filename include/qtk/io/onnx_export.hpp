#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "qtk/graph/onnx_types.hpp"
#include "qtk/graph/passes/lower.hpp"
#include "qtk/io/onnx_opset.hpp"
#include "qtk/io/onnx_proto.hpp"

/// From qtk's layers back to the operators of ONNX.
namespace qtk::inline QTK_ABI::onnx {

namespace detail {

/// How DequantizeLinear names the blocks of a matrix: one scale for all, one for each index of an
/// axis (a list), or one for each `block_size` elements along an axis.
struct dequantize_layout {
  enum class kind : std::uint8_t { scalar, axis, blocked } what = kind::scalar;
  std::int64_t axis = 0, block_size = 0;
};

[[nodiscard]] inline dequantize_layout layout_of(const shape& block, const shape& s,
                                                 const std::string& where) {
  using kind = dequantize_layout::kind;
  const bool all[2] = {block[0] >= s[0], block[1] >= s[1]}, one[2] = {block[0] == 1, block[1] == 1};
  if (all[0] && all[1]) return {};
  for (std::size_t d = 0; d < 2; ++d)
    if (one[d] && all[1 - d]) return {kind::axis, static_cast<std::int64_t>(d), 0};
  for (std::size_t d = 0; d < 2; ++d)
    if (one[1 - d])
      return {kind::blocked, static_cast<std::int64_t>(d), static_cast<std::int64_t>(block[d])};
  fail(cat("ONNX has no scales in blocks of ", block, " for weights ", s), where);
}

/// The zero points of F under shape s.
template <storage_format F>
[[nodiscard]] any_tensor zero_points(const quantization& q, const shape& s,
                                     const std::string& where) {
  tensor<F> t(s);
  for (std::size_t i = 0; i < q.zero_points.size(); ++i) {
    QTK_CHECK(q.zero_points[i] >= F::code_min && q.zero_points[i] <= F::code_max, where,
              "zero point ", q.zero_points[i], " isn't of ", name(F::id));
    t.view().set(i / t.cols(), i % t.cols(), static_cast<typename F::value_type>(q.zero_points[i]));
  }
  return t;
}

/// The elements of a matrix under the shape of a convolution, without its quantization.
template <storage_format F>
[[nodiscard]] tensor<F> with_shape(const tensor<F>& t, const shape& s) {
  tensor<F> out(s);
  for (std::size_t r = 0, i = 0; r < t.rows(); ++r)
    for (std::size_t c = 0; c < t.cols(); ++c, ++i)
      out.view().set(i / s.cols(), i % s.cols(), t.at(r, c));
  return out;
}

class exporter {
 public:
  explicit exporter(const model& m)
      : from_(m), out_(m), opset_(std::max<std::int64_t>(1, m.opset())) {
    out_.nodes.clear();
    out_.opsets.erase(std::string(qtk_domain));
    out_.opsets[""] = opset_;
  }

  [[nodiscard]] model run() {
    drop_layer_weights();
    // Raised before layers are expanded: what expansion makes is of the set that it asks for.
    out_.nodes = from_.nodes;
    out_ = raise_opset(std::move(out_), needed_opset());
    opset_ = out_.opset();
    names_.emplace(out_);
    std::vector<node> nodes = std::move(out_.nodes);
    out_.nodes.clear();
    for (const node& n : nodes) {
      if (passes::is_layer(n))
        expand(n);
      else
        keep(n);
    }
    write_activations();
    // Some runtimes want node names to differ.
    passes::value_names names;
    for (node& n : out_.nodes) n.name = names.fresh(n.name);
    return std::move(out_);
  }

 private:
  using kind = dequantize_layout::kind;

  const any_tensor& weights_of(const node& n) const {
    const any_tensor* w = n.has_input(1) ? from_.find_weight(n.inputs[1]) : nullptr;
    QTK_CHECK(w != nullptr && w->shape().rank() == 2, n.label(), "weights must be a matrix");
    return *w;
  }
  static const quantization& quantization_of(const any_tensor& w) {
    return *w.visit([](const auto& t) { return &t.quantization(); });
  }
  static bool grouped(const node& n, const any_tensor& w) {
    const quantization& q = quantization_of(w);
    return !q.scales.empty() && layout_of(q.block, w.shape(), n.label()).what == kind::blocked;
  }

  /// Weights that only layers read come back in the form that ONNX takes.
  void drop_layer_weights() {
    std::set<std::string> layers, others;
    for (const node& n : from_.nodes)
      for (std::size_t i = 0; i < n.inputs.size(); ++i)
        (passes::is_layer(n) && i == 1 ? layers : others).insert(n.inputs[i]);
    for (const value_info& v : from_.outputs) others.insert(v.name);
    for (const std::string& w : layers)
      if (!others.contains(w)) out_.weights.erase(w);
    for (const auto& [name, w] : out_.weights)
      QTK_CHECK(quantization_of(*w).scales.empty(), cat("weight '", name, "'"),
                "has scales, but no layer reads it");
  }

  /// 7: Add and Gemm broadcast as they do now; 13: bfloat16, scales along an axis; 21: 4 bits,
  /// scales in blocks.
  [[nodiscard]] std::int64_t needed_opset() const {
    std::int64_t needed = 1;
    const auto at_least = [&](std::int64_t v) { needed = std::max(needed, v); };
    for (const node& n : from_.nodes) {
      if (!passes::is_layer(n)) continue;
      const any_tensor& w = weights_of(n);
      at_least(7);
      if (w.is<bf16>()) at_least(13);
      if (!quantization_of(w).scales.empty()) at_least(13);
      if (grouped(n, w)) at_least(21);
    }
    for (const auto& [name, w] : from_.weights)
      if (w->is<int4>() || w->is<uint4>()) at_least(21);
    return needed;
  }

  void keep(const node& n) {
    QTK_CHECK(n.domain != qtk_domain, n.label(), "has no form in ONNX");
    out_.nodes.push_back(n);
  }

  node& add(std::string op, std::vector<std::string> inputs, std::string output) {
    node n;
    n.op = std::move(op);
    n.name = output;
    n.inputs = std::move(inputs);
    n.outputs = {std::move(output)};
    out_.nodes.push_back(std::move(n));
    return out_.nodes.back();
  }

  std::string add_weight(const std::string& base, any_tensor t) {
    std::string name = names_->fresh(base);
    out_.set_weight(name, std::move(t));
    return name;
  }

  void expand(const node& n) {
    const std::string act = n.text("activation", ""), &y = n.outputs[0];
    const bool linear = n.op == "Linear", bias = n.has_input(2), residual = n.has_input(3);
    // The nodes that follow, so that the last one makes y.
    int left = (linear && bias) + residual + !act.empty();
    const auto output = [&](const char* part) { return left-- == 0 ? y : names_->fresh(y + part); };
    std::string value;
    const std::string x = input(n, 0, "x");
    const std::string r = residual ? input(n, 3, "r") : std::string();
    if (linear) {
      const std::string w = weights(n, {});
      value = output(":product");
      add("MatMul", {x, w}, value).name = n.name;
      if (bias) value = add("Add", {value, n.inputs[2]}, output(":sum")).outputs[0];
    } else {
      const std::string w = weights(n, conv_shape(n));
      value = output(":conv");
      node& conv = add("Conv", {x, w}, value);
      conv.name = n.name;
      if (bias) conv.inputs.push_back(n.inputs[2]);
      conv.attributes = n.attributes;
      for (const char* key : {"activation", "alpha", "lo", "hi", "compute", "x_scale",
                              "x_zero_point", "r_scale", "r_zero_point"})
        conv.attributes.erase(key);
    }
    if (residual) value = add("Add", {value, r}, output(":residual")).outputs[0];
    if (!act.empty()) activation(n, act, value);
  }

  /// What the layer multiplies, or adds: input i, behind QuantizeLinear and DequantizeLinear where
  /// its codes are fixed, by attributes `of` it. Layers that quantize a value alike share them.
  std::string input(const node& n, std::size_t i, const std::string& of) {
    const std::string& x = n.inputs[i];
    const float scale = n.number(of + "_scale", 0.0f);
    if (scale == 0.0f) return x;
    const auto zero = static_cast<std::uint8_t>(n.integer(of + "_zero_point", 0));
    auto [at, first] = quantized_.try_emplace({x, scale, zero});
    if (!first) return at->second;
    const std::string s = add_weight(x + ":x_scale", tensor<fp32>({}, {scale}));
    const std::string z = add_weight(x + ":x_zero_point", tensor<uint8>({}, {zero}));
    const std::string codes = names_->fresh(x + ":x_codes");
    at->second = names_->fresh(x + ":x_real");
    add("QuantizeLinear", {x, s, z}, codes);
    add("DequantizeLinear", {codes, s, z}, at->second);
    return at->second;
  }

  void activation(const node& n, const std::string& act, const std::string& x) {
    const std::string& y = n.outputs[0];
    if (act == "relu") {
      add("Relu", {x}, y);
    } else if (act == "leaky_relu") {
      add("LeakyRelu", {x}, y).attributes.emplace("alpha", n.number("alpha", 0.01f));
    } else {
      QTK_CHECK(act == "clip", n.label(), "unknown activation '", act, "'");
      const float lo = n.number("lo", 0.0f), hi = n.number("hi", 6.0f);
      if (opset_ < 11) {
        node& clip = add("Clip", {x}, y);
        clip.attributes = {{"min", lo}, {"max", hi}};
      } else {
        const std::string min = add_weight(y + ":min", tensor<fp32>({}, {lo})),
                          max = add_weight(y + ":max", tensor<fp32>({}, {hi}));
        add("Clip", {x, min, max}, y);
      }
    }
  }

  /// (O, I / group, kh, kw) of a convolution whose weights are the matrix (O, I / group * kh * kw).
  [[nodiscard]] shape conv_shape(const node& n) const {
    const shape& s = weights_of(n).shape();
    const auto kernel = n.integers("kernel_shape");
    QTK_CHECK(kernel.size() == 2 && kernel[0] > 0 && kernel[1] > 0, n.label(),
              "has no kernel_shape");
    const auto kh = static_cast<std::size_t>(kernel[0]), kw = static_cast<std::size_t>(kernel[1]);
    const std::size_t area = checked_mul(kh, kw);
    QTK_CHECK(s[1] % area == 0, n.label(), "kernel ", kh, " x ", kw, " for weights ", s);
    return {s[0], s[1] / area, kh, kw};
  }

  /// Codes, DequantizeLinear, and a Reshape where scales in blocks want a convolution's weights to
  /// be a matrix.
  template <class F>
  std::string dequantized(const node& n, const tensor<F>& t, const shape& conv,
                          const std::string& base) {
    const tensor<F> turned = conv.empty() ? passes::transposed(t) : tensor<F>();
    const tensor<F>& matrix = conv.empty() ? turned : t;
    const quantization& q = matrix.quantization();
    const dequantize_layout layout = layout_of(q.block, matrix.shape(), n.label());
    const bool reshaped = !conv.empty() && layout.what == kind::blocked;
    shape grid;  // of the scales, as DequantizeLinear wants them
    if (layout.what == kind::axis) grid.push_back(q.scales.size());
    if (layout.what == kind::blocked) grid = block_grid(matrix.shape(), q.block).grid();
    QTK_CHECK(reshaped || conv.empty() || layout.what == kind::scalar || layout.axis == 0,
              n.label(), "ONNX has no scales for the columns of a convolution's weights");

    const std::string real = names_->fresh(base);
    tensor<fp32> scales(grid);
    std::copy(q.scales.begin(), q.scales.end(), scales.data());
    std::vector<std::string> inputs{
        add_weight(base + ":codes",
                   with_shape(matrix, conv.empty() || reshaped ? matrix.shape() : conv)),
        add_weight(base + ":scale", std::move(scales))};
    if (!q.symmetric())
      inputs.push_back(add_weight(base + ":zero_point", zero_points<F>(q, grid, n.label())));
    const std::string plain = reshaped ? names_->fresh(base + ":real") : real;
    node& dequantize = add("DequantizeLinear", std::move(inputs), plain);
    if (layout.what != kind::scalar) dequantize.attributes.emplace("axis", layout.axis);
    if (layout.what == kind::blocked)
      dequantize.attributes.emplace("block_size", layout.block_size);
    if (reshaped) {
      tensor<int64> dims({conv.rank()});
      for (std::size_t d = 0; d < conv.rank(); ++d)
        dims.data()[d] = static_cast<std::int64_t>(conv[d]);
      const std::string to = add_weight(base + ":shape", std::move(dims));
      add("Reshape", {plain, to}, real);
    }
    return real;
  }

  /// Name of the fp32 value that holds the weights of a layer: (K, N) for MatMul where `conv` is
  /// empty, else of that shape. Layers that share weights share it.
  std::string weights(const node& n, const shape& conv) {
    const any_tensor& w = weights_of(n);
    const auto key = std::pair(n.inputs[1], to_string(conv));
    if (const auto it = made_.find(key); it != made_.end()) return it->second;
    const std::string base = original_name(n.inputs[1]);
    std::string value = w.visit([&]<class F>(const tensor<F>& t) -> std::string {
      if constexpr (F::quantized) {
        if (!t.quantization().scales.empty()) return dequantized(n, t, conv, base);
      }
      any_tensor stored = conv.empty() ? passes::transposed(t) : with_shape(t, conv);
      if constexpr (std::same_as<F, fp32>) {
        return add_weight(base, std::move(stored));
      } else {
        QTK_CHECK((std::same_as<F, fp16> || std::same_as<F, bf16>), n.label(), "weights of ",
                  name(F::id), " without scales");
        const std::string real = names_->fresh(base);
        const std::string half = add_weight(cat(base, ":", name(F::id)), std::move(stored));
        add("Cast", {half}, real).attributes.emplace("to", onnx_type(dtype::fp32));
        return real;
      }
    });
    made_.emplace(key, value);
    return value;
  }

  /// Without what passes appended, so that names don't grow from file to file.
  static std::string original_name(std::string name) {
    for (bool again = true; again;) {
      again = false;
      for (const std::string_view suffix : {":matrix", ":nk", ":stored", ":real"})
        if (name.size() > suffix.size() && name.ends_with(suffix)) {
          name.resize(name.size() - suffix.size());
          again = true;
        }
    }
    return name;
  }

  /// Which layers quantize their activations at run time is one word about the whole model; those
  /// of fixed scales say so by QuantizeLinear.
  void write_activations() {
    const node* dynamic = nullptr;
    const node* real = nullptr;
    for (const node& n : from_.nodes) {
      if (!passes::is_layer(n) || quantization_of(weights_of(n)).scales.empty()) continue;
      if (n.attributes.contains("x_scale")) continue;
      (n.text("compute", "") == "int8" ? dynamic : real) = &n;
    }
    QTK_CHECK(dynamic == nullptr || real == nullptr, real == nullptr ? "" : real->label(),
              "quantizes no activations, other layers do: a file cannot tell them apart");
    if (dynamic != nullptr)
      out_.metadata.insert_or_assign("qtk.activations", "int8");
    else
      out_.metadata.erase("qtk.activations");
  }

  const model& from_;
  model out_;
  std::optional<passes::value_names> names_;  // once the set is raised
  std::int64_t opset_;
  std::map<std::pair<std::string, std::string>, std::string> made_;
  std::map<std::tuple<std::string, float, std::uint8_t>, std::string> quantized_;
};

}  // namespace detail

/// The same model in operators of ONNX alone, as passes::lower_layers and fold_stored_formats read
/// them back:
///   qtk.Linear   MatMul (weights turned to (K, N)), Add of the bias
///   qtk.Conv     Conv
///   both         Add of the residual; Relu, LeakyRelu or Clip
///   input        behind QuantizeLinear, DequantizeLinear of uint8 where its scale is fixed
///   weights      fp32; fp16, bf16: behind Cast; 8 and 4 bits: behind DequantizeLinear, per tensor,
///                per axis or in blocks
/// The operator set is raised where these need a newer one: 13 for scales along an axis, 21 for 4
/// bits and blocks. qtk::error names the node that ONNX cannot say or that cannot be raised.
[[nodiscard]] inline model to_standard(const model& m) { return detail::exporter(m).run(); }

}  // namespace qtk::inline QTK_ABI::onnx
