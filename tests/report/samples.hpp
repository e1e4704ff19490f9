#pragma once

#include <limits>
#include <qtk/report/comparison.hpp>

/// A comparison with each kind of variant: exact, smaller, faster, slower, dominated.
inline qtk::report::comparison sample_comparison() {
  qtk::report::comparison c{.model = "resnet20.onnx",
                            .cpu = "Some CPU",
                            .isa = "avx2",
                            .threads = 2,
                            .samples = 1000,
                            .variants = {}};
  const double inf = std::numeric_limits<double>::infinity();
  c.variants = {
      {"fp32", 1080000, 2.0, 2.2, 0.810, inf, 6400000, false, ""},
      {"int8", 290000, 1.0, 1.05, 0.808, 31.25, 4200000, false, ""},
      {"int8-weight-only", 290000, 3.2, 3.4, 0.809, 36.0, 5600000, false, "widening costs more"},
      {"int4", 170000, 1.6, 1.7, 0.770, 17.9, 4100000, false, ""},
      {"pruned50", 1080000, 2.5, 2.6, 0.690, 10.2, 6400000, false, "widening costs more"},
  };
  qtk::report::mark_pareto(c);
  return c;
}
