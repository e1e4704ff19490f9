#include <cstdio>
#include <qtk/onnx.hpp>

#include "formats.hpp"
#include "options.hpp"

namespace qtk_cli {
namespace {

/// The bytes of a .npy file (numpy format 1.0) of one tensor.
std::string to_npy(const qtk::any_tensor& t) {
  const char* type = t.is<qtk::fp32>()    ? "<f4"
                     : t.is<qtk::int64>() ? "<i8"
                     : t.is<qtk::int32>() ? "<i4"
                                          : nullptr;
  QTK_CHECK(type != nullptr, "output", "of ", qtk::name(t.dtype()), " cannot be written as .npy");
  std::string dims;
  for (const std::size_t d : t.shape()) dims += qtk::cat(d, ", ");
  std::string header =
      qtk::cat("{'descr': '", type, "', 'fortran_order': False, 'shape': (", dims, "), }");
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(header.size() & 0xff);
  out += static_cast<char>(header.size() >> 8);
  out += header;
  out.append(reinterpret_cast<const char*>(t.data()), t.size_bytes());
  return out;
}

}  // namespace

void add_run(CLI::App& app) {
  struct arguments {
    std::string model, input, output;
  };
  auto* command = app.add_subcommand("run", "one run on an array from a .npy file");
  const auto a = std::make_shared<arguments>();
  command->add_option("model", a->model, "ONNX file")->required();
  command->add_option("--input", a->input, ".npy of the model's one fp32 input")->required();
  command->add_option("--output", a->output, "writes OUTPUT.0.npy, OUTPUT.1.npy, ...")->required();
  command->callback([a] {
    const npy_array x = load_npy(a->input);
    const qtk::model m = qtk::onnx::load(a->model);
    const qtk::session session(m, {.shapes = {x.dims}});
    qtk::tensor<qtk::fp32> in(x.dims);
    std::copy(x.values.begin(), x.values.end(), in.data());
    const qtk::any_tensor input(std::move(in));
    const auto outputs = session.run(std::span(&input, 1));
    std::vector<text_file> files;
    for (std::size_t i = 0; i < outputs.size(); ++i)
      files.push_back({qtk::cat(a->output, ".", i, ".npy"), to_npy(outputs[i])});
    write_all(files);
  });
}

}  // namespace qtk_cli
