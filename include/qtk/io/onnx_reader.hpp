#pragma once

#include <filesystem>
#include <map>
#include <new>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "qtk/graph/model.hpp"
#include "qtk/graph/onnx_types.hpp"
#include "qtk/io/onnx_tensor.hpp"

/// Reading a ModelProto: protobuf fields in, qtk::model out.
namespace qtk::inline QTK_ABI::onnx {

namespace detail {

/// The operators with a subgraph. A session runs none of them, but a file that holds one may be
/// looked at.
[[nodiscard]] inline bool has_subgraph(std::string_view op) noexcept {
  return op == "If" || op == "Loop" || op == "Scan" || op == "SequenceMap";
}

class model_reader {
 public:
  model_reader(const limits& limit, std::filesystem::path folder)
      : limit_(limit), external_(std::move(folder), limit) {}

  [[nodiscard]] model read(std::span<const std::byte> bytes) {
    QTK_CHECK(!bytes.empty(), "", "the file is empty");
    proto_reader message(bytes);
    std::int64_t ir_version = 0;
    bool graph = false;
    while (message.next()) switch (message.field()) {
        case proto::model::ir_version:
          ir_version = message.integer();
          break;
        case proto::model::producer_name:
          m_.producer = name_of(message);
          break;
        case proto::model::graph:
          QTK_CHECK(!std::exchange(graph, true), message.where(), "a second graph");
          read_graph(message.message("graph"));
          break;
        case proto::model::opset_import:
          read_opset(message.message("opset_import"));
          break;
        case proto::model::metadata_props:
          read_metadata(message.message("metadata_props"));
          break;
        case proto::model::functions:
          fail("functions of the model's own are not supported", message.where());
        default:
          message.skip();
      }
    QTK_CHECK(ir_version > 0 && graph, "", "not an ONNX model: it has no ",
              graph ? "IR version" : "graph");
    // Before IR version 3 there was one operator set, and files did not name it.
    QTK_CHECK(ir_version < 3 || !m_.opsets.empty(), "", "the model names no operator set");
    finish();
    return std::move(m_);
  }

 private:
  std::string name_of(proto_reader& message) {
    return std::string(checked_name(message.bytes(), limit_, message.where()));
  }
  /// "ai.onnx" is the empty domain under its full name.
  std::string domain_of(proto_reader& message) {
    std::string domain = name_of(message);
    return domain == "ai.onnx" ? "" : domain;
  }

  void read_opset(proto_reader message) {
    std::string domain;
    std::int64_t version = 0;
    while (message.next()) switch (message.field()) {
        case proto::opset::domain:
          domain = domain_of(message);
          break;
        case proto::opset::version:
          version = message.integer();
          break;
        default:
          message.skip();
      }
    QTK_CHECK(version > 0, message.where(), "operator set '", domain, "' of version ", version);
    m_.opsets[domain] = version;
  }

  void read_metadata(proto_reader message) {
    std::string key, value;
    while (message.next()) switch (message.field()) {
        case proto::entry::key:
          key = message.bytes();
          break;
        case proto::entry::value:
          value = message.bytes();
          break;
        default:
          message.skip();
      }
    m_.metadata[key] = std::move(value);
  }

  void read_graph(proto_reader message) {
    std::size_t inputs = 0, outputs = 0, initializers = 0;
    while (message.next()) switch (message.field()) {
        case proto::graph::name:
          m_.name = name_of(message);
          break;
        case proto::graph::node:
          QTK_CHECK(m_.nodes.size() < limit_.max_nodes, message.where(), "more than ",
                    limit_.max_nodes, " nodes");
          m_.nodes.push_back(read_node(message.message("node", m_.nodes.size())));
          break;
        case proto::graph::initializer: {
          const proto_reader tensor = message.message("initializer", initializers++);
          named_tensor t = read_tensor(tensor, tensor.where(), external_, limit_);
          QTK_CHECK(!t.name.empty(), tensor.where(), "a weight without a name");
          QTK_CHECK(m_.find_weight(t.name) == nullptr, cat("tensor '", t.name, "'"),
                    "is defined twice");
          m_.set_weight(std::move(t.name), std::move(t.value));
          break;
        }
        case proto::graph::sparse_initializer:
          fail("sparse weights are not supported", message.where());
        case proto::graph::input:
          inputs_.push_back(read_value(message.message("input", inputs++)));
          break;
        case proto::graph::output:
          outputs_.push_back(read_value(message.message("output", outputs++)));
          break;
        default:
          message.skip();
      }
  }

  node read_node(proto_reader message) {
    node n;
    std::vector<proto_reader> attributes;  // read last: their errors name the node
    while (message.next()) switch (message.field()) {
        case proto::node::input:
          n.inputs.push_back(name_of(message));
          break;
        case proto::node::output:
          n.outputs.push_back(name_of(message));
          break;
        case proto::node::name:
          n.name = name_of(message);
          break;
        case proto::node::op_type:
          n.op = name_of(message);
          break;
        case proto::node::domain:
          n.domain = domain_of(message);
          break;
        case proto::node::attribute:
          attributes.push_back(message.message("attribute", attributes.size()));
          break;
        default:
          message.skip();
      }
    QTK_CHECK(!n.op.empty(), message.where(), "a node without an operator");
    // What such a node may say is checked by the passes that make it, not when it runs.
    QTK_CHECK(n.domain != qtk_domain, n.label(), "domain '", qtk_domain, "' is internal");
    QTK_CHECK(!n.outputs.empty(), n.label(), "has no outputs");
    if (n.name.empty())
      for (const std::string& out : n.outputs)
        if (n.name.empty()) n.name = out;
    for (const proto_reader& a : attributes) read_attribute(a, n);
    return n;
  }

  void read_attribute(proto_reader message, node& n) {
    namespace field = proto::attribute;
    std::string name, text;
    std::int64_t kind = field::undefined, integer = 0;
    float number = 0;
    std::vector<std::int64_t> integers;
    std::vector<float> numbers;
    std::vector<std::string> texts;
    any_tensor tensor;
    std::int64_t seen = field::undefined;  // files of IR version 1 don't give the kind
    while (message.next()) switch (message.field()) {
        case field::name:
          name = name_of(message);
          break;
        case field::type:
          kind = message.integer();
          break;
        case field::f:
          number = message.number();
          seen = field::kind_float;
          break;
        case field::i:
          integer = message.integer();
          seen = field::kind_int;
          break;
        case field::s:
          text = message.bytes();
          seen = field::kind_string;
          break;
        case field::t:
          tensor = read_tensor(message.message("t"), cat(n.label(), ": attribute '", name, "'"),
                               external_, limit_)
                       .value;
          seen = field::kind_tensor;
          break;
        case field::g:
        case field::graphs:
          seen = field::kind_graph;
          message.skip();
          break;
        case field::floats:
          message.each<float>([&](float v) { numbers.push_back(v); });
          seen = field::kind_floats;
          break;
        case field::ints:
          message.each<std::int64_t>([&](std::int64_t v) { integers.push_back(v); });
          seen = field::kind_ints;
          break;
        case field::strings:
          texts.emplace_back(message.bytes());
          seen = field::kind_strings;
          break;
        default:
          message.skip();
      }
    QTK_CHECK(!name.empty(), message.where(), "an attribute without a name");
    QTK_CHECK(!n.attributes.contains(name), n.label(), "attribute '", name, "' is given twice");
    const auto set = [&](attribute a) { n.attributes.emplace(name, std::move(a)); };
    switch (kind != field::undefined ? kind : seen) {
      case field::kind_float:
        return set(number);
      case field::kind_int:
        return set(integer);
      case field::kind_string:
        return set(std::move(text));
      case field::kind_tensor:
        return set(std::move(tensor));
      case field::kind_floats:
        return set(std::move(numbers));
      case field::kind_ints:
        return set(std::move(integers));
      case field::kind_strings:
        return set(std::move(texts));
      case field::kind_graph:
        if (has_subgraph(n.op)) return;
        [[fallthrough]];
      default:
        fail(cat("attribute '", name, "' has a kind that is not supported"), n.label());
    }
  }

  struct typed_value {
    value_info info;
    std::int64_t type = 0;  // TensorProto.DataType
  };

  typed_value read_value(proto_reader message) {
    typed_value v;
    while (message.next()) switch (message.field()) {
        case proto::value_info::name:
          v.info.name = name_of(message);
          break;
        case proto::value_info::type: {
          proto_reader type = message.message("type");
          while (type.next()) {
            QTK_CHECK(
                type.field() == proto::type::tensor_type || type.field() == proto::type::denotation,
                type.where(), "not a tensor");
            if (type.field() == proto::type::tensor_type)
              read_type(type.message("tensor_type"), v);
            else
              type.skip();
          }
          break;
        }
        default:
          message.skip();
      }
    QTK_CHECK(!v.info.name.empty(), message.where(), "a graph input or output without a name");
    return v;
  }

  void read_type(proto_reader message, typed_value& v) {
    while (message.next()) {
      if (message.field() == proto::type::elem_type) {
        v.type = message.integer();
        v.info.type = from_onnx_type(v.type).value_or(dtype::fp32);
      } else if (message.field() == proto::type::shape) {
        proto_reader dims = message.message("shape");
        while (dims.next()) {
          if (dims.field() != proto::type::dim) {
            dims.skip();
            continue;
          }
          QTK_CHECK(v.info.dims.size() < shape::max_rank, dims.where(), "rank above ",
                    shape::max_rank);
          v.info.dims.push_back(read_dimension(dims.message("dim", v.info.dims.size())));
        }
      } else {
        message.skip();
      }
    }
  }

  dimension read_dimension(proto_reader message) {
    dimension d;
    while (message.next()) switch (message.field()) {
        case proto::type::dim_value: {
          // Some exporters write -1 or 0 for a dimension that they don't know.
          const std::int64_t size = message.integer();
          if (size > 0) d.size = static_cast<std::size_t>(size);
          break;
        }
        case proto::type::dim_param:
          d.symbol = name_of(message);
          break;
        default:
          message.skip();
      }
    return d;
  }

  static void check_type(const typed_value& v, std::string_view what) {
    QTK_CHECK(from_onnx_type(v.type), cat(what, v.info.name, "'"), "type ",
              proto::type_name(v.type), " is not supported");
  }

  /// What only the whole graph can tell.
  void finish() {
    std::set<std::string_view> given;
    for (typed_value& v : inputs_) {
      if (m_.find_weight(v.info.name) != nullptr) continue;  // listed as an input too: IR < 4
      check_type(v, "input '");
      m_.inputs.push_back(std::move(v.info));
    }
    for (typed_value& v : outputs_) {
      check_type(v, "output '");
      m_.outputs.push_back(std::move(v.info));
    }
    for (const value_info& v : m_.inputs)
      QTK_CHECK(given.insert(v.name).second, cat("input '", v.name, "'"), "is listed twice");
    QTK_CHECK(!m_.outputs.empty(), "", "the graph has no outputs");
    for (const node& n : m_.nodes)
      for (const std::string& out : n.outputs)
        QTK_CHECK(!given.contains(out), n.label(), "makes '", out, "', which is a graph input");
    sort_nodes(m_);
  }

  limits limit_;
  external_data external_;
  model m_;
  std::vector<typed_value> inputs_, outputs_;
};

/// Reads with every error ending up as one qtk::error that starts with `where`.
[[nodiscard]] inline model read_model(std::span<const std::byte> bytes, const limits& limit,
                                      const std::string& where,
                                      const std::filesystem::path& folder) {
  try {
    return model_reader(limit, folder).read(bytes);
  } catch (const error& e) {
    fail(e.message(), e.where().empty() ? where : cat(where, ": ", e.where()));
  } catch (const std::bad_alloc&) {
    fail("out of memory", where);
  }
}

}  // namespace detail

/// The model in `bytes`, an ONNX file in memory. `where` starts every error. Weights beside the
/// file cannot be found from here. The nodes come in topological order, with names; domain
/// "ai.onnx" is written as the empty one; weights are no inputs, also where the file lists them.
/// Values of the graph's inside get their types from shape inference, never from the file.
[[nodiscard]] inline model parse(std::span<const std::byte> bytes, const limits& limit = {},
                                 const std::string& where = "onnx") {
  QTK_CHECK(bytes.size() <= limit.max_file_bytes, where, bytes.size(), " bytes, the limit is ",
            limit.max_file_bytes);
  return detail::read_model(bytes, limit, where, {});
}

/// The model in the ONNX file at `path`, and the weights beside it. qtk::error, in one line, where
/// there is no such file, it isn't ONNX, it holds what qtk has no format for, or its graph has a
/// cycle or values that nobody makes. An operator that no session runs is an error of the session.
/// Source: onnx.proto and IR.md of onnx/onnx.
[[nodiscard]] inline model load(const std::string& path, const limits& limit = {}) {
  const std::vector<std::byte> bytes = read_file(path, limit.max_file_bytes);
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  return detail::read_model(bytes, limit, path, folder.empty() ? "." : folder);
}

}  // namespace qtk::inline QTK_ABI::onnx
