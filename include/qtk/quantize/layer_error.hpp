#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "qtk/quantize/metrics.hpp"

namespace qtk::inline QTK_ABI {

/// How far one layer's output is from that of the fp32 model.
struct layer_error {
  std::string layer, output;  // names of the node and of the value that it makes
  error_metrics accumulated;  // of the whole quantized model: all layers before it are, too
  error_metrics alone;        // of this layer alone, its inputs those of the fp32 model
};

/// By the accumulated SQNR, least first; layers with NaN before all.
[[nodiscard]] inline std::vector<layer_error> worst_first(std::vector<layer_error> errors) {
  const auto key = [](const layer_error& e) {
    return std::isnan(e.accumulated.sqnr_db) ? -std::numeric_limits<double>::infinity()
                                             : e.accumulated.sqnr_db;
  };
  std::stable_sort(errors.begin(), errors.end(),
                   [&](const layer_error& a, const layer_error& b) { return key(a) < key(b); });
  return errors;
}

}  // namespace qtk::inline QTK_ABI
