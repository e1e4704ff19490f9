#include <filesystem>
#include <fstream>
#include <qtk/graph.hpp>
#include <qtk/io/onnx_reader.hpp>

#include "support/catch.hpp"
#include "support/onnx_builder.hpp"

/// Weights that a session reads as they are stay in the file.

using namespace qtk;
using namespace qtk_test::onnx_file;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t rows = 1 << 18, cols = 64;  // 64 MiB

/// A folder with m.onnx: y = table[x], the table beside it.
class embedding_model {
 public:
  embedding_model() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::vector<float> row(cols);
    std::ofstream table(folder_ / "table", std::ios::binary);
    for (std::size_t r = 0; r < rows; ++r) {
      std::fill(row.begin(), row.end(), static_cast<float>(r));
      table.write(reinterpret_cast<const char*>(row.data()),
                  static_cast<std::streamsize>(cols * sizeof(float)));
    }
    const bytes weight =
        tensor_head("table", 1, {rows, cols}) + number(proto::tensor::data_location, 1) +
        field(proto::tensor::external_data,
              field(proto::entry::key, "location") + field(proto::entry::value, "table"));
    const graph_proto g{.nodes = {node_proto("Gather", {"table", "x"}, {"y"}, "lookup")},
                        .weights = {weight},
                        .inputs = {value_proto("x", 7, {2})},
                        .outputs = {value_proto("y", 1, {2, cols})}};
    write_file_atomically(path(), span(model_proto(g)));
  }
  embedding_model(const embedding_model&) = delete;
  embedding_model& operator=(const embedding_model&) = delete;
  ~embedding_model() { fs::remove_all(folder_); }
  [[nodiscard]] std::string path() const { return folder_ / "m.onnx"; }
  [[nodiscard]] fs::path table() const { return folder_ / "table"; }

 private:
  fs::path folder_ = fs::temp_directory_path() / "qtk_mapped_test";
};

/// Bytes of memory that belong to this process alone; 0 where the system doesn't tell.
std::size_t private_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:")) return std::stoul(line.substr(8)) * 1024;
  return 0;
}

}  // namespace

TEST_CASE("a large table is paged in, not copied", "[io][onnx]") {
  const embedding_model file;
  const std::size_t before = private_bytes();
  const session s(onnx::load(file.path()));
  const auto look_up = [](const session& by, std::int64_t first, std::int64_t second) {
    const std::vector<any_tensor> x{tensor<int64>({2}, {first, second})};
    const any_tensor y = by.run(x).at(0);
    return std::pair(y.as<fp32>().at(0, 0), y.as<fp32>().at(1, cols - 1));
  };
  CHECK(look_up(s, 5, 200000) == std::pair(5.0f, 200000.0f));
  if (before != 0) CHECK(private_bytes() - before < rows * cols);  // a quarter of the table
  fs::remove(file.table());
  CHECK(look_up(s, 77, rows - 1) == std::pair(77.0f, static_cast<float>(rows - 1)));
}

TEST_CASE("weights are copied where they cannot stay or shall not", "[io][onnx]") {
  const embedding_model file;
  const session s(onnx::load(file.path(), {.map_files = false}));
  fs::resize_file(file.table(), 0);  // would end the process if it were mapped
  const std::vector<any_tensor> x{tensor<int64>({2}, {1, 2})};
  CHECK(s.run(x).at(0).as<fp32>().at(1, 0) == 2.0f);

  // In the model's own file elements lie at any address: the same values wherever that is.
  for (std::size_t shift = 0; shift < 8; ++shift) {
    graph_proto g = relu_graph();
    g.weights = {weight_proto(std::string(1 + shift, 'w'), {64, 64}, 3.0f)};
    write_file_atomically(file.path(), span(model_proto(g)));
    const model m = onnx::load(file.path());
    const any_tensor& w = *m.weights.begin()->second;
    CHECK(reinterpret_cast<std::uintptr_t>(w.data()) % alignof(float) == 0);
    CHECK(w.as<fp32>().at(63, 63) == 3.0f);
  }
}
