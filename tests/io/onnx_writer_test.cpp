#include <cstring>
#include <filesystem>
#include <map>
#include <qtk/onnx.hpp>
#include <set>

#include "graph/models.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"

using namespace qtk;
using qtk_test::ints;
using qtk_test::make_node;
using qtk_test::random_tensor;
using qtk_test::residual_model;

namespace {

model again(const model& m) { return onnx::parse(onnx::serialize(m)); }

std::string failure(const model& m) {
  try {
    (void)onnx::serialize(m);
  } catch (const error& e) {
    return e.what();
  }
  return "no error";
}

/// Layers, formats and weights of two optimized models; names of values may differ.
void check_same_layers(const model& a, const model& b) {
  REQUIRE(a.nodes.size() == b.nodes.size());
  for (std::size_t i = 0; i < a.nodes.size(); ++i) {
    const node &m = a.nodes[i], &n = b.nodes[i];
    CHECK(m.label() == n.label());
    CHECK(m.outputs.size() == n.outputs.size());
    REQUIRE(m.attributes.size() == n.attributes.size());
    for (const auto& [key, value] : m.attributes) {
      REQUIRE(n.attributes.contains(key));
      CHECK(value.index() == n.attributes.at(key).index());
      if (const auto* text = std::get_if<std::string>(&value)) CHECK(n.text(key, "") == *text);
      if (const auto* number = std::get_if<float>(&value)) CHECK(n.number(key, -99) == *number);
      if (const auto* whole = std::get_if<std::int64_t>(&value))
        CHECK(n.integer(key, -99) == *whole);
      if (const auto* list = std::get_if<std::vector<std::int64_t>>(&value))
        CHECK(n.integers(key) == *list);
    }
    REQUIRE(m.inputs.size() == n.inputs.size());
    for (std::size_t k = 0; k < m.inputs.size(); ++k) {
      const any_tensor *v = a.find_weight(m.inputs[k]), *w = b.find_weight(n.inputs[k]);
      REQUIRE((v == nullptr) == (w == nullptr));
      if (v == nullptr) continue;
      REQUIRE(v->dtype() == w->dtype());
      REQUIRE(v->shape() == w->shape());
      v->visit([&]<class F>(const tensor<F>& t) {
        const tensor<F>& u = w->as<F>();
        CHECK(std::memcmp(t.data(), u.data(), t.span().size_bytes()) == 0);
        CHECK(t.quantization().block == u.quantization().block);
        CHECK(t.quantization().scales == u.quantization().scales);
        CHECK(t.quantization().zero_points == u.quantization().zero_points);
      });
    }
  }
}

/// Every format that layers are stored in.
std::vector<std::pair<std::string, model>> formats(const model& m) {
  return {
      {"fp32", optimize(m)},
      {"fp16", quantize_weights<fp16>(m)},
      {"bf16", quantize_weights<bf16>(m)},
      {"int8 per channel", quantize_weights<int8>(m)},
      {"int8 per tensor", quantize_weights<int8>(m, per_tensor())},
      {"int8 per group", quantize_weights<int8>(m, per_group(5))},
      {"int8 dynamic", quantize_dynamic<int8>(m)},
      {"int4 per group", quantize_weights<int4>(m)},
      {"int4 per odd group", quantize_weights<int4>(m, per_group(7))},
      {"int4 per channel", quantize_weights<int4>(m, per_channel(0))},
      {"int4 dynamic", quantize_dynamic<int4>(m)},
      {"uint4 per group", quantize_weights<uint4>(m)},
  };
}

}  // namespace

TEST_CASE("what is written is read back the same, in every format", "[io][onnx]") {
  for (const auto& [name, m] : formats(residual_model())) {
    INFO(name);
    const model back = optimize(again(m));
    check_same_layers(optimize(m), back);
    CHECK(back.name == m.name);
    CHECK(back.metadata == m.metadata);
    CHECK(to_string(back.inputs[0]) == to_string(m.inputs[0]));
    CHECK(to_string(back.outputs[0]) == to_string(m.outputs[0]));
    // Names don't grow from one generation to the next.
    const auto longest = [](const model& x) {
      std::size_t n = 0;
      for (const auto& [key, w] : x.weights) n = std::max(n, key.size());
      return n;
    };
    CHECK(longest(optimize(again(optimize(again(back))))) <= longest(back));
  }
}

TEST_CASE("equal models give equal bytes", "[io][onnx]") {
  const bool equal = onnx::serialize(quantize_weights<int4>(residual_model())) ==
                     onnx::serialize(quantize_weights<int4>(residual_model()));
  CHECK(equal);
}

TEST_CASE("the default model computes the same after being written", "[io][onnx]") {
  const model m = onnx::load(QTK_SOURCE_DIR "/examples/data/digits.onnx");
  const auto x = random_tensor({2, 1, 28, 28}, 5, 0.0f, 1.0f);
  for (const auto& [name, stored] :
       {std::pair("fp32", optimize(m)), std::pair("int8", quantize_dynamic<int8>(m)),
        std::pair("int4", quantize_weights<int4>(m))}) {
    INFO(name);
    const auto before = session(stored).run(x), after = session(again(stored)).run(x);
    CHECK(std::memcmp(before.data(), after.data(), before.span().size_bytes()) == 0);
  }
}

TEST_CASE("written models are standard ONNX", "[io][onnx]") {
  const auto ops = [](const model& m) {
    std::map<std::string, int> count;
    for (const node& n : onnx::to_standard(m).nodes) {
      CHECK(n.domain.empty());
      ++count[n.op];
    }
    return count;
  };
  using counts = std::map<std::string, int>;
  const counts layers{{"Conv", 2},    {"Relu", 2},   {"Add", 3},      {"MaxPool", 1},
                      {"Flatten", 1}, {"MatMul", 2}, {"LeakyRelu", 1}};
  const model m = residual_model();
  CHECK(ops(optimize(m)) == layers);
  counts half = layers;
  half["Cast"] = 4;
  CHECK(ops(quantize_weights<fp16>(m)) == half);
  counts codes = layers;
  codes["DequantizeLinear"] = 4;
  CHECK(ops(quantize_weights<int8>(m)) == codes);
  // conv1 has 27 weights a channel: one group, so only conv2 has scales in blocks.
  codes["Reshape"] = 1;
  CHECK(ops(quantize_weights<int4>(m)) == codes);

  const model written = onnx::to_standard(quantize_weights<int4>(m));
  CHECK(written.opset() == 21);
  std::set<std::string> names;
  for (const node& n : written.nodes) CHECK(names.insert(n.name).second);
  for (const auto& [name, w] : written.weights)
    w->visit([](const auto& t) { CHECK(t.quantization().scales.empty()); });
}

TEST_CASE("activation quantization is a word in the metadata", "[io][onnx]") {
  const model m = residual_model();
  CHECK(again(quantize_dynamic<int8>(m)).metadata.at("qtk.activations") == "int8");
  CHECK_FALSE(again(quantize_weights<int8>(m)).metadata.contains("qtk.activations"));
  model mixed = quantize_dynamic<int8>(m);
  for (node& n : mixed.nodes)
    if (n.op == "Conv") n.attributes.erase("compute");
  CHECK(failure(mixed).find("a file cannot tell them apart") != std::string::npos);
}

TEST_CASE("what ONNX cannot say", "[io][onnx]") {
  model m = optimize(residual_model());
  m.nodes.push_back(make_node("Fancy", {"x"}, "z"));
  m.nodes.back().domain = "qtk";
  CHECK(failure(m) == "qtk.Fancy 'z': has no form in ONNX");
  m = residual_model();
  m.set_weight("c1.w", quantize<int8>(random_tensor({8, 27}, 1), per_channel(0)));
  CHECK(failure(m) == "weight 'c1.w': has scales, but no layer reads it");
}

TEST_CASE("a file that cannot be written leaves nothing behind", "[io][onnx]") {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / "qtk_onnx_writer_test";
  fs::remove_all(folder);
  fs::create_directories(folder);
  onnx::save(residual_model(), (folder / "m.onnx").string());
  CHECK(onnx::load((folder / "m.onnx").string()).nodes.size() == residual_model().nodes.size());
  CHECK_THROWS_AS(onnx::save(residual_model(), (folder / "none" / "m.onnx").string()), error);
  fs::create_directories(folder / "taken.onnx" / "full");
  CHECK_THROWS_AS(onnx::save(residual_model(), (folder / "taken.onnx").string()), error);
  std::set<std::string> left;
  for (const auto& entry : fs::directory_iterator(folder))
    left.insert(entry.path().filename().string());
  CHECK(left == std::set<std::string>{"m.onnx", "taken.onnx"});
  fs::remove_all(folder);
}

TEST_CASE("real models survive being written in each format", "[io][onnx][real]") {
  for (const char* file : {"onnx/mnist_cntk/mnist.onnx", "cifar10/resnet20_cifar10.onnx",
                           "onnx/keypoint/keypoint_classifier.onnx"}) {
    const auto path = qtk_test::data_file(file);
    if (!path) {
      QTK_SKIP(file << " is not there");
      continue;
    }
    INFO(file);
    const model m = onnx::load(*path);
    for (const auto& [name, stored] :
         {std::pair("fp32", optimize(m)), std::pair("bf16", quantize_weights<bf16>(m)),
          std::pair("int8", quantize_dynamic<int8>(m)),
          std::pair("int4", quantize_weights<int4>(m))}) {
      INFO(name);
      check_same_layers(optimize(stored), optimize(again(stored)));
    }
  }
}

TEST_CASE("bodies are written with what they capture by its name, and read back", "[io]") {
  const auto value = [](std::string name, dtype type) {
    return value_info{.name = std::move(name), .type = type, .dims = {}, .untyped = false};
  };
  // y = c ? x + w : (c2 ? x * w : x), w a weight of the graph.
  node inner = qtk_test::with_bodies(
      make_node("If", {"c2"}, "r"),
      {{"then_branch",
        qtk_test::body({}, {value("p", dtype::fp32)}, {make_node("Mul", {"x", "w"}, "p")}),
        {"x", "w"}},
       {"else_branch",
        qtk_test::body({}, {value("q", dtype::fp32)}, {make_node("Identity", {"x"}, "q")}),
        {"x"}}});
  node outer = qtk_test::with_bodies(
      make_node("If", {"c"}, "y"),
      {{"then_branch",
        qtk_test::body({}, {value("s", dtype::fp32)}, {make_node("Add", {"x", "w"}, "s")}),
        {"x", "w"}},
       {"else_branch", qtk_test::body({}, {value("r", dtype::fp32)}, {inner}), {"c2", "x", "w"}}});
  model m = qtk_test::with_nodes({2}, {outer});
  m.inputs.push_back(value("c", dtype::boolean));
  m.inputs.push_back(value("c2", dtype::boolean));
  m.set_weight("w", tensor<fp32>({2}, {10, 20}));
  const model read = again(m);
  CHECK(onnx::serialize(read) == onnx::serialize(again(read)));
  tensor<boolean> yes{shape{}}, no{shape{}};
  yes.data()[0] = 1;
  const tensor<fp32> x({2}, {1, 2});
  for (const model& either : {m, read}) {
    const session s(either, {.shapes = {{2}, {}, {}}});
    const auto answer = [&](const any_tensor& c, const any_tensor& c2) {
      const std::vector<any_tensor> in{x, c, c2};
      const std::vector<any_tensor> out = s.run(in);
      const auto values = out.at(0).as<fp32>().span();
      return std::vector<float>(values.begin(), values.end());
    };
    CHECK(answer(yes, yes) == std::vector<float>{11, 22});
    CHECK(answer(no, yes) == std::vector<float>{10, 40});
    CHECK(answer(no, no) == std::vector<float>{1, 2});
  }
  m.nodes[0].inputs = {"c"};
  CHECK_THROWS_WITH(onnx::serialize(m), Catch::StartsWith("If 'y': its body reads input "));
}
