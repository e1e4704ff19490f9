#include <algorithm>
#include <chrono>
#include <cstdio>
#include <qtk/onnx.hpp>

#include "npy.hpp"
#include "options.hpp"

namespace qtk_cli {

void add_run(CLI::App& app) {
  struct arguments {
    std::string model, output;
    std::vector<std::string> inputs;
    std::size_t runs = 1;
    thread_option threads;
  };
  auto* command = app.add_subcommand("run", "runs a model on arrays from .npy files");
  const auto a = std::make_shared<arguments>();
  command->add_option("model", a->model, "ONNX file")->required();
  command->add_option("--input", a->inputs, "[NAME=]FILE.npy, one for each input of the model");
  command->add_option("--output", a->output, "writes OUTPUT.0.npy, OUTPUT.1.npy, ...");
  command->add_option("--runs", a->runs, "prints the median time of so many runs")
      ->check(CLI::Range(1, 1000000));
  a->threads.add_to(*command);
  command->callback([a] {
    using clock = std::chrono::steady_clock;
    const auto begin = clock::now();
    qtk::model m = qtk::onnx::load(a->model);
    const std::vector<qtk::any_tensor> inputs = load_inputs(m, a->inputs);
    std::vector<qtk::shape> shapes;
    for (const qtk::any_tensor& t : inputs) shapes.push_back(t.shape());
    const qtk::session session(std::move(m), {.executor = a->threads.executor(), .shapes = shapes});
    const std::chrono::duration<double, std::milli> start = clock::now() - begin;
    std::vector<qtk::any_tensor> outputs;
    std::vector<double> times;
    for (std::size_t i = 0; i < a->runs; ++i) {
      const auto before = clock::now();
      outputs = session.run(inputs);
      times.push_back(std::chrono::duration<double, std::milli>(clock::now() - before).count());
    }
    if (a->runs > 1) {
      std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(a->runs / 2),
                       times.end());
      std::printf("median of %zu runs %.4f ms, start %.1f ms\n", a->runs, times[a->runs / 2],
                  start.count());
    }
    std::vector<text_file> files;
    for (std::size_t i = 0; !a->output.empty() && i < outputs.size(); ++i)
      files.push_back({qtk::cat(a->output, ".", i, ".npy"), to_npy(outputs[i])});
    write_all(files);
  });
}

}  // namespace qtk_cli
