#pragma once

#include <CLI/CLI.hpp>
#include <qtk/graph.hpp>
#include <string>
#include <vector>

#include "data.hpp"

/// Formats that are made from data: int8-static, and weights by an algorithm.
namespace qtk_cli {

struct calibrated_format {
  std::string name;
  bool fixed_activations = false;  // int8-static; else weights alone
  qtk::calibration calibration = qtk::calibration::min_max;
  qtk::static_options activations = {};
  bool equalize = false;
  qtk::weight_algorithm algorithm = qtk::weight_algorithm::rtn;
  int bits = 4;
  qtk::granularity weights = qtk::per_group(32);
  bool integer = false;
};

/// The model in that format, by these samples; they may be none for algorithms that need no data.
qtk::model make(const qtk::model& m, const calibrated_format& f, const data_set* data,
                qtk::executor_ref executor = {});

/// --calibration, --algorithm and what goes with them, of `qtk quantize`.
struct calibration_arguments {
  std::string calibration, algorithm;
  std::size_t samples = 512;
  int bits = 0;
  std::size_t group_size = 0;
  bool per_channel = false, per_tensor = false, symmetric = false, equalize = false,
       keep_biases = false;

  void add_to(CLI::App& app);
  /// Whether any was given.
  [[nodiscard]] bool any() const;
  /// What `--to` names together with them; qtk::error for what does not fit.
  [[nodiscard]] calibrated_format resolve(const std::string& to) const;
};

/// The rows of `qtk compare`: int8-static by one calibration or "all", and weights of 4 and 3 bits
/// by the algorithm of that name or by "all", each for the format's names without data.
std::vector<calibrated_format> calibrated_formats(const std::string& calibration,
                                                  const std::string& algorithm);

}  // namespace qtk_cli
