#pragma once

#include <functional>
#include <qtk/graph.hpp>

#include "data.hpp"

/// Running a session over a data set: what it answers, how right that is, how far from a reference.
namespace qtk_cli {

/// The scores of a classifier: the graph output of floats that decides. A model that ends in ArgMax
/// answers with classes; its scores are what the ArgMax reads, and this makes them a second output.
qtk::model with_scores(qtk::model m);

struct answers {
  std::vector<float> scores;  // (count, per sample), for the error against the reference
  std::vector<int> classes;   // (count)
};

/// Runs all samples in batches of `batch` (1 where the model's batch is fixed to 1); calls
/// `tick(fraction done)` now and then. qtk::error where samples do not fit the model's input.
answers run_all(const qtk::session& session, const data_set& data, std::size_t batch,
                const std::function<void(double)>& tick = {});

/// Shows all samples to a calibrator of this model, 32 at a time where its batch is free.
void observe_all(qtk::calibrator& seen, const qtk::model& m, const data_set& data);

/// qtk::error unless the model has one fp32 input.
void check_input(const qtk::model& m);

/// qtk::error names the first sample with a score that is NaN.
void check_known(const answers& a);

/// Share of right classes; NaN without labels.
double accuracy(const answers& a, const data_set& data);

/// 10 log10(sum ref^2 / sum (ref - x)^2) over all scores; infinity where equal.
double output_sqnr_db(const answers& reference, const answers& a);

/// The batch that a model's first input allows: `wanted` where its first dimension is a symbol,
/// else that dimension. qtk::error where the model doesn't say how many dimensions it takes.
std::size_t allowed_batch(const qtk::model& m, std::size_t wanted);

/// All samples in batches of at most `wanted`, as the input of a model of one input: calls
/// f(batch, samples done). A fixed batch is filled up with repeats of the last sample.
void for_batches(const qtk::model& m, const data_set& data, std::size_t wanted,
                 const std::function<void(const qtk::any_tensor&, std::size_t)>& f);

/// The first samples as the input of a model of one input, in a batch that it allows.
std::vector<qtk::any_tensor> sample_inputs(const qtk::model& m, const data_set& data,
                                           std::size_t batch);
/// Inputs of these shapes, floats pseudo-random in [0, 1).
std::vector<qtk::any_tensor> random_inputs(const qtk::model& m, std::span<const qtk::shape> shapes);

}  // namespace qtk_cli
