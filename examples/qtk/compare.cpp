#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <qtk/core/file.hpp>
#include <qtk/cpu/info.hpp>
#include <qtk/kernels/probe.hpp>
#include <qtk/onnx.hpp>
#include <qtk/report.hpp>

#include "calibrated.hpp"
#include "evaluate.hpp"
#include "formats.hpp"
#include "options.hpp"

namespace qtk_cli {
namespace {

struct arguments {
  std::string model, json, html;
  data_options data;
  thread_option threads;
  std::size_t batch = 1, runs = 50, samples = 0;
  std::string calibration, algorithm;
};

std::string today() {
  const std::time_t now = std::time(nullptr);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", std::gmtime(&now));
  return text;
}

std::string file_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

/// A format being weighed.
struct candidate {
  std::string name;
  std::size_t stored_bytes;  // what was stored, not what is packed: the size of a file
  std::unique_ptr<qtk::session> session;
  answers result;
  std::vector<double> ns;
};

/// Why a variant does not pay, in words.
std::string note(const candidate& c, const qtk::report::comparison& all,
                 const qtk::report::variant& v) {
  const double speed = all.speed_up(v);
  const std::string& name = c.name;
  if (name == "pruned50")
    return "zeros are stored and multiplied like any weight: not smaller and not faster until a "
           "sparse format holds them";
  if (!qtk::report::comparison::slower(speed)) return {};
  if (name == "int4-dynamic")
    return qtk::report::format(
        "%.2fx the time of fp32 here: each group of 32 weights is scaled by itself, which costs "
        "more than integer products save",
        1.0 / speed);
  if (name == "pruned50+int8" || name == "int8-dynamic" || name.starts_with("int8-static"))
    return qtk::report::format(
        "%.2fx the time of fp32 here: layers this small spend more on quantizing "
        "activations than integer products save",
        1.0 / speed);
  const auto& nodes = c.session->graph().nodes;
  const bool convolves = std::any_of(
      nodes.begin(), nodes.end(), [](const qtk::node& n) { return n.is("Conv", qtk::qtk_domain); });
  if (convolves)
    return qtk::report::format(
        "%.2fx the time of fp32 here: filters are widened to fp32 when the model is loaded, so "
        "that "
        "convolutions run as fp32's do, and only the file is smaller",
        1.0 / speed);
  return qtk::report::format(
      "%.2fx the time of fp32 here: products are fp32's, and these weights are too few for the "
      "memory traffic they save to pay",
      1.0 / speed);
}

/// Events of `runs` runs of one session, as a receipt.
qtk::report::receipt_section receipt_of(const candidate& c, std::span<const qtk::any_tensor> inputs,
                                        const qtk::profile::peaks& peaks, std::size_t runs) {
  static_cast<void>(c.session->run(inputs));
  qtk::profile::reset();
  qtk::profile::enable();
  for (std::size_t i = 0; i < runs; ++i) static_cast<void>(c.session->run(inputs));
  qtk::profile::enable(false);
  return {c.name, qtk::profile::receipt(peaks)};
}

void compare(arguments& a) {
  for (const std::string& path : {a.json, a.html})  // before minutes of work
    if (!path.empty()) static_cast<void>(qtk::staged_file(path));
  const auto extra = calibrated_formats(a.calibration, a.algorithm);
  // Without --samples all are judged, and some of them serve to calibrate.
  constexpr std::size_t some = 512;
  data_set data = a.data.load();
  data_split parts = split(data, a.samples != 0 ? a.samples : some);
  if (a.samples != 0) data = std::move(parts.rest);
  const data_set& seen = parts.chosen;
  QTK_CHECK(data.count() > 0, "--samples", "leaves no samples to judge by");
  const qtk::model trained = with_scores(qtk::onnx::load(a.model));
  const std::size_t batch = allowed_batch(trained, a.batch);
  const auto inputs = sample_inputs(trained, data, batch);
  const std::vector<qtk::shape> shapes{inputs[0].shape()};

  const progress bar("comparing");
  std::vector<candidate> all;
  const auto weigh = [&](std::string name, qtk::model m) {
    candidate c{.name = std::move(name),
                .stored_bytes = qtk::weight_bytes(m),
                .session = nullptr,
                .result = {},
                .ns = {}};
    c.session = std::make_unique<qtk::session>(
        std::move(m), qtk::session_options{.executor = a.threads.executor(), .shapes = shapes});
    all.push_back(std::move(c));
    const double done = static_cast<double>(all.size() - 1),
                 formats = static_cast<double>(all_formats().size() + extra.size());
    all.back().result = run_all(*all.back().session, data, 32, [&](double fraction) {
      bar.show(0.6 * (done + fraction) / formats);
    });
    if (all.size() == 1) check_known(all[0].result);
  };
  for (const format_choice& f : all_formats()) weigh(std::string(f.name), f.make(trained));
  for (const calibrated_format& f : extra)
    weigh(f.name, make(trained, f, &seen, a.threads.executor()));
  // Latency: all formats in turn, several rounds, so that a slow moment of the machine hits them
  // alike.
  constexpr std::size_t rounds = 5;
  for (std::size_t round = 0; round < rounds; ++round)
    for (candidate& c : all) {
      const std::size_t share = std::max<std::size_t>(1, a.runs / rounds);
      const auto ns = qtk::profile::measure(
          [&] { static_cast<void>(c.session->run(inputs)); },
          {.warmup = 2, .min_runs = share, .max_runs = 20 * share, .min_time_ms = 20});
      c.ns.insert(c.ns.end(), ns.begin(), ns.end());
      bar.show(0.6 + 0.3 * static_cast<double>(round + 1) / rounds);
    }

  const qtk::isa isa = all[0].session->target();
  qtk::report::comparison table{.model = file_name(a.model),
                                .cpu = qtk::describe_cpu().name,
                                .isa = std::string(qtk::name(isa)),
                                .threads = a.threads.count(),
                                .samples = data.count(),
                                .batch = batch,
                                .variants = {}};
  for (const candidate& c : all) {
    const qtk::profile::timing t = qtk::profile::summarize(c.ns);
    table.variants.push_back({.name = c.name,
                              .size_bytes = c.stored_bytes,
                              .median_ms = t.median * 1e-6,
                              .p95_ms = t.p95 * 1e-6,
                              .accuracy = accuracy(c.result, data),
                              .sqnr_db = output_sqnr_db(all[0].result, c.result),
                              .peak_bytes = c.session->memory(shapes).total(),
                              .note = {}});
  }
  for (std::size_t i = 1; i < all.size(); ++i)
    table.variants[i].note = note(all[i], table, table.variants[i]);
  qtk::report::mark_pareto(table);

  std::vector<text_file> files;
  if (!a.html.empty()) {
    const qtk::profile::peaks peaks = qtk::measure_peaks(isa, a.threads.executor());
    std::vector<qtk::report::receipt_section> receipts;
    for (const candidate& c : all)
      if (c.name == "fp32" || c.name == "int8-dynamic")
        receipts.push_back(receipt_of(c, inputs, peaks, 20));
    files.push_back({a.html, qtk::report::to_html({table, peaks, std::move(receipts), today()})});
  }
  if (!a.json.empty()) files.push_back({a.json, qtk::report::to_json(table)});
  bar.clear();
  write_all(files);
  std::fputs(qtk::report::comparison_table(table).str().c_str(), stdout);
  if (isatty(STDOUT_FILENO) == 0) return;  // piped: nothing but the table
  std::printf("  int8-static and weights by algorithms: calibrated on %zu samples%s\n",
              seen.count(), a.samples != 0 ? " that are not judged" : " of those judged");
  for (const std::string& line : qtk::report::notes(table)) std::printf("  %s\n", line.c_str());
  std::printf("%s\n", qtk::report::recommendation(table).c_str());
}

}  // namespace

void add_compare(CLI::App& app) {
  auto* command = app.add_subcommand(
      "compare", "a model in every format: size, speed, accuracy, and which to pick");
  const auto a = std::make_shared<arguments>();
  command->add_option("model", a->model, "ONNX file")->required();
  a->data.add_to(*command, true);
  a->threads.add_to(*command);
  command->add_option("--batch", a->batch, "samples per run when timing")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  command->add_option("--runs", a->runs, "timed runs per format, at least")
      ->capture_default_str()
      ->check(CLI::Range(5, 100000));
  command->add_option("--calibration", a->calibration,
                      "of int8-static: min_max, moving_average, percentile, entropy, mse; all");
  command->add_option("--algorithm", a->algorithm,
                      "add weights of 4 and 3 bits: rtn, clip, hqq, gptq, awq, smoothquant; all");
  command
      ->add_option(
          "--samples", a->samples,
          "to calibrate on, spread over the data and not judged then (512 of those judged)")
      ->check(CLI::Range(1, 1000000));
  command->add_option("--json", a->json, "write the numbers here");
  command->add_option("--report", a->html, "write a page with plots and receipts here");
  command->callback([a] { compare(*a); });
}

}  // namespace qtk_cli
