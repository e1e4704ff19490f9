#include "evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace qtk_cli {
namespace {

/// Samples as the model takes them: (N, 1, 28, 28) also serves a model of (N, 784).
qtk::tensor<qtk::fp32> shaped(const qtk::model& m, qtk::tensor<qtk::fp32> x) {
  qtk::shape s{x.shape()[0]};
  const auto& dims = m.inputs.at(0).dims;
  for (std::size_t d = 1; d < dims.size(); ++d) s.push_back(dims[d].size.value_or(x.shape()[d]));
  QTK_CHECK(s.elements() == x.elements(), qtk::cat("input '", m.inputs[0].name, "'"),
            "samples are ", x.shape(), ", the model takes ", m.inputs[0]);
  x.reshape(s);
  return x;
}

}  // namespace

std::size_t allowed_batch(const qtk::model& m, std::size_t wanted) {
  QTK_CHECK(!m.inputs.empty(), "model", "has no input");
  const auto& dims = m.inputs[0].dims;
  QTK_CHECK(!dims.empty(), qtk::cat("input '", m.inputs[0].name, "'"),
            "the model does not say what shape it takes");
  return dims[0].size.value_or(wanted);
}

qtk::model with_scores(qtk::model m) {
  for (const qtk::node& n : m.nodes)
    if (n.is("ArgMax") && n.outputs.at(0) == m.outputs.at(0).name) {
      m.outputs.push_back({.name = n.inputs.at(0), .type = qtk::dtype::fp32, .dims = {}});
      break;
    }
  return m;
}

answers run_all(const qtk::session& session, const data_set& data, std::size_t batch_size,
                const std::function<void(double)>& tick) {
  const qtk::model& m = session.graph();
  QTK_CHECK(m.inputs.size() == 1 && m.inputs[0].type == qtk::dtype::fp32, "model",
            "accuracy needs one fp32 input, this one has ", m.inputs.size());
  const std::size_t size = allowed_batch(m, batch_size), count = data.count();
  answers all;
  for (std::size_t first = 0; first < count; first += size) {
    const std::size_t now = std::min(size, count - first);
    // A fixed batch is filled up with repeats, which are not counted.
    const bool fixed = !m.inputs[0].dims.empty() && m.inputs[0].dims[0].size;
    const std::size_t given = fixed ? size : now;
    const qtk::any_tensor x(shaped(m, batch(data, first, given)));
    const auto outputs = session.run(std::span(&x, 1));
    const auto* classes = outputs[0].get_if<qtk::int64>();
    const auto& scores = outputs[classes != nullptr ? outputs.size() - 1 : 0].as<qtk::fp32>();
    const std::size_t per_sample = scores.elements() / given;
    for (std::size_t i = 0; i < now; ++i) {
      const float* row = scores.data() + i * per_sample;
      all.scores.insert(all.scores.end(), row, row + per_sample);
      all.classes.push_back(classes != nullptr
                                ? static_cast<int>(classes->data()[i])
                                : static_cast<int>(std::max_element(row, row + per_sample) - row));
    }
    if (tick) tick(static_cast<double>(first + now) / static_cast<double>(count));
  }
  return all;
}

double accuracy(const answers& a, const data_set& data) {
  if (data.labels.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::size_t right = 0;
  for (std::size_t i = 0; i < a.classes.size(); ++i) right += a.classes[i] == data.labels[i];
  return static_cast<double>(right) / static_cast<double>(a.classes.size());
}

double output_sqnr_db(const answers& reference, const answers& a) {
  double signal = 0.0, noise = 0.0;
  for (std::size_t i = 0; i < reference.scores.size(); ++i) {
    const double x = reference.scores[i], d = x - a.scores[i];
    signal += x * x;
    noise += d * d;
  }
  return noise == 0.0 ? std::numeric_limits<double>::infinity() : 10.0 * std::log10(signal / noise);
}

std::vector<qtk::any_tensor> sample_inputs(const qtk::model& m, const data_set& data,
                                           std::size_t batch_size) {
  return {shaped(m, batch(data, 0, allowed_batch(m, batch_size)))};
}

std::vector<qtk::any_tensor> random_inputs(const qtk::model& m,
                                           std::span<const qtk::shape> shapes) {
  std::vector<qtk::any_tensor> inputs;
  std::mt19937 random(1);
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    qtk::any_tensor& t = inputs.emplace_back(m.inputs.at(i).type, shapes[i]);
    if (t.is<qtk::fp32>())
      for (float& x : t.as<qtk::fp32>().span())
        x = static_cast<float>(random() >> 8) * (1.0f / 16777216.0f);
  }
  return inputs;
}

}  // namespace qtk_cli
