#pragma once

#include <cstdint>
#include <string>

#include "options.hpp"

namespace qtk_cli {

/// `quantize --auto`: measures each layer in each format on this CPU and picks.
struct auto_options {
  bool on = false;
  double max_drop = 0.5;  // percentage points
  bool drop_is_given = false;
  // One of these instead of max_drop: the choice that loses least within it.
  std::uint64_t max_size_bytes = 0;  // 0: none
  double max_ms = 0;                 // 0: none
  std::string budget = "latency", json;
  std::size_t batch = 1;
  std::size_t samples = 256;  // that single layers are tried on
  qtk::executor_ref executor = {};

  bool has_limit() const { return max_size_bytes != 0 || max_ms != 0; }

  /// All but samples and executor, which are those of `quantize`.
  void add_to(CLI::App& app);
};

/// Reads `model`, writes `output`, and prints a row for each layer with the reason.
void quantize_auto(const std::string& model, const std::string& output, const data_options& data,
                   auto_options& options);

}  // namespace qtk_cli
