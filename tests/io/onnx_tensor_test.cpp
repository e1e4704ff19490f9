#include <filesystem>
#include <qtk/io/onnx_reader.hpp>

#include "support/catch.hpp"
#include "support/onnx_builder.hpp"

using namespace qtk;
using namespace qtk_test::onnx_file;

namespace {

/// The one weight of a model, read back.
any_tensor read(const bytes& weight) {
  graph_proto g = relu_graph();
  g.weights = {weight};
  const model m = onnx::parse(span(model_proto(g)), {}, "f.onnx");
  return *m.weights.at("w");
}
std::string failure(const bytes& weight) {
  try {
    (void)read(weight);
  } catch (const error& e) {
    return e.what();
  }
  return "no error";
}
bytes packed(std::uint32_t f, const std::vector<std::int32_t>& values) {
  return message([&](auto& m) { m.add_packed_int32(f, values.begin(), values.end()); });
}
bytes one_by_one(std::uint32_t f, const std::vector<std::int32_t>& values) {
  return message([&](auto& m) {
    for (const auto v : values) m.add_int32(f, v);
  });
}
template <class F>
std::vector<typename F::value_type> elements(const any_tensor& t) {
  const auto& typed = t.as<F>();
  std::vector<typename F::value_type> out;
  for (std::size_t r = 0; r < typed.rows(); ++r)
    for (std::size_t c = 0; c < typed.cols(); ++c) out.push_back(typed.at(r, c));
  return out;
}

namespace field_of = proto::tensor;

}  // namespace

TEST_CASE("elements from raw_data", "[io][onnx]") {
  CHECK(elements<fp32>(read(tensor_proto("w", 1, {2, 1}, raw({1.5f, -2.0f})))) ==
        std::vector{1.5f, -2.0f});
  CHECK(elements<uint8>(read(tensor_proto("w", 2, {2}, raw<std::uint8_t>({7, 255})))) ==
        std::vector<std::uint8_t>{7, 255});
  CHECK(elements<int8>(read(tensor_proto("w", 3, {2}, raw<std::int8_t>({-128, 127})))) ==
        std::vector<std::int8_t>{-128, 127});
  CHECK(elements<int32>(read(tensor_proto("w", 6, {1}, raw({-5})))) == std::vector{-5});
  CHECK(elements<int64>(read(tensor_proto("w", 7, {1}, raw<std::int64_t>({1LL << 40})))) ==
        std::vector<std::int64_t>{1LL << 40});
  CHECK(elements<boolean>(read(tensor_proto("w", 9, {3}, raw<std::uint8_t>({0, 1, 2})))) ==
        std::vector<std::uint8_t>{0, 1, 1});
  CHECK(elements<fp16>(read(tensor_proto("w", 10, {1}, raw<std::uint16_t>({0x3c00})))) ==
        std::vector{half{0x3c00}});
  CHECK(elements<fp64>(read(tensor_proto("w", 11, {}, raw({0.1})))) == std::vector{0.1});
  CHECK(elements<bf16>(read(tensor_proto("w", 16, {1}, raw<std::uint16_t>({0x3f80})))) ==
        std::vector{bfloat16{0x3f80}});
  CHECK(read(tensor_proto("w", 1, {0, 4}, "")).shape() == shape{0, 4});
}

TEST_CASE("4-bit codes run on over the ends of rows in the file, not in a tensor", "[io][onnx]") {
  // 0x21 0x43 0x65 0x87 0xF9 is 1 2 3 4 5 6 7 -8 -7 (and a pad that is not zero).
  const auto codes = raw<std::uint8_t>({0x21, 0x43, 0x65, 0x87, 0xF9});
  const any_tensor t = read(tensor_proto("w", 22, {3, 3}, codes));
  CHECK(elements<int4>(t) == std::vector<std::int8_t>{1, 2, 3, 4, 5, 6, 7, -8, -7});
  CHECK(t.size_bytes() == 6);  // each row of three starts on a byte
  CHECK(t.as<int4>().span()[5] == 0x09);
  CHECK(elements<uint4>(read(tensor_proto("w", 21, {9}, codes))) ==
        std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(elements<uint4>(read(tensor_proto("w", 21, {2, 4}, codes.substr(0, 4)))) ==
        std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6, 7, 8});
}

TEST_CASE("elements from typed fields, packed or not", "[io][onnx]") {
  for (const auto& write : {packed, one_by_one}) {
    const auto of = [&](std::int64_t type, std::vector<std::int64_t> dims,
                        std::vector<std::int32_t> v) {
      return read(tensor_head("w", type, dims) + write(field_of::int32_data, v));
    };
    CHECK(elements<int32>(of(6, {2}, {-1, 2})) == std::vector{-1, 2});
    CHECK(elements<int8>(of(3, {2}, {-128, 127})) == std::vector<std::int8_t>{-128, 127});
    CHECK(elements<uint8>(of(2, {2}, {0, 255})) == std::vector<std::uint8_t>{0, 255});
    CHECK(elements<boolean>(of(9, {2}, {0, 1})) == std::vector<std::uint8_t>{0, 1});
    CHECK(elements<fp16>(of(10, {1}, {0xfc00})) == std::vector{half{0xfc00}});
    CHECK(elements<bf16>(of(16, {1}, {0xff80})) == std::vector{bfloat16{0xff80}});
    CHECK(elements<int4>(of(22, {3, 1}, {0xf1, 0x07})) == std::vector<std::int8_t>{1, -1, 7});
    CHECK(elements<uint4>(of(21, {2}, {0xf1})) == std::vector<std::uint8_t>{1, 15});
    CHECK(elements<int64>(read(tensor_head("w", 7, {2}) + write(field_of::int64_data, {-7, 8}))) ==
          std::vector<std::int64_t>{-7, 8});
  }
  const std::vector<float> floats{0.5f, -0.25f};
  CHECK(elements<fp32>(read(tensor_head("w", 1, {2}) + message([&](auto& m) {
                              m.add_packed_float(field_of::float_data, floats.begin(),
                                                 floats.end());
                            }))) == floats);
  CHECK(elements<fp32>(read(tensor_head("w", 1, {2}) + message([&](auto& m) {
                              for (const float f : floats) m.add_float(field_of::float_data, f);
                            }))) == floats);
  CHECK(elements<fp64>(read(tensor_head("w", 11, {1}) + message([&](auto& m) {
                              m.add_double(field_of::double_data, 0.1);
                            }))) == std::vector{0.1});
}

TEST_CASE("a tensor that contradicts itself", "[io][onnx]") {
  CHECK(failure(tensor_proto("w", 1, {16, 1, 3, 3}, bytes(3456, 'x'))) ==
        "f.onnx: tensor 'w': 3456 bytes of data for shape [16, 1, 3, 3] of fp32 "
        "(576 bytes expected)");
  CHECK(failure(tensor_proto("w", 22, {3}, "x")) ==
        "f.onnx: tensor 'w': 1 bytes of data for shape [3] of int4 (2 bytes expected)");
  CHECK(failure(tensor_head("w", 6, {3}) + packed(field_of::int32_data, {1, 2})) ==
        "f.onnx: tensor 'w': 2 values of data for shape [3] of int32 (3 values expected)");
  CHECK(failure(tensor_head("w", 1, {1})) ==
        "f.onnx: tensor 'w': 0 values of data for shape [1] of fp32 (1 values expected)");
  CHECK(failure(tensor_head("w", 3, {1}) + packed(field_of::int32_data, {128})) ==
        "f.onnx: tensor 'w': value 128 isn't of int8");
  CHECK(failure(tensor_head("w", 10, {1}) + packed(field_of::int32_data, {65536})) ==
        "f.onnx: tensor 'w': value 65536 isn't 16 bits");
  CHECK(failure(tensor_proto("w", 6, {1}, "1234") + packed(field_of::int32_data, {1})) ==
        "f.onnx: tensor 'w': has data in two places");
  CHECK(failure(tensor_proto("w", 1, {-1}, "")) == "f.onnx: tensor 'w': a dimension of -1");
  CHECK(failure(tensor_proto("w", 14, {1}, "12345678")) ==
        "f.onnx: tensor 'w': type complex64 is not supported");
  CHECK(failure(tensor_proto("w", 8, {1}, "")) ==
        "f.onnx: tensor 'w': type string is not supported");
  CHECK(failure(tensor_proto("w", 999, {1}, "")) ==
        "f.onnx: tensor 'w': type number 999 is not supported");
}

TEST_CASE("sizes that do not fit", "[io][onnx]") {
  const std::int64_t big = std::int64_t{1} << 62;
  CHECK(failure(tensor_proto("w", 1, {big, big}, "")).find("overflows") != std::string::npos);
  CHECK(failure(tensor_proto("w", 1, {big}, "")).find("overflows") != std::string::npos);
  CHECK(failure(tensor_proto("w", 3, {big}, "")).find("bytes expected") != std::string::npos);
  CHECK(failure(tensor_proto("w", 1, {big, 0}, "")).find("no elements, but many rows") !=
        std::string::npos);
  CHECK(failure(tensor_proto("w", 1, {big, big, 0}, "")).find("overflows") != std::string::npos);
  CHECK(
      failure(tensor_proto("w", 1, std::vector<std::int64_t>(9, 1), "1234")).find("rank above 8") !=
      std::string::npos);
}

TEST_CASE("external data stay inside of the model's folder", "[io][onnx]") {
  namespace fs = std::filesystem;
  const fs::path top = fs::temp_directory_path() / "qtk_external_data_test", root = top / "model";
  fs::remove_all(top);
  fs::create_directories(root / "sub");
  const auto write = [](const fs::path& p, const bytes& b) {
    write_file_atomically(p.string(), span(b));
  };
  write(top / "secret", raw({9.0f, 9.0f}));
  write(root / "sub" / "data", raw({0.0f, 1.0f, 2.0f}));
  fs::create_symlink(top / "secret", root / "link");
  fs::create_symlink("sub/data", root / "inner");

  const auto load = [&](const std::vector<std::pair<std::string, std::string>>& entries) {
    bytes t = tensor_head("w", 1, {2}) + number(field_of::data_location, 1);
    for (const auto& [key, value] : entries)
      t += field(field_of::external_data,
                 field(proto::entry::key, key) + field(proto::entry::value, value));
    graph_proto g = relu_graph();
    g.weights = {t};
    write(root / "m.onnx", model_proto(g));
    try {
      const auto m = onnx::load((root / "m.onnx").string());
      const auto& w = m.weights.at("w")->as<fp32>();
      return cat(w.data()[0], " ", w.data()[1]);
    } catch (const error& e) {
      return std::string(e.message());
    }
  };
  CHECK(load({{"location", "sub/data"}, {"offset", "4"}, {"length", "8"}}) == "1 2");
  CHECK(load({{"location", "./sub/data"}}) == "0 1");
  CHECK(load({{"location", "inner"}}) == "0 1");
  const std::string outside = "external data outside of the model's folder";
  CHECK(load({{"location", "../secret"}}) == outside);
  CHECK(load({{"location", "sub/../../secret"}}) == outside);
  CHECK(load({{"location", "link"}}) == outside);
  CHECK(load({{"location", (top / "secret").string()}}) == outside);
  CHECK(load({{"location", std::string("sub/data\0x", 10)}}) == outside);
  CHECK(load({{"offset", "0"}}) == "external data without a location");
  CHECK(load({{"location", "nothing"}}) == "no such file");
  CHECK(load({{"location", "sub"}}) == "is a directory");
  CHECK(load({{"location", "sub/data"}, {"offset", "8"}}) == "8 bytes at 8 of a file of 12");
  CHECK(load({{"location", "sub/data"}, {"offset", "18446744073709551615"}}) ==
        "8 bytes at 18446744073709551615 of a file of 12");
  CHECK(load({{"location", "sub/data"}, {"offset", "-4"}}) ==
        "external data: offset is not a number");
  CHECK(load({{"location", "sub/data"}, {"length", "12"}}) ==
        "12 bytes of external data, 8 expected");
  CHECK(failure(tensor_head("w", 1, {2}) + number(field_of::data_location, 1)) ==
        "f.onnx: tensor 'w': has external data, but the model was not read from a file");
  fs::remove_all(top);
}
