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

/// The ArgMax that makes the first output, if one does.
const qtk::node* deciding_argmax(const qtk::model& m) {
  for (const qtk::node& n : m.nodes)
    if (n.is("ArgMax") && n.has_input(0) && !n.outputs.empty() && !m.outputs.empty() &&
        n.outputs[0] == m.outputs[0].name)
      return &n;
  return nullptr;
}

/// A row of scores for each of `samples`.
const qtk::tensor<qtk::fp32>& scores_of(const qtk::any_tensor& t, const std::string& name,
                                        std::size_t samples) {
  const std::string where = qtk::cat("output '", name, "'");
  QTK_CHECK(t.is<qtk::fp32>(), where, "is ", qtk::name(t.dtype()), ", scores are fp32");
  const qtk::shape& s = t.shape();
  QTK_CHECK(s.rank() > 0 && s[0] == samples && s.elements() > 0, where, "is ", s, " for ", samples,
            " samples: no row of scores for each");
  return t.as<qtk::fp32>();
}

}  // namespace

void check_input(const qtk::model& m) {
  QTK_CHECK(m.inputs.size() == 1, "model", "has ", m.inputs.size(),
            " inputs, data are compared on models of one");
  QTK_CHECK(m.inputs[0].type == qtk::dtype::fp32, qtk::cat("input '", m.inputs[0].name, "'"), "is ",
            m.inputs[0], ", data are fp32");
}

std::size_t allowed_batch(const qtk::model& m, std::size_t wanted) {
  QTK_CHECK(!m.inputs.empty(), "model", "has no input");
  const auto& dims = m.inputs[0].dims;
  QTK_CHECK(!dims.empty(), qtk::cat("input '", m.inputs[0].name, "'"),
            "the model does not say what shape it takes");
  return dims[0].size.value_or(wanted);
}

qtk::model with_scores(qtk::model m) {
  if (const qtk::node* argmax = deciding_argmax(m))
    m.outputs.push_back({.name = argmax->inputs[0], .type = qtk::dtype::fp32, .dims = {}});
  return m;
}

answers run_all(const qtk::session& session, const data_set& data, std::size_t batch_size,
                const std::function<void(double)>& tick) {
  const qtk::model& m = session.graph();
  check_input(m);
  const bool decides = deciding_argmax(m) != nullptr;
  answers all;
  for_batches(m, data, batch_size, [&](const qtk::any_tensor& x, std::size_t done) {
    const std::size_t given = x.shape()[0], now = done - all.classes.size();
    const auto outputs = session.run(std::span(&x, 1));
    const auto* classes = decides ? outputs[0].get_if<qtk::int64>() : nullptr;
    QTK_CHECK(classes == nullptr || classes->elements() == given,
              qtk::cat("output '", m.outputs[0].name, "'"), "is ", outputs[0].shape(), " for ",
              given, " samples: no class for each");
    const std::size_t which = decides ? outputs.size() - 1 : 0;
    const auto& scores = scores_of(outputs[which], m.outputs[which].name, given);
    const std::size_t per_sample = scores.elements() / given;
    for (std::size_t i = 0; i < now; ++i) {
      const float* row = scores.data() + i * per_sample;
      all.scores.insert(all.scores.end(), row, row + per_sample);
      all.classes.push_back(classes != nullptr
                                ? static_cast<int>(classes->data()[i])
                                : static_cast<int>(std::max_element(row, row + per_sample) - row));
    }
    if (tick) tick(static_cast<double>(done) / static_cast<double>(data.count()));
  });
  return all;
}

void observe_all(qtk::calibrator& seen, const qtk::model& m, const data_set& data) {
  check_input(m);
  const std::size_t size = allowed_batch(m, 32);
  const bool fixed = m.inputs[0].dims[0].size.has_value();
  for (std::size_t first = 0; first < data.count(); first += size) {
    const std::size_t left = data.count() - first;
    const qtk::any_tensor x(shaped(m, batch(data, first, fixed ? size : std::min(size, left))));
    seen.observe(std::span(&x, 1));
  }
}

void check_known(const answers& a) {
  const auto unknown =
      std::find_if(a.scores.begin(), a.scores.end(), [](float score) { return std::isnan(score); });
  if (unknown == a.scores.end()) return;
  const auto at = static_cast<std::size_t>(unknown - a.scores.begin());
  qtk::fail("the model answers NaN: data or weights hold one, or overflow",
            qtk::cat("sample ", at / (a.scores.size() / a.classes.size())));
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

void for_batches(const qtk::model& m, const data_set& data, std::size_t wanted,
                 const std::function<void(const qtk::any_tensor&, std::size_t)>& f) {
  const std::size_t size = allowed_batch(m, wanted), count = data.count();
  for (std::size_t first = 0; first < count; first += size) {
    const std::size_t now = std::min(size, count - first);
    // A fixed batch is filled up with repeats, which are not counted.
    f(qtk::any_tensor(shaped(m, batch(data, first, m.inputs[0].dims[0].size ? size : now))),
      first + now);
  }
}

std::vector<qtk::any_tensor> sample_inputs(const qtk::model& m, const data_set& data,
                                           std::size_t batch_size) {
  check_input(m);
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
