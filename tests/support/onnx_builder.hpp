#pragma once

#include <cstring>
#include <protozero/pbf_writer.hpp>
#include <qtk/io/onnx_proto.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// ONNX files made byte by byte, right ones and wrong ones alike: each function gives the bytes of
/// one message, to be put inside of another.
namespace qtk_test::onnx_file {

namespace proto = qtk::onnx::proto;
using bytes = std::string;

/// A message from a function that writes its fields.
template <class Function>
bytes message(const Function& write) {
  bytes out;
  protozero::pbf_writer writer(out);
  write(writer);
  return out;
}

/// One length-delimited field, to be added to another message.
inline bytes field(std::uint32_t number, const bytes& content) {
  return message([&](auto& m) { m.add_bytes(number, content); });
}
inline bytes number(std::uint32_t field_number, std::int64_t value) {
  return message([&](auto& m) { m.add_int64(field_number, value); });
}

template <class T>
bytes raw(std::initializer_list<T> values) {
  bytes out(values.size() * sizeof(T), '\0');
  std::memcpy(out.data(), values.begin(), out.size());
  return out;
}

/// The head of a TensorProto: name, type (DataType number), dims.
inline bytes tensor_head(const std::string& name, std::int64_t type,
                         const std::vector<std::int64_t>& dims) {
  return message([&](auto& m) {
    for (const std::int64_t d : dims) m.add_int64(proto::tensor::dims, d);
    m.add_int64(proto::tensor::data_type, type);
    m.add_string(proto::tensor::name, name);
  });
}
inline bytes tensor_proto(const std::string& name, std::int64_t type,
                          const std::vector<std::int64_t>& dims, const bytes& raw_data) {
  return tensor_head(name, type, dims) + field(proto::tensor::raw_data, raw_data);
}
/// fp32, all elements the same.
inline bytes weight_proto(const std::string& name, const std::vector<std::int64_t>& dims,
                          float value = 0.5f) {
  std::size_t n = 1;
  for (const std::int64_t d : dims) n *= static_cast<std::size_t>(d);
  bytes data;
  for (std::size_t i = 0; i < n; ++i) data += raw({value});
  return tensor_proto(name, 1, dims, data);
}

inline bytes node_proto(const std::string& op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs, const std::string& name = "",
                        const std::vector<bytes>& attributes = {}, const std::string& domain = "") {
  return message([&](auto& m) {
    for (const auto& v : inputs) m.add_string(proto::node::input, v);
    for (const auto& v : outputs) m.add_string(proto::node::output, v);
    if (!name.empty()) m.add_string(proto::node::name, name);
    m.add_string(proto::node::op_type, op);
    for (const auto& a : attributes) m.add_bytes(proto::node::attribute, a);
    if (!domain.empty()) m.add_string(proto::node::domain, domain);
  });
}

/// An attribute of kind `kind` whose value is `content`, a field made by message() or field().
inline bytes attribute_proto(const std::string& name, std::int64_t kind, const bytes& content) {
  return message([&](auto& m) {
           m.add_string(proto::attribute::name, name);
           if (kind != 0) m.add_int64(proto::attribute::type, kind);
         }) +
         content;
}

/// A graph input or output; a dimension below 0 is the symbol "N".
inline bytes value_proto(const std::string& name, std::int64_t type,
                         const std::vector<std::int64_t>& dims) {
  bytes all;
  for (const std::int64_t d : dims)
    all += field(proto::type::dim,
                 d < 0 ? field(proto::type::dim_param, "N") : number(proto::type::dim_value, d));
  const bytes tensor_type = number(proto::type::elem_type, type) + field(proto::type::shape, all);
  return field(proto::value_info::name, name) +
         field(proto::value_info::type, field(proto::type::tensor_type, tensor_type));
}

struct graph_proto {
  std::vector<bytes> nodes, weights, inputs, outputs;
  bytes rest = {};  // more fields

  [[nodiscard]] bytes encoded() const {
    return message([&](auto& m) {
             for (const auto& n : nodes) m.add_bytes(proto::graph::node, n);
             m.add_string(proto::graph::name, "g");
             for (const auto& w : weights) m.add_bytes(proto::graph::initializer, w);
             for (const auto& v : inputs) m.add_bytes(proto::graph::input, v);
             for (const auto& v : outputs) m.add_bytes(proto::graph::output, v);
           }) +
           rest;
  }
};

/// y = Relu(x), x [N, 3]: what tests change one thing of.
inline graph_proto relu_graph() {
  return {.nodes = {node_proto("Relu", {"x"}, {"y"}, "r")},
          .weights = {},
          .inputs = {value_proto("x", 1, {-1, 3})},
          .outputs = {value_proto("y", 1, {-1, 3})}};
}

/// A ModelProto; no opset_import where `opset` is 0.
inline bytes model_proto(const bytes& graph_bytes, std::int64_t opset = 13, std::int64_t ir = 8) {
  bytes out = number(proto::model::ir_version, ir) + field(proto::model::graph, graph_bytes);
  if (opset != 0) out += field(proto::model::opset_import, number(proto::opset::version, opset));
  return out;
}
inline bytes model_proto(const graph_proto& g, std::int64_t opset = 13, std::int64_t ir = 8) {
  return model_proto(g.encoded(), opset, ir);
}

inline std::span<const std::byte> span(const bytes& b) { return std::as_bytes(std::span(b)); }

}  // namespace qtk_test::onnx_file
