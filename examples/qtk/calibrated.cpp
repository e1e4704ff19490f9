#include "calibrated.hpp"

#include "evaluate.hpp"

namespace qtk_cli {
namespace {

/// Ranges of uint8 activations, as int8-static chooses them.
constexpr auto default_calibration = "mse";

qtk::any_observer observer_of(const calibrated_format& f) {
  return qtk::any_observer(f.calibration, qtk::codes_of<qtk::uint8>, f.activations.activations);
}

template <class F>
qtk::model with_weights(const qtk::model& m, const calibrated_format& f,
                        const qtk::calibrator* seen) {
  qtk::weight_options<F> o;
  o.algorithm = f.algorithm;
  o.weights = f.weights;
  o.bits = f.bits;
  o.integer = f.integer;
  return qtk::quantize_weights<F>(m, o, seen);
}

}  // namespace

qtk::model make(const qtk::model& trained, const calibrated_format& f, const data_set* data,
                qtk::executor_ref executor) {
  const auto observe = [&](const qtk::model& m, bool hessians) {
    auto seen = std::make_unique<qtk::calibrator>(
        m, qtk::calibration_options{
               .activations = observer_of(f), .hessians = hessians, .executor = executor});
    observe_all(*seen, m, *data);
    return seen;
  };
  if (!f.fixed_activations) {
    const bool wants = data != nullptr && f.algorithm != qtk::weight_algorithm::rtn &&
                       f.algorithm != qtk::weight_algorithm::hqq;
    const auto seen = wants ? observe(trained, true) : nullptr;
    return f.bits == 8 ? with_weights<qtk::int8>(trained, f, seen.get())
                       : with_weights<qtk::int4>(trained, f, seen.get());
  }
  QTK_CHECK(data != nullptr, "--data", "is what int8-static takes its ranges from");
  qtk::model m = qtk::optimize(trained);
  if (f.equalize) m = qtk::equalize_layers(std::move(m));
  if (f.algorithm == qtk::weight_algorithm::smoothquant)
    m = qtk::smooth_inputs(m, *observe(m, true));
  m = qtk::quantize_static<qtk::int8>(m, *observe(m, false), f.activations);
  if (f.equalize) m.metadata.insert_or_assign("qtk.equalized", "1");
  m.metadata.insert_or_assign("qtk.algorithm", std::string(qtk::name(f.algorithm)));
  return m;
}

void calibration_arguments::add_to(CLI::App& app) {
  app.add_option("--calibration", calibration,
                 qtk::cat("int8-static: min_max, moving_average, percentile, entropy or mse (",
                          default_calibration, ")"));
  app.add_option("--algorithm", algorithm,
                 "weights: rtn, clip, hqq, gptq, awq or smoothquant (rtn)");
  app.add_option("--samples", samples,
                 "of the data, to calibrate on or, with --auto, to try single layers on")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000000));
  app.add_option("--bits", bits, "of weights: 8, 4, 3 or 2; 3 and 2 are stored as 4")
      ->check(CLI::IsMember({2, 3, 4, 8}));
  auto* group = app.add_option("--group-size", group_size, "weights that share a scale")
                    ->check(CLI::Range(1, 1 << 20));
  auto* channel = app.add_flag("--per-channel", per_channel, "a scale for each output");
  auto* tensor = app.add_flag("--per-tensor", per_tensor, "one scale for all weights of a layer");
  group->excludes(channel)->excludes(tensor);
  channel->excludes(tensor);
  app.add_flag("--symmetric", symmetric, "int8-static: activations around code 128");
  app.add_flag("--equalize", equalize, "int8-static: even out the channels between layers");
  app.add_flag("--no-bias-correction", keep_biases, "int8-static: leave biases as they are");
}

bool calibration_arguments::any() const {
  return !calibration.empty() || !algorithm.empty() || bits != 0 || group_size != 0 ||
         per_channel || per_tensor || symmetric || equalize || keep_biases;
}

calibrated_format calibration_arguments::resolve(const std::string& to) const {
  calibrated_format f;
  f.name = to;
  f.fixed_activations = to == "int8-static";
  const bool four = to == "int4-weight-only" || to == "int4-dynamic";
  const bool eight = to == "int8-weight-only" || to == "int8-dynamic";
  QTK_CHECK(f.fixed_activations || four || eight, "--to", to, " is not made by an algorithm");
  f.integer = to.ends_with("-dynamic");
  f.bits = bits != 0 ? bits : four ? 4 : 8;
  QTK_CHECK(four ? f.bits <= 4 : f.bits == 8, "--bits", f.bits, " with --to ", to);
  if (!algorithm.empty()) f.algorithm = qtk::parse_weight_algorithm(algorithm);
  f.weights = group_size != 0 ? qtk::per_group(group_size)
              : per_tensor    ? qtk::per_tensor()
              : per_channel   ? qtk::per_channel(0)
              : four          ? qtk::per_group(32)
                              : qtk::per_channel(0);
  if (!f.fixed_activations) {
    QTK_CHECK(calibration.empty() && !symmetric && !equalize && !keep_biases, "--to", to,
              " has no fixed activations: --calibration, --symmetric, --equalize and "
              "--no-bias-correction are for int8-static");
    return f;
  }
  QTK_CHECK(group_size == 0, "--group-size", "int8-static takes a scale for each channel or one");
  QTK_CHECK(algorithm.empty() || f.algorithm == qtk::weight_algorithm::rtn ||
                f.algorithm == qtk::weight_algorithm::smoothquant,
            "--algorithm", "int8-static takes rtn or smoothquant");
  f.calibration =
      qtk::parse_calibration(calibration.empty() ? default_calibration : calibration.c_str());
  f.activations.activations = symmetric ? qtk::symmetry::symmetric : qtk::symmetry::asymmetric;
  f.activations.weights = f.weights;
  f.activations.bias_correction = !keep_biases;
  f.equalize = equalize;
  return f;
}

std::vector<calibrated_format> calibrated_formats(const std::string& calibration,
                                                  const std::string& algorithm) {
  std::vector<calibrated_format> all;
  const auto add_static = [&](std::string name, qtk::calibration how) {
    calibrated_format& f = all.emplace_back();
    f.name = std::move(name);
    f.fixed_activations = true;
    f.calibration = how;
  };
  if (calibration == "all")
    for (const qtk::calibration c : qtk::calibrations)
      add_static(qtk::cat("int8-static/", qtk::name(c)), c);
  else
    add_static("int8-static", qtk::parse_calibration(calibration.empty() ? default_calibration
                                                                         : calibration.c_str()));
  if (algorithm.empty()) return all;
  const auto add_weights = [&](qtk::weight_algorithm a, int bits, const qtk::granularity& g) {
    calibrated_format& f = all.emplace_back();
    const bool groups = g.what == qtk::granularity::kind::group;
    f.name = qtk::cat("int", bits, "-", groups ? qtk::cat("g", g.group_size) : "channel", "/", a);
    f.algorithm = a;
    f.bits = bits;
    f.weights = g;
  };
  const auto names = [&](int bits, const qtk::granularity& g) {
    if (algorithm == "all")
      for (const qtk::weight_algorithm a : qtk::weight_algorithms) add_weights(a, bits, g);
    else
      add_weights(qtk::parse_weight_algorithm(algorithm), bits, g);
  };
  names(4, qtk::per_channel(0));
  names(4, qtk::per_group(32));
  names(3, qtk::per_group(32));
  return all;
}

}  // namespace qtk_cli
