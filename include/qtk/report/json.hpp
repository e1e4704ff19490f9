#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "qtk/report/comparison.hpp"

namespace qtk::inline QTK_ABI::report {

/// {"model", "cpu", "isa", "threads", "samples", "variants": [{"name", "size_bytes", "latency_ms":
/// {"median", "p95"}, "accuracy", "sqnr_db", "peak_bytes", "pareto"}]}; what isn't a number (no
/// labels, no error) is null.
[[nodiscard]] inline std::string to_json(const comparison& c) {
  using nlohmann::ordered_json;
  const auto number = [](double x) { return std::isfinite(x) ? ordered_json(x) : ordered_json(); };
  ordered_json out;
  out["model"] = c.model;
  out["cpu"] = c.cpu;
  out["isa"] = c.isa;
  out["threads"] = c.threads;
  out["samples"] = c.samples;
  out["batch"] = c.batch;
  out["variants"] = ordered_json::array();
  for (const variant& v : c.variants) {
    ordered_json one;
    one["name"] = v.name;
    one["size_bytes"] = v.size_bytes;
    one["latency_ms"] = {{"median", number(v.median_ms)}, {"p95", number(v.p95_ms)}};
    one["accuracy"] = number(v.accuracy);
    one["sqnr_db"] = number(v.sqnr_db);
    one["peak_bytes"] = v.peak_bytes;
    one["pareto"] = v.pareto;
    out["variants"].push_back(std::move(one));
  }
  // A path that is not UTF-8 must not lose the report.
  return out.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace qtk::inline QTK_ABI::report
