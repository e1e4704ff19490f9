#include <algorithm>
#include <filesystem>
#include <qtk/io/onnx_reader.hpp>
#include <random>

#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/onnx_builder.hpp"

using namespace qtk;
using namespace qtk_test::onnx_file;

namespace {

model read(const bytes& file, const onnx::limits& limit = {}) {
  return onnx::parse(span(file), limit, "f.onnx");
}
std::string failure(const bytes& file, const onnx::limits& limit = {}) {
  try {
    (void)read(file, limit);
  } catch (const error& e) {
    return e.what();
  }
  return "no error";
}
std::string failure(const graph_proto& g) { return failure(model_proto(g)); }
bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

namespace kind = proto::attribute;

}  // namespace

TEST_CASE("a model is read as it was written", "[io][onnx]") {
  graph_proto g = relu_graph();
  g.nodes = {
      node_proto(
          "Gemm", {"x", "w", ""}, {"h"}, "fc",
          {attribute_proto("alpha", kind::kind_float,
                           message([](auto& m) { m.add_float(kind::f, 0.5f); })),
           attribute_proto("transB", kind::kind_int, number(kind::i, -1)),
           attribute_proto("mode", kind::kind_string, field(kind::s, "fast")),
           attribute_proto("pads", kind::kind_ints, number(kind::ints, 1) + number(kind::ints, 2)),
           attribute_proto("scales", kind::kind_floats, message([](auto& m) {
                             const float v[] = {1.0f, 2.0f};
                             m.add_packed_float(kind::floats, v, v + 2);
                           })),
           attribute_proto("names", kind::kind_strings,
                           field(kind::strings, "a") + field(kind::strings, "b")),
           attribute_proto("value", kind::kind_tensor, field(kind::t, weight_proto("", {2})))}),
      node_proto("Relu", {"h"}, {"y"}, "", {}, "ai.onnx")};
  g.weights = {weight_proto("w", {3, 3})};
  const bytes file = model_proto(g) + field(proto::model::producer_name, "maker") +
                     field(proto::model::metadata_props,
                           field(proto::entry::key, "k") + field(proto::entry::value, "v"));
  const model m = read(file);
  CHECK(m.name == "g");
  CHECK(m.producer == "maker");
  CHECK(m.opset() == 13);
  CHECK(m.metadata.at("k") == "v");
  REQUIRE(m.inputs.size() == 1);
  CHECK(to_string(m.inputs[0]) == "fp32 [N, 3]");
  CHECK(m.outputs[0].name == "y");
  REQUIRE(m.nodes.size() == 2);
  const node& n = m.nodes[0];
  CHECK(n.label() == "Gemm 'fc'");
  CHECK(n.inputs == std::vector<std::string>{"x", "w", ""});
  CHECK(n.number("alpha", 0) == 0.5f);
  CHECK(n.integer("transB", 0) == -1);
  CHECK(n.text("mode", "") == "fast");
  CHECK(n.integers("pads") == std::vector<std::int64_t>{1, 2});
  CHECK(n.get<std::vector<float>>("scales", {}) == std::vector{1.0f, 2.0f});
  CHECK(n.get<std::vector<std::string>>("names", {}) == std::vector<std::string>{"a", "b"});
  CHECK(n.find<any_tensor>("value")->shape() == shape{2});
  CHECK(m.nodes[1].label() == "Relu 'y'");  // no name of its own; "ai.onnx" is the empty domain
  CHECK(m.find_weight("w")->as<fp32>().at(2, 2) == 0.5f);
}

TEST_CASE("quirks of real files", "[io][onnx]") {
  SECTION("weights listed among the inputs, as before IR version 4") {
    graph_proto g = relu_graph();
    g.weights = {weight_proto("w", {3})};
    g.inputs.push_back(value_proto("w", 1, {3}));
    CHECK(read(model_proto(g, 8, 3)).inputs.size() == 1);
  }
  SECTION("an attribute without a kind, as in IR version 1") {
    graph_proto g = relu_graph();
    g.nodes = {node_proto("Relu", {"x"}, {"y"}, "", {attribute_proto("a", 0, number(kind::i, 7))})};
    CHECK(read(model_proto(g, 0, 1)).nodes[0].integer("a", 0) == 7);
  }
  SECTION("nodes in any order") {
    graph_proto g = relu_graph();
    g.nodes = {node_proto("Relu", {"h"}, {"y"}), node_proto("Abs", {"x"}, {"h"})};
    CHECK(read(model_proto(g)).nodes[0].op == "Abs");
  }
  SECTION("dimensions of 0 or -1 for unknown ones, and unknown rank") {
    graph_proto g = relu_graph();
    g.inputs = {value_proto("x", 1, {0, 3})};
    CHECK(to_string(read(model_proto(g)).inputs[0]) == "fp32 [?, 3]");
  }
  SECTION("a subgraph is no reason not to look at the rest") {
    graph_proto g = relu_graph();
    g.nodes[0] = node_proto(
        "If", {"x"}, {"y"}, "branch",
        {attribute_proto("then_branch", kind::kind_graph, field(kind::g, relu_graph().encoded()))});
    CHECK(read(model_proto(g)).nodes[0].label() == "If 'branch'");
  }
  SECTION("fields that qtk does not know") {
    CHECK(read(model_proto(relu_graph()) + field(20, "training") + number(5, 1)).nodes.size() == 1);
  }
}

TEST_CASE("graphs that make no sense name the node or value", "[io][onnx]") {
  graph_proto g = relu_graph();
  SECTION("a value that nobody makes") {
    g.nodes = {node_proto("Add", {"x", "z"}, {"y"}, "sum")};
    CHECK(failure(g) == "f.onnx: Add 'sum': input 'z' is made by no node");
  }
  SECTION("a value made twice") {
    g.nodes.push_back(node_proto("Abs", {"x"}, {"y"}, "again"));
    CHECK(failure(g) == "f.onnx: Abs 'again': value 'y' is made twice");
  }
  SECTION("a weight made by a node") {
    g.weights = {weight_proto("y", {3})};
    CHECK(failure(g) == "f.onnx: Relu 'r': value 'y' is made twice");
  }
  SECTION("a node that makes an input") {
    g.nodes.push_back(node_proto("Abs", {"y"}, {"x"}, "back"));
    CHECK(failure(g) == "f.onnx: Abs 'back': makes 'x', which is a graph input");
  }
  SECTION("a cycle") {
    g.nodes = {node_proto("Add", {"x", "b"}, {"a"}, "first"),
               node_proto("Abs", {"a"}, {"b"}, "second"),
               node_proto("Relu", {"b"}, {"y"}, "third")};
    CHECK(failure(g) == "f.onnx: Add 'first': is part of a cycle");
  }
  SECTION("two weights of one name") {
    g.weights = {weight_proto("w", {3}), weight_proto("w", {3})};
    CHECK(failure(g) == "f.onnx: tensor 'w': is defined twice");
  }
  SECTION("two inputs of one name") {
    g.inputs.push_back(g.inputs[0]);
    CHECK(failure(g) == "f.onnx: input 'x': is listed twice");
  }
  SECTION("an output that nobody makes") {
    g.outputs = {value_proto("z", 1, {3})};
    CHECK(failure(g) == "f.onnx: graph: output 'z' is made by no node");
  }
  SECTION("no outputs") {
    g.outputs.clear();
    CHECK(failure(g) == "f.onnx: the graph has no outputs");
  }
  SECTION("a node that makes nothing") {
    g.nodes.push_back(node_proto("Abs", {"x"}, {}, "idle"));
    CHECK(failure(g) == "f.onnx: Abs 'idle': has no outputs");
  }
  SECTION("a weight without a name") {
    g.weights = {weight_proto("", {1})};
    CHECK(contains(failure(g), "graph.initializer[0]: a weight without a name"));
  }
}

TEST_CASE("what qtk does not read is said by name", "[io][onnx]") {
  graph_proto g = relu_graph();
  SECTION("types of inputs") {
    g.inputs = {value_proto("x", 8, {3})};
    CHECK(failure(g) == "f.onnx: input 'x': type string is not supported");
  }
  SECTION("types of outputs") {
    g.outputs = {value_proto("y", 14, {3})};
    CHECK(failure(g) == "f.onnx: output 'y': type complex64 is not supported");
  }
  SECTION("inputs that are not tensors") {
    g.inputs = {field(proto::value_info::name, "x") + field(proto::value_info::type, field(4, ""))};
    CHECK(contains(failure(g), "graph.input[0].type: not a tensor"));
  }
  SECTION("kinds of attributes") {
    g.nodes = {node_proto("Relu", {"x"}, {"y"}, "r", {attribute_proto("a", 11, field(22, ""))})};
    CHECK(failure(g) == "f.onnx: Relu 'r': attribute 'a' has a kind that is not supported");
  }
  SECTION("attributes given twice") {
    const bytes a = attribute_proto("a", kind::kind_int, number(kind::i, 1));
    g.nodes = {node_proto("Relu", {"x"}, {"y"}, "r", {a, a})};
    CHECK(failure(g) == "f.onnx: Relu 'r': attribute 'a' is given twice");
  }
  SECTION("tensors in attributes") {
    g.nodes = {node_proto("Constant", {}, {"y"}, "c",
                          {attribute_proto("value", kind::kind_tensor,
                                           field(kind::t, tensor_proto("", 1, {2}, "1234")))})};
    CHECK(failure(g) ==
          "f.onnx: Constant 'c': attribute 'value': 4 bytes of data for shape [2] of fp32 "
          "(8 bytes expected)");
  }
  SECTION("sparse weights") {
    g.rest = field(proto::graph::sparse_initializer, "");
    CHECK(contains(failure(g), "graph: sparse weights are not supported"));
  }
  SECTION("functions") {
    CHECK(contains(failure(model_proto(g) + field(proto::model::functions, "")),
                   "functions of the model's own are not supported"));
  }
  SECTION("layers that only passes may make") {
    g.nodes = {node_proto("Linear", {"x"}, {"y"}, "l", {}, "qtk")};
    CHECK(failure(g) == "f.onnx: qtk.Linear 'l': domain 'qtk' is internal");
  }
  SECTION("names that are no names") {
    g.nodes = {node_proto("Relu", {"x"}, {"y"}, "two\nlines")};
    CHECK(contains(failure(g), "graph.node[0]: a name holds a control character"));
    g.nodes = {node_proto("Relu", {"x"}, {"y"}, "\xc2\x9b[31m")};  // U+009B, the terminal's CSI
    CHECK(contains(failure(g), "graph.node[0]: a name holds a control character"));
    g.nodes = {node_proto("Relu", {"x"}, {"y"}, "\xc3\xa9t\xc3\xa9")};
    CHECK_NOTHROW(onnx::parse(span(model_proto(g))));
    CHECK(contains(failure(model_proto(g) + field(proto::model::producer_name, "\x1b[2J")),
                   "a name holds a control character"));
    g.nodes = {node_proto("", {"x"}, {"y"})};
    CHECK(contains(failure(g), "graph.node[0]: a node without an operator"));
  }
}

TEST_CASE("limits", "[io][onnx]") {
  const bytes file = model_proto(relu_graph());
  CHECK(failure(file, {.max_file_bytes = 10}) ==
        cat("f.onnx: ", file.size(), " bytes, the limit is 10"));
  CHECK(contains(failure(file, {.max_nodes = 0}), "more than 0 nodes"));
  graph_proto g = relu_graph();
  g.nodes = {node_proto("Relu", {"x"}, {"y"}, std::string(100, 'n'))};
  CHECK(contains(failure(model_proto(g), {.max_name_bytes = 99}),
                 "a name of 100 bytes, the limit is 99"));
}

TEST_CASE("files that are not ONNX", "[io][onnx]") {
  namespace fs = std::filesystem;
  CHECK(failure("") == "f.onnx: the file is empty");
  CHECK(failure(number(1, 8)) == "f.onnx: not an ONNX model: it has no graph");
  CHECK(failure(field(7, relu_graph().encoded())) ==
        "f.onnx: not an ONNX model: it has no IR version");
  CHECK(failure(model_proto(relu_graph(), 0)) == "f.onnx: the model names no operator set");
  CHECK(contains(failure(model_proto(relu_graph(), -3)),
                 ": opset_import: operator set '' of version -3"));
  CHECK(contains(failure(model_proto(relu_graph()) + field(7, "")), "a second graph"));
  CHECK(contains(failure("hello, world"), "f.onnx: byte "));
  // Field 1 as a string, and one that claims four gigabytes.
  CHECK(failure(field(1, "x")) == "f.onnx: byte 0: field 1 has wire type 2, not 0");
  CHECK(failure("\x3a\xff\xff\xff\xff\x0f") == "f.onnx: byte 0: the data end inside of this field");
  const auto load_failure = [](const std::string& path) {
    try {
      (void)onnx::load(path);
    } catch (const error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  const std::string folder = fs::temp_directory_path().string();
  CHECK(load_failure(folder) == folder + ": is a directory");
  CHECK(load_failure(folder + "/qtk_no_such.onnx") == folder + "/qtk_no_such.onnx: no such file");
}

namespace {

bytes default_model() {
  const auto b = read_file(QTK_SOURCE_DIR "/examples/data/digits.onnx", std::size_t{1} << 20);
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

/// Reads; anything but a model or a one-line qtk::error fails the test (or the sanitizers).
bool reads(std::string_view file) {
  try {
    (void)onnx::parse(std::as_bytes(std::span(file)), {}, "f");
    return true;
  } catch (const error& e) {
    CHECK(std::string_view(e.what()).find('\n') == std::string_view::npos);
    return false;
  }
}

}  // namespace

TEST_CASE("no prefix of a file is a model", "[io][onnx]") {
  const bytes file = default_model();
  REQUIRE(reads(file));
  // Each byte of the nodes, the end, and of the weights every 97th.
  std::size_t accepted = 0;
  for (std::size_t n = 0; n < file.size(); n += n < 3000 || file.size() - n < 3000 ? 1 : 97)
    accepted += reads(std::string_view(file).substr(0, n));
  CHECK(accepted == 0);
  graph_proto g = relu_graph();
  g.weights = {weight_proto("w", {2})};
  const bytes small = model_proto(g);
  for (std::size_t n = 0; n < small.size(); ++n)
    CHECK_FALSE(reads(std::string_view(small).substr(0, n)));
}

TEST_CASE("flipped bits end in a model or an error", "[io][onnx]") {
  const bytes file = default_model();
  std::mt19937 random(20240607);
  std::size_t rejected = 0;
  for (int i = 0; i < 600; ++i) {
    bytes broken = file;
    // Most bytes are elements of weights: half of the flips go to the structure before them.
    const std::size_t range = i % 2 == 0 ? 2500 : file.size();
    for (int flips = 1 + i % 3; flips > 0; --flips) {
      const std::size_t bit = random() % (range * 8);
      broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << bit % 8));
    }
    rejected += !reads(broken);
  }
  CHECK(rejected > 100);
  const bytes noise = [&] {
    bytes b(4096, '\0');
    for (char& c : b) c = static_cast<char>(random());
    return b;
  }();
  for (std::size_t at = 0; at < noise.size(); ++at)
    CHECK_FALSE(reads(std::string_view(noise).substr(at)));
}

TEST_CASE("models that others trained are read", "[io][onnx]") {
  struct {
    const char* file;
    std::size_t nodes, parameters;
    const char* input;
  } const models[] = {
      {"onnx/mnist_cntk/mnist.onnx", 12, 5998, "fp32 [1, 1, 28, 28]"},
      {"cifar10/resnet20_cifar10.onnx", 73, 271130, "fp32 [N, 3, 32, 32]"},
      {"onnx/keypoint/keypoint_classifier.onnx", 9, 1103, "fp32 [batch, 42]"},
  };
  for (const auto& expected : models) {
    const auto path = qtk_test::data_file(expected.file);
    if (!path) {
      QTK_SKIP(expected.file << " is not there");
      continue;
    }
    const model m = onnx::load(*path);
    CHECK(m.nodes.size() == expected.nodes);
    CHECK(parameters(m) == expected.parameters);
    REQUIRE(m.inputs.size() == 1);
    CHECK(to_string(m.inputs[0]) == expected.input);
  }
}
