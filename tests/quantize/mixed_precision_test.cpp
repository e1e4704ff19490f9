#include <qtk/quantize/mixed_precision.hpp>

#include "support/catch.hpp"

using namespace qtk;

namespace {

using problem = std::vector<std::vector<precision_option>>;

struct random_numbers {
  std::uint32_t state;
  double operator()() {
    state = state * 1664525u + 1013904223u;
    return static_cast<double>(state >> 8) / static_cast<double>(1u << 24);
  }
};

problem random_problem(std::size_t layers, std::size_t options, std::uint32_t seed) {
  random_numbers next{seed};
  problem p(layers);
  for (auto& l : p) {
    l.push_back({1.0 + next(), 0.0});  // fp32: no harm
    while (l.size() < options) l.push_back({next(), next() * next()});
  }
  return p;
}

precision_option total(const problem& p, const std::vector<std::size_t>& picks) {
  precision_option sum;
  for (std::size_t l = 0; l < p.size(); ++l) {
    sum.cost += p[l][picks[l]].cost;
    sum.harm += p[l][picks[l]].harm;
  }
  return sum;
}

/// Tries all choices.
double least_cost(const problem& p, double bound) {
  double least = std::numeric_limits<double>::infinity();
  std::vector<std::size_t> picks(p.size(), 0);
  for (;;) {
    const precision_option sum = total(p, picks);
    if (sum.harm <= bound) least = std::min(least, sum.cost);
    std::size_t l = 0;
    while (l < p.size() && ++picks[l] == p[l].size()) picks[l++] = 0;
    if (l == p.size()) return least;
  }
}

}  // namespace

TEST_CASE("mixed precision: as good as trying all choices") {
  for (std::uint32_t seed = 1; seed <= 60; ++seed) {
    const problem p = random_problem(1 + seed % 7, 2 + seed % 4, seed);
    for (const double bound : {0.0, 0.05, 0.3, 1.0, 100.0}) {
      const precision_option sum = total(p, choose_precision(p, bound));
      CHECK(sum.harm <= bound + 1e-12);
      CHECK(sum.cost == Approx(least_cost(p, bound)));
    }
  }
}

TEST_CASE("mixed precision: thinned lists keep the bound and lose little") {
  const problem p = random_problem(60, 6, 7);
  for (const double bound : {0.1, 1.0, 4.0}) {
    const precision_option exact = total(p, choose_precision(p, bound));
    const precision_option thin = total(p, choose_precision(p, bound, 500));
    CHECK(exact.harm <= bound + 1e-12);
    CHECK(thin.harm <= bound + 1e-12);
    CHECK(thin.cost >= exact.cost - 1e-2);
    CHECK(thin.cost <= exact.cost * 1.05);
  }
}

TEST_CASE("mixed precision: edges") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(choose_precision({}, 1.0).empty());
  const problem ruled_out{{{2, 0}, {1, infinity}}};
  CHECK(choose_precision(ruled_out, 1e300) == std::vector<std::size_t>{0});
  const problem same{{{1, 0}, {1, 0.5}}};
  CHECK(choose_precision(same, 1.0) == std::vector<std::size_t>{0});  // of one cost: less harm
  const problem impossible{{{1, 0.5}}, {{1, 0.6}}};
  CHECK_THROWS_WITH(choose_precision(impossible, 1.0),
                    Catch::Contains("no choice keeps the bound"));
  const problem nan{{{std::nan(""), 0}}};
  CHECK_THROWS_AS(choose_precision(nan, 1.0), error);
}
