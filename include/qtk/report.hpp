#pragma once

/// Reports: a table for the terminal, JSON for programs, one HTML page for people.
///
///     #include <iostream>
///     #include <qtk/report.hpp>
///     qtk::report::comparison c{.model = "resnet20", .cpu = "EPYC", .isa = "avx2"};
///     c.variants.push_back({.name = "fp32", .size_bytes = 1080000, .median_ms = 1.9});
///     c.variants.push_back({.name = "int8", .size_bytes = 290000, .median_ms = 1.1, .sqnr_db =
///     33}); qtk::report::mark_pareto(c); std::cout << qtk::report::comparison_table(c).str() <<
///     qtk::report::recommendation(c) << '\n'; std::string json = qtk::report::to_json(c), page =
///     qtk::report::to_html({.comparison = c});
///
/// Needs nlohmann/json (json.hpp alone does; tables, plots and pages don't).

#include "qtk/report/charts.hpp"
#include "qtk/report/comparison.hpp"
#include "qtk/report/html.hpp"
#include "qtk/report/json.hpp"
#include "qtk/report/layer_errors.hpp"
#include "qtk/report/pareto.hpp"
#include "qtk/report/receipt.hpp"
#include "qtk/report/roofline.hpp"
#include "qtk/report/style.hpp"
#include "qtk/report/svg.hpp"
#include "qtk/report/svg_file.hpp"
#include "qtk/report/table.hpp"
#include "qtk/report/text.hpp"
