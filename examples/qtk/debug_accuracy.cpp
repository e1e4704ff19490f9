#include <cstdio>
#include <nlohmann/json.hpp>
#include <qtk/core/file.hpp>
#include <qtk/graph/layer_errors.hpp>
#include <qtk/onnx.hpp>
#include <qtk/report/layer_errors.hpp>
#include <qtk/report/svg_file.hpp>

#include "evaluate.hpp"
#include "formats.hpp"
#include "options.hpp"

namespace qtk_cli {
namespace {

using json = nlohmann::ordered_json;

json to_json(const qtk::error_metrics& e) {
  return {{"sqnr_db", e.sqnr_db}, {"cosine", e.cosine}, {"mse", e.mse}, {"max_abs", e.max_abs}};
}

}  // namespace

void add_debug_accuracy(CLI::App& app) {
  struct arguments {
    std::string model, format = "int8-dynamic", quantized, json, svg;
    data_options data;
    thread_option threads;
  };
  auto* command =
      app.add_subcommand("debug-accuracy", "which layers of a quantized model go wrong");
  const auto a = std::make_shared<arguments>();
  command->add_option("model", a->model, "ONNX file in fp32")->required();
  a->data.limit = 512;
  a->data.add_to(*command, true);
  a->threads.add_to(*command);
  auto* to = command->add_option("--to", a->format, "as in quantize")->capture_default_str();
  command->add_option("--quantized", a->quantized, "or the quantized ONNX file")->excludes(to);
  command->add_option("--json", a->json, "write the numbers here");
  command->add_option("--svg", a->svg, "write a picture here");
  command->callback([a] {
    for (const std::string& path : {a->json, a->svg})  // before the work
      if (!path.empty()) static_cast<void>(qtk::staged_file(path));
    const auto& format = find_format(a->format);
    const data_set data = a->data.load();
    const qtk::model real = qtk::onnx::load(a->model);
    check_input(real);
    const qtk::model small =
        a->quantized.empty() ? format.make(real) : qtk::onnx::load(a->quantized);
    const std::string what = a->quantized.empty() ? a->format : a->quantized;
    qtk::layer_error_meter meter(real, small, a->threads.executor());
    {
      const progress bar("comparing");
      for_batches(real, data, 32, [&](const qtk::any_tensor& x, std::size_t done) {
        meter.add({&x, 1});
        bar.show(static_cast<double>(done) / static_cast<double>(data.count()));
      });
    }
    const auto errors = meter.result();
    std::vector<text_file> files;
    if (!a->svg.empty())
      files.push_back({a->svg, qtk::report::svg_file(qtk::report::layer_error_bars(
                                   errors, qtk::cat(a->model.substr(a->model.rfind('/') + 1), ", ",
                                                    what, ": error of each layer")))});
    if (!a->json.empty()) {
      json layers = json::array();
      for (const qtk::layer_error& e : errors)
        layers.push_back({{"layer", e.layer},
                          {"output", e.output},
                          {"accumulated", to_json(e.accumulated)},
                          {"alone", to_json(e.alone)}});
      const json all = {
          {"model", a->model}, {"quantized", what}, {"samples", data.count()}, {"layers", layers}};
      files.push_back({a->json, all.dump(2, ' ', false, json::error_handler_t::replace) + "\n"});
    }
    write_all(files);
    std::fputs(qtk::report::layer_error_table(errors).str().c_str(), stdout);
  });
}

}  // namespace qtk_cli
