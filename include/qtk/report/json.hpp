#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "qtk/report/comparison.hpp"

namespace qtk::inline QTK_ABI::report {

/// {"model", "cpu", "isa", "threads", "samples", "variants": [{"name", "size_bytes", "latency_ms":
/// {"median", "p95"}, "accuracy", "sqnr_db", "peak_bytes", "pareto"}]}, in this order. What isn't a
/// finite number (no labels; no error against the reference) is null, as nlohmann/json writes it.
[[nodiscard]] inline std::string to_json(const comparison& c) {
  using json = nlohmann::ordered_json;
  json variants = json::array();
  for (const variant& v : c.variants)
    variants.push_back({{"name", v.name},
                        {"size_bytes", v.size_bytes},
                        {"latency_ms", {{"median", v.median_ms}, {"p95", v.p95_ms}}},
                        {"accuracy", v.accuracy},
                        {"sqnr_db", v.sqnr_db},
                        {"peak_bytes", v.peak_bytes},
                        {"pareto", v.pareto}});
  const json out = {{"model", c.model},     {"cpu", c.cpu},         {"isa", c.isa},
                    {"threads", c.threads}, {"samples", c.samples}, {"variants", variants}};
  // A path that isn't UTF-8 must not lose the report: its bytes become U+FFFD.
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace qtk::inline QTK_ABI::report
