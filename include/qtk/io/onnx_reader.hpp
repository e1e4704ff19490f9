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

class model_reader {
 public:
  model_reader(const limits& limit, std::filesystem::path folder,
               std::shared_ptr<const void> keeper)
      : limit_(limit), files_(std::move(folder), std::move(keeper), limit) {}

  [[nodiscard]] model read(std::span<const std::byte> bytes) {
    QTK_CHECK(!bytes.empty(), "", "the file is empty");
    proto_reader message(bytes);
    std::int64_t ir_version = 0;
    bool graph = false;
    graph_parts parts;
    while (message.next()) switch (message.field()) {
        case proto::model::ir_version:
          ir_version = message.integer();
          break;
        case proto::model::producer_name:
          producer_ = name_of(message);
          break;
        case proto::model::graph:
          QTK_CHECK(!std::exchange(graph, true), message.where(), "a second graph");
          parts = read_graph(message.message("graph"), 0);
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
    QTK_CHECK(ir_version < 3 || !opsets_.empty(), "", "the model names no operator set");
    model m = finish(std::move(parts));
    m.producer = std::move(producer_);
    m.opsets = std::move(opsets_);
    m.metadata = std::move(metadata_);
    return m;
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
    opsets_[domain] = version;
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
    metadata_[key] = std::move(value);
  }

  struct typed_value {
    value_info info;
    std::int64_t type = 0;  // TensorProto.DataType
  };
  /// A GraphProto as it stands there.
  struct graph_parts {
    model m;
    std::vector<typed_value> inputs, outputs;
  };

  /// `depth`: in so many other graphs.
  graph_parts read_graph(proto_reader message, std::size_t depth) {
    QTK_CHECK(depth <= limit_.max_depth, message.where(), "graphs within graphs, more than ",
              limit_.max_depth, " deep");
    graph_parts g;
    std::size_t initializers = 0;
    while (message.next()) switch (message.field()) {
        case proto::graph::name:
          g.m.name = name_of(message);
          break;
        case proto::graph::node:
          QTK_CHECK(nodes_++ < limit_.max_nodes, message.where(), "more than ", limit_.max_nodes,
                    " nodes");
          g.m.nodes.push_back(read_node(message.message("node", g.m.nodes.size()), depth));
          break;
        case proto::graph::initializer: {
          const proto_reader tensor = message.message("initializer", initializers++);
          named_tensor t = read_tensor(tensor, tensor.where(), files_, limit_);
          QTK_CHECK(!t.name.empty(), tensor.where(), "a weight without a name");
          QTK_CHECK(g.m.find_weight(t.name) == nullptr, cat("tensor '", t.name, "'"),
                    "is defined twice");
          g.m.set_weight(std::move(t.name), std::move(t.value));
          break;
        }
        case proto::graph::sparse_initializer:
          fail("sparse weights are not supported", message.where());
        case proto::graph::input:
          g.inputs.push_back(read_value(message.message("input", g.inputs.size())));
          break;
        case proto::graph::output:
          g.outputs.push_back(read_value(message.message("output", g.outputs.size())));
          break;
        default:
          message.skip();
      }
    return g;
  }

  node read_node(proto_reader message, std::size_t depth) {
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
    for (const proto_reader& a : attributes) read_attribute(a, n, depth);
    return n;
  }

  void read_attribute(proto_reader message, node& n, std::size_t depth) {
    namespace field = proto::attribute;
    std::string name, text;
    std::int64_t kind = field::undefined, integer = 0;
    float number = 0;
    std::vector<std::int64_t> integers;
    std::vector<float> numbers;
    std::vector<std::string> texts;
    any_tensor tensor;
    graph_parts body;
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
                               files_, limit_)
                       .value;
          seen = field::kind_tensor;
          break;
        case field::g:
          body = read_graph(message.message("g"), depth + 1);
          seen = field::kind_graph;
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
        return set(closed(finish(std::move(body), false), n));
      default:
        fail(cat("attribute '", name, "' has a kind that is not supported"), n.label());
    }
  }

  /// A body that reads the values of the graphs around it as inputs; `n` takes them as inputs, too.
  static std::shared_ptr<const subgraph> closed(model body, node& n) {
    subgraph made;
    std::set<std::string_view> own;
    for (const value_info& v : body.inputs) own.insert(v.name);
    for (const node& inner : body.nodes) own.insert(inner.outputs.begin(), inner.outputs.end());
    std::vector<std::string> outer;
    std::set<std::string_view> seen;
    const auto use = [&](const std::string& value) {
      if (value.empty() || own.contains(value) || body.find_weight(value) != nullptr) return;
      if (seen.insert(value).second) outer.push_back(value);
    };
    for (const node& inner : body.nodes)
      for (const std::string& value : inner.inputs) use(value);
    for (const value_info& v : body.outputs) use(v.name);
    std::map<std::string, std::size_t> captured;  // by another body, too
    for (std::size_t at = n.inputs.size() - n.captures; at < n.inputs.size(); ++at)
      captured.emplace(n.inputs[at], at);
    for (const std::string& value : outer) {
      const auto [at, fresh] = captured.emplace(value, n.inputs.size());
      if (fresh) {
        n.inputs.push_back(value);
        ++n.captures;
      }
      made.captured.push_back(at->second);
    }
    for (const std::string& value : outer)
      body.inputs.push_back({.name = value, .type = dtype::fp32, .dims = {}, .untyped = true});
    sort_nodes(body);
    made.body = std::move(body);
    return std::make_shared<const subgraph>(std::move(made));
  }

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
                type.where(), "not a tensor: sequences, optionals and maps are not supported");
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

  /// What only the whole graph can tell. Of a body, types may be missing, and nodes are put in
  /// order once it is closed.
  static model finish(graph_parts g, bool whole = true) {
    model m = std::move(g.m);
    std::set<std::string_view> given;
    for (typed_value& v : g.inputs) {
      if (m.find_weight(v.info.name) != nullptr) continue;  // listed as an input too: IR < 4
      if (whole || v.type != 0) check_type(v, "input '");
      v.info.untyped = v.type == 0;
      m.inputs.push_back(std::move(v.info));
    }
    for (typed_value& v : g.outputs) {
      if (whole || v.type != 0) check_type(v, "output '");
      v.info.untyped = v.type == 0;
      m.outputs.push_back(std::move(v.info));
    }
    for (const value_info& v : m.inputs)
      QTK_CHECK(given.insert(v.name).second, cat("input '", v.name, "'"), "is listed twice");
    QTK_CHECK(!m.outputs.empty(), "", "the graph has no outputs");
    for (const node& n : m.nodes)
      for (const std::string& out : n.outputs)
        QTK_CHECK(!given.contains(out), n.label(), "makes '", out, "', which is a graph input");
    if (whole) sort_nodes(m);
    return m;
  }

  limits limit_;
  model_files files_;
  std::string producer_;
  std::map<std::string, std::int64_t> opsets_;
  std::map<std::string, std::string> metadata_;
  std::size_t nodes_ = 0;
};

/// Reads with every error ending up as one qtk::error that starts with `where`.
[[nodiscard]] inline model read_model(std::span<const std::byte> bytes, const limits& limit,
                                      const std::string& where,
                                      const std::filesystem::path& folder = {},
                                      std::shared_ptr<const void> keeper = nullptr) {
  try {
    return model_reader(limit, folder, std::move(keeper)).read(bytes);
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
/// Values of the graph's inside get their types from shape inference, never from the file. The
/// model needs `bytes` no longer.
[[nodiscard]] inline model parse(std::span<const std::byte> bytes, const limits& limit = {},
                                 const std::string& where = "onnx") {
  QTK_CHECK(bytes.size() <= limit.max_file_bytes, where, bytes.size(), " bytes, the limit is ",
            limit.max_file_bytes);
  return detail::read_model(bytes, limit, where);
}

/// The model in the ONNX file at `path`, and the weights beside it, which stay in their files where
/// they need no other form (limits::map_files). qtk::error, in one line, where there is no such
/// file, it isn't ONNX, it holds what qtk has no format for, or its graph has a cycle or values
/// that nobody makes. An operator that no session runs is an error of the session.
/// Source: onnx.proto and IR.md of onnx/onnx.
[[nodiscard]] inline model load(const std::string& path, const limits& limit = {}) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::filesystem::path folder = parent.empty() ? "." : parent;
  if (!limit.map_files)
    return detail::read_model(read_file(path, limit.max_file_bytes), limit, path, folder, nullptr);
  const auto file = mapped_file::open(path, limit.max_file_bytes);
  return detail::read_model(file->bytes(), limit, path, folder, file);
}

}  // namespace qtk::inline QTK_ABI::onnx
