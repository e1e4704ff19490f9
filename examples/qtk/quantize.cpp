#include <cstdio>
#include <qtk/onnx.hpp>
#include <qtk/report/table.hpp>

#include "auto.hpp"
#include "calibrated.hpp"
#include "formats.hpp"
#include "options.hpp"

namespace qtk_cli {

void add_quantize(CLI::App& app) {
  struct arguments {
    std::string model, format, output;
    data_options data;
    calibration_arguments how;
    auto_options automatic;
    thread_option threads;
    bool nbits = false;
  };
  auto* command = app.add_subcommand("quantize", "write a model in a smaller format");
  const auto a = std::make_shared<arguments>();
  command->add_option("model", a->model, "ONNX file")->required();
  std::string names;
  for (const format_choice& f : all_formats()) names += qtk::cat(f.name, ", ");
  names += "int8-static";
  auto* to = command->add_option("--to", a->format, names);
  command->add_option("-o,--output", a->output, "ONNX file to write")->required();
  command->add_flag("--matmul-nbits", a->nbits,
                    "write linear layers of int4 as ONNX Runtime's MatMulNBits, not in plain ONNX");
  a->data.add_to(*command, false);
  a->how.add_to(*command);
  a->automatic.add_to(*command);
  a->threads.add_to(*command);
  command->get_option("--auto")->excludes(to);
  command->callback([a] {
    if (a->automatic.on) {
      a->automatic.samples = a->how.samples;
      a->automatic.executor = a->threads.executor();
      return quantize_auto(a->model, a->output, a->data, a->automatic);
    }
    QTK_CHECK(!a->format.empty(), "--to", "names no format (or give --auto)");
    const bool calibrated = a->format == "int8-static" || a->how.any();
    const qtk::model before = qtk::onnx::load(a->model);
    const auto by_data = [&] {
      const calibrated_format format = a->how.resolve(a->format);
      if (a->data.spec.empty()) return make(before, format, nullptr, a->threads.executor());
      const data_set data = split(a->data.load(), a->how.samples).chosen;
      return make(before, format, &data, a->threads.executor());
    };
    const qtk::model after = calibrated ? by_data() : find_format(a->format).make(before);
    qtk::onnx::save(a->nbits ? qtk::passes::use_matmul_nbits(qtk::onnx::to_standard(after)) : after,
                    a->output);
    std::printf("%s: %s of weights, %s in %s\n", a->output.c_str(),
                qtk::report::human_bytes(qtk::weight_bytes(before)).c_str(),
                qtk::report::human_bytes(qtk::weight_bytes(after)).c_str(), a->format.c_str());
  });
}

}  // namespace qtk_cli
