#pragma once

/// Reports: tables for a terminal, JSON for programs, one HTML page for people.
///
///     #include <qtk/report.hpp>
///     qtk::report::comparison c{.model = "resnet20", .cpu = "...", .isa = "avx2"};
///     c.variants.push_back({.name = "fp32", .size_bytes = 1080000, .median_ms = 1.9, .accuracy =
///     0.81}); c.variants.push_back({.name = "int8", .size_bytes = 290000, .median_ms = 1.1,
///     .accuracy = 0.809}); qtk::report::mark_pareto(c); std::cout <<
///     qtk::report::comparison_table(c).str() << qtk::report::recommendation(c) << '\n';
///     std::string page = qtk::report::to_html({.comparison = c});
///
/// Needs nlohmann/json.

#include "qtk/report/comparison.hpp"
#include "qtk/report/html.hpp"
#include "qtk/report/json.hpp"
#include "qtk/report/roofline.hpp"
#include "qtk/report/svg.hpp"
#include "qtk/report/table.hpp"
