#include <cstdio>
#include <qtk/onnx.hpp>
#include <qtk/report/table.hpp>

#include "auto.hpp"
#include "formats.hpp"
#include "options.hpp"

namespace qtk_cli {

void add_quantize(CLI::App& app) {
  struct arguments {
    std::string model, format, output;
    data_options data;
    auto_options automatic;
  };
  auto* command = app.add_subcommand("quantize", "write a model in a smaller format");
  const auto a = std::make_shared<arguments>();
  command->add_option("model", a->model, "ONNX file")->required();
  std::string names;
  for (const format_choice& f : all_formats()) names += qtk::cat(names.empty() ? "" : ", ", f.name);
  auto* to = command->add_option("--to", a->format, names);
  command->add_option("-o,--output", a->output, "ONNX file to write")->required();
  a->data.add_to(*command, false);
  a->automatic.add_to(*command);
  command->get_option("--auto")->excludes(to);
  command->callback([a] {
    if (a->automatic.on) return quantize_auto(a->model, a->output, a->data, a->automatic);
    QTK_CHECK(!a->format.empty(), "--to", "names no format (or give --auto)");
    const format_choice& format = find_format(a->format);
    const qtk::model before = qtk::onnx::load(a->model);
    const qtk::model after = format.make(before);
    qtk::onnx::save(after, a->output);
    std::printf("%s: %s of weights, %s in %s\n", a->output.c_str(),
                qtk::report::human_bytes(qtk::weight_bytes(before)).c_str(),
                qtk::report::human_bytes(qtk::weight_bytes(after)).c_str(), a->format.c_str());
  });
}

}  // namespace qtk_cli
