#include <algorithm>
#include <cstdlib>
#include <optional>
#include <qtk/graph.hpp>
#include <qtk/onnx.hpp>

#include "../../examples/qtk/data.hpp"
#include "../../examples/qtk/evaluate.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"

/// Models that others trained, on the data they were made for. Accuracy in FP32 must be what their
/// authors' runtime gives (data INDEX); formats may lose what the table in README says.

using namespace qtk;
using qtk_test::data_file;

namespace {

struct trained {
  const char *name, *model, *data;
  float scale;
  std::vector<float> mean, std;
  double fp32_percent;
  double int8_size, int4_size;  // of fp32's, scales included
};

const trained models[] = {
    {"mnist_cntk", "onnx/mnist_cntk/mnist.onnx", "mnist:mnist", 1.0f, {}, {}, 98.91, 0.27, 0.17},
    {"resnet20",
     "cifar10/resnet20_cifar10.onnx",
     "cifar10:cifar10/test_batch.bin.gz",
     1.0f / 255,
     {0.485f, 0.456f, 0.406f},
     {0.229f, 0.224f, 0.225f},
     81.03,
     0.27,
     0.17},
    {"keypoint",
     "onnx/keypoint/keypoint_classifier.onnx",
     "csv:onnx/keypoint/keypoint.csv",
     1.0f,
     {},
     {},
     96.52,
     0.31,  // rows of 42, 20 and 10 weights: an fp32 scale for each weighs
     0.21},
};

double percent(const model& m, const qtk_cli::data_set& data) {
  const session s(m);
  return 100.0 * qtk_cli::accuracy(qtk_cli::run_all(s, data, 50), data);
}

struct loaded_model {
  model m;
  qtk_cli::data_set data;
};

/// The model with at most `limit` of its samples; nothing, said as skipped, where they aren't
/// there.
std::optional<loaded_model> load(const trained& t, std::size_t limit) {
  const std::string spec = t.data;
  const std::size_t colon = spec.find(':') + 1;
  const auto model_path = data_file(t.model);
  const auto data_path = data_file(spec.substr(colon));
  if (!model_path || !data_path) {
    QTK_SKIP("no " << t.model);
    return std::nullopt;
  }
  loaded_model l{qtk_cli::with_scores(onnx::load(*model_path)),
                 qtk_cli::load_data(spec.substr(0, colon) + *data_path, limit)};
  qtk_cli::preprocess(l.data, {t.scale, t.mean, t.std});
  return l;
}

}  // namespace

TEST_CASE("trained models keep their accuracy", "[io][real]") {
  // Where every sample is slow (sanitizers), few of them: that they run, not how right they are.
  const bool light = std::getenv("QTK_TEST_LIGHT") != nullptr;
  for (const trained& t : models) {
    const auto loaded = load(t, light ? 100 : 10000);
    if (!loaded) continue;
    const auto& [m, data] = *loaded;
    CAPTURE(t.name);
    const double noise = light ? 10.0 : 0.0;
    CHECK(percent(m, data) == Approx(t.fp32_percent).margin(0.02 + noise));
    CHECK(percent(quantize_weights<fp16>(m), data) > t.fp32_percent - 0.1 - noise);
    CHECK(percent(quantize_weights<bf16>(m), data) > t.fp32_percent - 0.1 - noise);
    CHECK(percent(quantize_dynamic<int8>(m), data) > t.fp32_percent - 0.5 - noise);
    const auto reference = static_cast<double>(weight_bytes(optimize(m)));
    CHECK(static_cast<double>(weight_bytes(quantize_dynamic<int8>(m))) < t.int8_size * reference);
    CHECK(static_cast<double>(weight_bytes(quantize_dynamic<int4>(m))) < t.int4_size * reference);
  }
}

TEST_CASE("trained models keep their accuracy when data calibrate them", "[io][real]") {
  const bool light = std::getenv("QTK_TEST_LIGHT") != nullptr;
  for (const trained& t : models) {
    const auto loaded = load(t, light ? 200 : 5000);
    if (!loaded) continue;
    const auto& [m, all] = *loaded;
    const qtk_cli::data_split parts = qtk_cli::split(all, light ? 32 : 512);
    const qtk_cli::data_set &chosen = parts.chosen, &rest = parts.rest;
    CAPTURE(t.name);
    const double noise = light ? 10.0 : 0.0, fp32 = percent(m, rest);
    for (const calibration how : calibrations) {
      CAPTURE(name(how));
      calibrator seen(m, {.activations = any_observer(how, codes_of<uint8>, symmetry::asymmetric)});
      qtk_cli::observe_all(seen, m, chosen);
      CHECK(seen.samples() >= chosen.count());
      CHECK(percent(quantize_static<int8>(m, seen), rest) > fp32 - 0.3 - noise);
      if (light) break;
    }
    calibrator seen(m, {.hessians = true});
    qtk_cli::observe_all(seen, m, chosen);
    const auto lost = [&](weight_algorithm a) {
      return fp32 -
             percent(quantize_weights<int4>(m, {.algorithm = a, .weights = per_channel(0)}, &seen),
                     rest);
    };
    // The best loses half of what rounding to the nearest does; where that is nothing, little.
    const double best = std::min(
        {lost(weight_algorithm::gptq), lost(weight_algorithm::hqq), lost(weight_algorithm::clip)});
    CHECK(best < std::max(0.5 * lost(weight_algorithm::rtn), 0.05) + noise);
  }
}
