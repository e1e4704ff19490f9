#include <cstdio>
#include <limits>
#include <qtk/core/file.hpp>

#include "support/onnx_builder.hpp"

/// Writes models that are valid protobuf and bad all the same, for bad_input.sh.
/// usage: bad_models DIRECTORY

namespace {

using namespace qtk_test::onnx_file;

constexpr std::int64_t text_kind = 3, integer_kind = 2;

bytes int64s(const std::string& name, std::initializer_list<std::int64_t> values) {
  return tensor_proto(name, 7, {static_cast<std::int64_t>(values.size())}, raw(values));
}

graph_proto graph(std::vector<std::int64_t> x, std::vector<bytes> nodes, std::vector<bytes> weights,
                  std::int64_t output_type = 1) {
  return {.nodes = std::move(nodes),
          .weights = std::move(weights),
          .inputs = {value_proto("x", 1, x)},
          .outputs = {
              field(proto::value_info::name, "y") +
              field(proto::value_info::type,
                    field(proto::type::tensor_type, number(proto::type::elem_type, output_type)))}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto write = [&](const char* name, const graph_proto& g, std::int64_t opset = 13) {
    const bytes model = model_proto(g, opset);
    qtk::write_file_atomically(std::string(argv[1]) + "/" + name + ".onnx", span(model));
  };
  const auto conv = [&](const std::vector<bytes>& attributes) {
    return graph({1, 4, 4, 4}, {node_proto("Conv", {"x", "w"}, {"y"}, "c", attributes)},
                 {weight_proto("w", {2, 4, 1, 1})});
  };
  write("nan", graph({-1, 4}, {node_proto("MatMul", {"x", "w"}, {"y"}, "fc")},
                     {weight_proto("w", {4, 3}, std::numeric_limits<float>::quiet_NaN())}));
  write("unsupported", graph({-1, 4},
                             {node_proto("ImageDecoder", {"x"}, {"d"}, "det"),
                              node_proto("Add", {"d", "d"}, {"y"}, "sum")},
                             {}));
  write("escape", graph({3, 4},
                        {node_proto("Pad", {"x", "p"}, {"y"}, "pad",
                                    {attribute_proto("mode", text_kind,
                                                     field(proto::attribute::s, "a\nb\x1b[31m"))})},
                        {int64s("p", {1, 1, 0, 2})}));
  write("twice", graph({6}, {node_proto("Slice", {"x", "s", "e", "a"}, {"y"}, "slice")},
                       {int64s("s", {5, 5}), int64s("e", {6, 6}), int64s("a", {0, 0})}));
  write("nothing",
        graph({1, 1, 4, 4},
              {node_proto("Reshape", {}, {"w"}, "r"), node_proto("Conv", {"x", "w"}, {"y"}, "c")},
              {}));
  write("bound", graph({4}, {node_proto("Clip", {"x", "lo"}, {"y"}, "clip")},
                       {tensor_proto("lo", 1, {0}, "")}));
  write("groups", conv({attribute_proto("group", integer_kind, number(proto::attribute::i, 4))}));
  write("expand", graph({1}, {node_proto("Expand", {"x", "to"}, {"y"}, "expand")},
                        {int64s("to", {std::int64_t{1} << 40, std::int64_t{1} << 20})}));
  // A few bytes that ask for terabytes, for hours, or for the stack.
  write("tile", graph({4}, {node_proto("Tile", {"x", "n"}, {"y"}, "tile")},
                      {int64s("n", {std::int64_t{1} << 40})}));
  write(
      "resize",
      graph({1, 1, 1, 4},
            {node_proto("Resize", {"x", "", "", "to"}, {"y"}, "resize",
                        {attribute_proto("mode", text_kind, field(proto::attribute::s, "cubic"))})},
            {int64s("to", {1, 1, 1, std::int64_t{1} << 38})}));
  write("onehot", graph({4}, {node_proto("OneHot", {"x", "depth", "values"}, {"y"}, "hot")},
                        {int64s("depth", {std::int64_t{1} << 50}), weight_proto("values", {2})}));
  write("dft",
        graph({1, 4, 1}, {node_proto("DFT", {"x", "n"}, {"y"}, "dft")},
              {int64s("n", {std::int64_t{1} << 40})}),
        17);
  write("rows", graph({1},
                      {node_proto("ConstantOfShape", {"s"}, {"c"}, "empty"),
                       node_proto("ReduceSum", {"c"}, {"y"}, "sum")},
                      {int64s("s", {std::int64_t{1} << 50, 0})}));
  write("einsum",
        graph({2},
              {node_proto("Einsum", std::vector<std::string>(9, "x"), {"y"}, "product",
                          {attribute_proto("equation", text_kind,
                                           field(proto::attribute::s, "a,b,c,d,e,f,g,h,i->a"))})},
              {}));
  write("mixed", graph({2}, {node_proto("Add", {"x", "n"}, {"y"}, "sum")}, {int64s("n", {1, 2})}));
  constexpr std::int64_t graph_kind = 5;
  const auto branch = [&](const graph_proto& inside) {
    return attribute_proto("then_branch", graph_kind, field(proto::attribute::g, inside.encoded()));
  };
  graph_proto deep = graph({1}, {node_proto("Relu", {"x"}, {"y"}, "inmost")}, {});
  deep.inputs.clear();
  for (int i = 0; i < 100; ++i) {
    graph_proto outer = graph({1}, {node_proto("If", {"x"}, {"y"}, "branch", {branch(deep)})}, {});
    if (i + 1 < 100) outer.inputs.clear();
    deep = outer;
  }
  write("deep", deep);
  write("old", graph({1, 4}, {node_proto("Add", {"x", "x"}, {"y"}, "sum")}, {}), 6);
  // An answer that is no row for each sample: the class of each column, a shape, the first sample.
  constexpr std::int64_t int64_type = 7;
  write("columns", graph({-1, 2}, {node_proto("ArgMax", {"x"}, {"y"}, "best")}, {}, int64_type));
  write("argmax", graph({-1, 2}, {node_proto("ArgMax", {}, {"y"}, "best")}, {}, int64_type));
  write("shape", graph({-1, 2}, {node_proto("Shape", {"x"}, {"y"}, "s")}, {}, int64_type));
  write("first", graph({-1, 2}, {node_proto("Slice", {"x", "s", "e", "a"}, {"y"}, "slice")},
                       {int64s("s", {0}), int64s("e", {1}), int64s("a", {0})}));
  write("two", graph({-1, 2}, {node_proto("Relu", {"x"}, {"y"}, "r")}, {}));
  write("infinite", graph({-1, 2},
                          {node_proto("Sub", {"x", "w"}, {"d"}, "a"),
                           node_proto("Sub", {"d", "d"}, {"y"}, "b")},
                          {weight_proto("w", {2}, std::numeric_limits<float>::infinity())}));
  write("scale", graph({-1, 2},
                       {node_proto("DequantizeLinear", {"q", "s"}, {"w"}, "real"),
                        node_proto("MatMul", {"x", "w"}, {"y"}, "fc")},
                       {tensor_proto("q", 3, {2, 2}, raw<std::int8_t>({1, 2, 3, 4})),
                        weight_proto("s", {2}, std::numeric_limits<float>::quiet_NaN())}));
  graph_proto integers = graph({-1, 2}, {node_proto("Relu", {"x"}, {"y"}, "r")}, {});
  integers.inputs = {value_proto("x", 6, {-1, 2})};
  write("integers", integers);
  graph_proto shapeless = relu_graph();
  shapeless.inputs = {field(proto::value_info::name, "x") +
                      field(proto::value_info::type,
                            field(proto::type::tensor_type, number(proto::type::elem_type, 1)))};
  write("shapeless", shapeless);
  return 0;
}
