#include <iostream>
#include <qtk/core/file.hpp>
#include <qtk/kernels/probe.hpp>
#include <qtk/onnx.hpp>
#include <qtk/profile.hpp>
#include <sstream>

#include "evaluate.hpp"
#include "formats.hpp"
#include "npy.hpp"
#include "options.hpp"

namespace qtk_cli {
namespace {

qtk::shape shape_of(const std::vector<std::size_t>& dims) {
  qtk::shape s;
  for (const std::size_t d : dims) s.push_back(d);
  return s;
}

}  // namespace

void add_profile(CLI::App& app) {
  struct arguments {
    std::string model, format = "fp32", trace;
    std::vector<std::size_t> dims;
    std::vector<std::string> inputs;
    thread_option threads;
    std::size_t batch = 1, runs = 20;
  };
  auto* command = app.add_subcommand("profile", "who takes the time, and which bound holds");
  const auto a = std::make_shared<arguments>();
  command->add_option("model", a->model, "ONNX file")->required();
  command->add_option("--format", a->format, "as in quantize --to")->capture_default_str();
  command->add_option("--batch", a->batch, "samples per run")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  command->add_option("--shape", a->dims, "of the one input, such as 1,3,224,224")->delimiter(',');
  command->add_option("--input", a->inputs, "[NAME=]FILE.npy, one for each input of the model")
      ->excludes("--shape", "--batch");
  command->add_option("--runs", a->runs, "runs to add up")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  command->add_option("--trace", a->trace, "write Chrome trace JSON here, for Perfetto");
  a->threads.add_to(*command);
  command->callback([a] {
    if (!a->trace.empty()) static_cast<void>(qtk::staged_file(a->trace));  // before the work
    const qtk::model m = find_format(a->format).make(qtk::onnx::load(a->model));
    QTK_CHECK(a->dims.empty() || m.inputs.size() == 1, "--shape", "for a model of ",
              m.inputs.size(), " inputs");
    QTK_CHECK(a->dims.size() <= qtk::shape::max_rank, "--shape", a->dims.size(), " dimensions");
    std::vector<qtk::any_tensor> inputs;
    std::vector<qtk::shape> shapes;
    if (!a->inputs.empty()) {
      inputs = load_inputs(m, a->inputs);
      for (const qtk::any_tensor& t : inputs) shapes.push_back(t.shape());
    } else {
      shapes = a->dims.empty() ? qtk::input_shapes(m, allowed_batch(m, a->batch))
                               : std::vector{shape_of(a->dims)};
      inputs = random_inputs(m, shapes);
    }
    const qtk::session session(m, {.executor = a->threads.executor(), .shapes = shapes});
    const qtk::profile::peaks peaks = qtk::measure_peaks(session.target(), a->threads.executor());
    for (int i = 0; i < 3; ++i) static_cast<void>(session.run(inputs));
    qtk::profile::enable();
    for (std::size_t i = 0; i < a->runs; ++i) static_cast<void>(session.run(inputs));
    qtk::profile::enable(false);
    if (!a->trace.empty()) {
      std::ostringstream json;
      qtk::profile::write_trace(json, qtk::profile::snapshot());
      write_all({{a->trace, json.str()}});
    }
    std::cout << qtk::profile::receipt(peaks);
  });
}

}  // namespace qtk_cli
