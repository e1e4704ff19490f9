#pragma once

#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <protozero/pbf_writer.hpp>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qtk/core/file.hpp"
#include "qtk/graph/onnx_types.hpp"
#include "qtk/io/onnx_export.hpp"
#include "qtk/io/onnx_proto.hpp"

/// Writing a ModelProto.
namespace qtk::inline QTK_ABI::onnx {

namespace detail {

/// Elements as raw_data has them: packed elements run on over the ends of rows.
[[nodiscard]] inline std::string raw_data(const any_tensor& t) {
  return t.visit([]<class F>(const tensor<F>& typed) {
    const auto bytes = std::as_bytes(typed.span());
    if constexpr (F::packed) {
      if (typed.cols() % F::per_unit != 0) {
        std::string codes(ceil_div(typed.elements(), F::per_unit), '\0');
        auto* const to = reinterpret_cast<std::uint8_t*>(codes.data());
        std::size_t i = 0;
        for (std::size_t r = 0; r < typed.rows(); ++r)
          for (std::size_t c = 0; c < typed.cols(); ++c)
            packed_bits::store<F::bits>(to, i++, F::to_bits(typed.at(r, c)));
        return codes;
      }
    }
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  });
}

inline void write_tensor(protozero::pbf_writer out, const std::string& name, const any_tensor& t) {
  for (const std::size_t d : t.shape())
    out.add_int64(proto::tensor::dims, static_cast<std::int64_t>(d));
  out.add_int32(proto::tensor::data_type, static_cast<std::int32_t>(onnx_type(t.dtype())));
  if (!name.empty()) out.add_string(proto::tensor::name, name);
  out.add_bytes(proto::tensor::raw_data, raw_data(t));
}

inline void write_graph(protozero::pbf_writer out, const model& m);

/// The body of `n` as a file has it: values of the graph around it are no inputs, and go by the
/// names that they have there now.
[[nodiscard]] inline model reopened(const subgraph& s, const node& n) {
  model body = s.body;
  const std::size_t formal = body.inputs.size() - s.captured.size();
  std::map<std::string, std::string> now;
  std::set<std::string_view> around;
  for (std::size_t i = 0; i < s.captured.size(); ++i) {
    now.emplace(body.inputs[formal + i].name, captured_value(s, n, i));
    around.insert(captured_value(s, n, i));
  }
  body.inputs.resize(formal);
  const auto rename = [&](std::string& value) {
    if (const auto it = now.find(value); it != now.end()) value = it->second;
  };
  for (node& inner : body.nodes) {
    for (std::string& v : inner.inputs) rename(v);
    for (const std::string& v : inner.outputs)
      QTK_CHECK(!around.contains(v), n.label(), "value '", v, "' of its body hides one around it");
  }
  for (value_info& v : body.outputs) rename(v.name);
  return body;
}

inline void write_attribute(protozero::pbf_writer out, const std::string& name, const attribute& a,
                            const node& n) {
  namespace field = proto::attribute;
  struct writer {
    protozero::pbf_writer& out;
    const node& n;
    std::int32_t operator()(std::int64_t v) const {
      return out.add_int64(field::i, v), field::kind_int;
    }
    std::int32_t operator()(float v) const { return out.add_float(field::f, v), field::kind_float; }
    std::int32_t operator()(const std::string& v) const {
      return out.add_bytes(field::s, v), field::kind_string;
    }
    std::int32_t operator()(const std::vector<std::int64_t>& v) const {
      for (const std::int64_t i : v) out.add_int64(field::ints, i);
      return field::kind_ints;
    }
    std::int32_t operator()(const std::vector<float>& v) const {
      for (const float f : v) out.add_float(field::floats, f);
      return field::kind_floats;
    }
    std::int32_t operator()(const std::vector<std::string>& v) const {
      for (const std::string& s : v) out.add_bytes(field::strings, s);
      return field::kind_strings;
    }
    std::int32_t operator()(const any_tensor& v) const {
      write_tensor(protozero::pbf_writer(out, field::t), "", v);
      return field::kind_tensor;
    }
    std::int32_t operator()(const std::shared_ptr<const subgraph>& v) const {
      write_graph(protozero::pbf_writer(out, field::g), reopened(*v, n));
      return field::kind_graph;
    }
  };
  out.add_string(field::name, name);
  out.add_enum(field::type, std::visit(writer{out, n}, a));
}

inline void write_node(protozero::pbf_writer out, const node& n) {
  for (std::size_t i = 0; i + n.captures < n.inputs.size(); ++i)
    out.add_string(proto::node::input, n.inputs[i]);
  for (const std::string& v : n.outputs) out.add_string(proto::node::output, v);
  out.add_string(proto::node::name, n.name);
  out.add_string(proto::node::op_type, n.op);
  for (const auto& [name, a] : n.attributes)
    write_attribute(protozero::pbf_writer(out, proto::node::attribute), name, a, n);
  if (!n.domain.empty()) out.add_string(proto::node::domain, n.domain);
}

inline void write_value(protozero::pbf_writer out, const value_info& v) {
  out.add_string(proto::value_info::name, v.name);
  if (v.untyped) return;
  protozero::pbf_writer type(out, proto::value_info::type);
  protozero::pbf_writer tensor(type, proto::type::tensor_type);
  tensor.add_int32(proto::type::elem_type, static_cast<std::int32_t>(onnx_type(v.type)));
  if (v.dims.empty()) return;  // of unknown rank
  protozero::pbf_writer shape(tensor, proto::type::shape);
  for (const dimension& d : v.dims) {
    protozero::pbf_writer dim(shape, proto::type::dim);
    if (d.size)
      dim.add_int64(proto::type::dim_value, static_cast<std::int64_t>(*d.size));
    else if (!d.symbol.empty())
      dim.add_string(proto::type::dim_param, d.symbol);
  }
}

inline void write_graph(protozero::pbf_writer out, const model& m) {
  for (const node& n : m.nodes) write_node(protozero::pbf_writer(out, proto::graph::node), n);
  out.add_string(proto::graph::name, m.name.empty() ? "model" : m.name);  // must not be empty
  for (const auto& [name, w] : m.weights)
    write_tensor(protozero::pbf_writer(out, proto::graph::initializer), name, *w);
  for (const value_info& v : m.inputs)
    write_value(protozero::pbf_writer(out, proto::graph::input), v);
  for (const value_info& v : m.outputs)
    write_value(protozero::pbf_writer(out, proto::graph::output), v);
}

}  // namespace detail

/// The model as an ONNX file in memory, see to_standard. Equal models give equal bytes: everything
/// is written in the order of nodes and names, and no time, path or version of qtk. qtk::error
/// where it would not fit the 2 GiB of a protobuf message.
[[nodiscard]] inline std::vector<std::byte> serialize(const model& m) {
  const model standard = to_standard(m);
  QTK_CHECK(weight_bytes(standard) < std::numeric_limits<std::int32_t>::max(), "model",
            weight_bytes(standard), " bytes of weights are more than an ONNX file holds");
  std::string bytes;
  bytes.reserve(weight_bytes(standard) + (std::size_t{1} << 16));
  protozero::pbf_writer out(bytes);
  out.add_int64(proto::model::ir_version, ir_version_for(standard.opset()));
  out.add_string(proto::model::producer_name,
                 standard.producer.empty() ? "qtk" : standard.producer);
  detail::write_graph(protozero::pbf_writer(out, proto::model::graph), standard);
  for (const auto& [domain, version] : standard.opsets) {
    protozero::pbf_writer opset(out, proto::model::opset_import);
    opset.add_string(proto::opset::domain, domain);
    opset.add_int64(proto::opset::version, version);
  }
  for (const auto& [key, value] : standard.metadata) {
    protozero::pbf_writer entry(out, proto::model::metadata_props);
    entry.add_string(proto::entry::key, key);
    entry.add_string(proto::entry::value, value);
  }
  const auto written = std::as_bytes(std::span(bytes));
  return {written.begin(), written.end()};
}

/// Writes the model to an ONNX file that any runtime of ONNX loads: to a temporary name first, then
/// renamed. qtk::error as serialize, and where the file cannot be written; then nothing is.
inline void save(const model& m, const std::string& path) {
  write_file_atomically(path, serialize(m));
}

}  // namespace qtk::inline QTK_ABI::onnx
