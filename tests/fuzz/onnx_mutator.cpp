#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <qtk/onnx.hpp>
#include <random>

/// Mutates models instead of bytes: flipped bytes rarely get past the reader, a graph with a wrong
/// axis does. Linked into the fuzzer only.

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

class mutator {
 public:
  explicit mutator(unsigned seed) : random_(seed) {}

  void mutate(qtk::model& m) {
    for (std::size_t times = 1 + below(3); times > 0; --times) {
      const std::size_t what = below(8);
      if (what == 0) m.opsets[""] = static_cast<std::int64_t>(1 + below(22));
      if (what == 1 && !m.inputs.empty())
        if (auto& dims = pick(m.inputs).dims; !dims.empty()) pick(dims).size = dimension();
      if (what == 2 && !m.weights.empty()) change_weight(m);
      if (what == 3 && m.nodes.size() < 50) add_node(m);
      if (what > 3 && !m.nodes.empty()) change(m, pick(m.nodes));
    }
  }

 private:
  std::size_t below(std::size_t n) { return n == 0 ? 0 : random_() % n; }
  template <class T>
  T& pick(std::vector<T>& v) {
    return v[below(v.size())];
  }
  std::size_t dimension() {
    constexpr std::size_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 16, 33};
    return sizes[below(std::size(sizes))];
  }
  std::int64_t integer() {
    constexpr std::int64_t values[] = {-9223372036854775807 - 1,
                                       -1000000,
                                       -4,
                                       -3,
                                       -2,
                                       -1,
                                       0,
                                       1,
                                       2,
                                       3,
                                       4,
                                       5,
                                       8,
                                       16,
                                       1000,
                                       1 << 20,
                                       std::int64_t{1} << 40,
                                       9223372036854775807};
    return values[below(10) == 0 ? below(std::size(values)) : 3 + below(9)];
  }
  float number() {
    constexpr float values[] = {0.0f,
                                1.0f,
                                -1.0f,
                                0.5f,
                                1e30f,
                                -1e-30f,
                                std::numeric_limits<float>::quiet_NaN(),
                                std::numeric_limits<float>::infinity()};
    return values[below(std::size(values))];
  }

  qtk::any_tensor tensor() {
    qtk::shape s;
    for (std::size_t rank = below(5); rank > 0; --rank) s.push_back(dimension());
    const auto type = static_cast<qtk::dtype>(below(3) == 0 ? below(11) : below(2) * 8);
    qtk::any_tensor t(type, s);
    t.visit([&]<class F>(qtk::tensor<F>& typed) {
      for (auto& v : typed.span()) {
        if constexpr (std::is_floating_point_v<typename F::storage_type>)
          v = number();
        else if constexpr (std::is_integral_v<typename F::storage_type>)
          v = static_cast<typename F::storage_type>(integer());
      }
    });
    return t;
  }
  void change_weight(qtk::model& m) {
    auto it = m.weights.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(below(m.weights.size())));
    const std::string name = it->first;
    if (below(8) == 0) {
      m.set_weight(name, qtk::any_tensor(it->second->dtype(), qtk::shape{0}));
    } else if (below(2) == 0) {
      m.set_weight(name, tensor());
    } else if (const auto* ints = it->second->get_if<qtk::int64>()) {
      qtk::tensor<qtk::int64> copy = *ints;
      const auto all = copy.span();
      if (!all.empty())  // anything, or what stands elsewhere: an axis twice
        all[below(all.size())] = below(2) == 0 ? integer() : all[below(all.size())];
      m.set_weight(name, std::move(copy));
    }
  }

  std::string value(const qtk::model& m) {
    std::vector<std::string> names{""};
    for (const auto& in : m.inputs) names.push_back(in.name);
    for (const auto& [name, w] : m.weights) names.push_back(name);
    for (const auto& n : m.nodes) names.insert(names.end(), n.outputs.begin(), n.outputs.end());
    return names[below(names.size())];
  }
  std::string op() {
    constexpr const char* others[] = {"Conv", "Gemm", "MatMul", "DequantizeLinear", "Conv", "Gemm"};
    const auto ops = qtk::all_ops();
    const std::size_t i = below(ops.size() + std::size(others));
    return i < ops.size() ? std::string(ops[i]->op) : others[i - ops.size()];
  }
  void add_node(qtk::model& m) {
    qtk::node n;
    n.op = op();
    for (std::size_t i = 1 + below(3); i > 0; --i) n.inputs.push_back(value(m));
    n.outputs = {qtk::cat("added", m.nodes.size(), "_", below(1000))};
    std::vector<std::string>* readers = m.nodes.empty() ? nullptr : &pick(m.nodes).inputs;
    if (readers != nullptr && !readers->empty())
      pick(*readers) = n.outputs[0];
    else if (!m.outputs.empty())
      m.outputs[0].name = n.outputs[0];
    m.nodes.push_back(std::move(n));
  }
  void change(qtk::model& m, qtk::node& n) {
    switch (below(8)) {
      case 0:
        n.op = op();
        break;
      case 1:
        if (!n.inputs.empty()) pick(n.inputs) = value(m);
        break;
      case 2:
        n.inputs.push_back(value(m));
        break;
      case 3:
        if (!n.inputs.empty()) n.inputs.pop_back();
        break;
      case 4:
        if (below(4) == 0) n.inputs.clear();
        break;
      default:
        change_attribute(n);
    }
  }
  void change_attribute(qtk::node& n) {
    constexpr const char* lists[] = {"kernel_shape", "strides", "pads", "dilations",  "perm",
                                     "axes",         "starts",  "ends", "value_ints", "shape"};
    constexpr const char* integers[] = {
        "axis",       "group",     "keepdims",  "to",
        "transA",     "transB",    "ceil_mode", "count_include_pad",
        "block_size", "allowzero", "value_int", "select_last_index",
        "blocksize",  "size",      "k",         "hidden_size",
        "onesided",   "inverse",   "antialias", "sampling_ratio",
        "upper",      "largest",   "sorted",    "num_scan_inputs",
        "layout",     "exclusive", "num_heads", "linear_before_reset"};
    constexpr const char* numbers[] = {"alpha", "beta",  "epsilon",    "min",
                                       "max",   "value", "value_float"};
    constexpr const char* texts[] = {"auto_pad", "mode", "direction", "equation", "reduction"};
    constexpr const char* words[] = {
        "SAME_UPPER",    "SAME_LOWER", "VALID",     "NOTSET", "",        "nearest", "linear",
        "cubic",         "reflect",    "wrap",      "edge",   "reverse", "add",     "mul",
        "bidirectional", "ij,jk->ik",  "...i->...", "ii->i",  "CRD"};
    const std::size_t what = below(10);
    if (what < 4) {
      std::vector<std::int64_t> v(below(6));
      for (auto& i : v) i = below(4) == 0 ? v[0] : integer();
      n.attributes.insert_or_assign(lists[below(std::size(lists))], v);
    } else if (what < 7) {
      n.attributes.insert_or_assign(integers[below(std::size(integers))], integer());
    } else if (what < 8) {
      n.attributes.insert_or_assign(numbers[below(std::size(numbers))], number());
    } else if (what < 9) {
      n.attributes.insert_or_assign(texts[below(std::size(texts))],
                                    std::string(words[below(std::size(words))]));
    } else if (!n.attributes.empty()) {
      n.attributes.erase(n.attributes.begin());
    } else {
      n.attributes.insert_or_assign("value", tensor());
    }
  }

  std::mt19937 random_;
};

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  if (seed % 8 != 0) try {
      qtk::model m = qtk::onnx::parse(std::as_bytes(std::span(data, size)));
      mutator(seed).mutate(m);
      const auto bytes = qtk::onnx::serialize(m);
      if (bytes.size() <= max_size) {
        std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::byte*>(data));
        return bytes.size();
      }
    } catch (const qtk::error&) {
    }
  return LLVMFuzzerMutate(data, size, max_size);
}
