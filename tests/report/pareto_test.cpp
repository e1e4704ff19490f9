#include <qtk/report/pareto.hpp>

#include "report/samples.hpp"
#include "support/catch.hpp"

using namespace qtk::report;

namespace {

const double absent = std::numeric_limits<double>::quiet_NaN();
const double inf = std::numeric_limits<double>::infinity();

std::vector<bool> frontier(const std::vector<costs<2>>& points) {
  return pareto_frontier<2>(points);
}

/// Small integers, so that ties are common; now and then what isn't a number.
std::vector<costs<3>> random_points(std::uint32_t& state, std::size_t n) {
  std::vector<costs<3>> out(n);
  for (auto& p : out)
    for (double& x : p) {
      state = state * 1664525u + 1013904223u;
      const std::uint32_t r = (state >> 20) % 40;
      x = r == 39 ? absent : r == 38 ? inf : r == 37 ? -inf : static_cast<double>(r % 5);
    }
  return out;
}

}  // namespace

TEST_CASE("dominance: nowhere worse and somewhere better") {
  CHECK(dominates(costs<2>{1, 1}, costs<2>{1, 2}));
  CHECK_FALSE(dominates(costs<2>{1, 2}, costs<2>{1, 1}));
  CHECK_FALSE(dominates(costs<2>{1, 1}, costs<2>{1, 1}));
  CHECK_FALSE(dominates(costs<2>{0, 2}, costs<2>{1, 1}));
  CHECK(dominates(costs<2>{1, 1}, costs<2>{1, absent}));
  CHECK_FALSE(dominates(costs<2>{1, absent}, costs<2>{1, inf}));
  CHECK_FALSE(dominates(costs<2>{1, inf}, costs<2>{1, absent}));
}

TEST_CASE("frontiers that can be seen by eye") {
  CHECK(frontier({}).empty());
  CHECK(frontier({{3, 3}}) == std::vector{true});
  CHECK(frontier({{1, 3}, {2, 2}, {3, 1}, {3, 3}}) == std::vector{true, true, true, false});
  CHECK(frontier({{1, 1}, {1, 1}, {1, 2}}) == std::vector{true, true, false});  // ties stay
  CHECK(frontier({{absent, absent}, {absent, absent}}) == std::vector{true, true});
}

TEST_CASE("frontier: properties on random points") {
  std::uint32_t state = 1;
  for (int round = 0; round < 400; ++round) {
    const auto points = random_points(state, static_cast<std::size_t>(round) % 24);
    const auto on = pareto_frontier<3>(points);
    REQUIRE(on.size() == points.size());
    const auto known = [](double x) { return std::isnan(x) ? inf : x; };
    for (std::size_t i = 0; i < points.size(); ++i) {
      // By the negation of the definition: every other point is worse in some cost, or equal in
      // all.
      bool expected = true, by_frontier = false;
      for (std::size_t j = 0; j < points.size(); ++j) {
        bool worse = false, equal = true;
        for (std::size_t k = 0; k < 3; ++k) {
          worse = worse || known(points[j][k]) > known(points[i][k]);
          equal = equal && known(points[j][k]) == known(points[i][k]);
        }
        expected = expected && (worse || equal);
        by_frontier = by_frontier || (on[j] && !worse && !equal);
      }
      REQUIRE(on[i] == expected);
      if (!on[i]) REQUIRE(by_frontier);  // one inside beats each one outside
    }
    // The order of the points doesn't matter.
    const std::vector<costs<3>> reversed(points.rbegin(), points.rend());
    const auto back = pareto_frontier<3>(reversed);
    REQUIRE(std::vector<bool>(back.rbegin(), back.rend()) == on);
  }
}

TEST_CASE("variants: size, latency and accuracy count") {
  const comparison c = sample_comparison();
  std::vector<bool> on;
  for (const variant& v : c.variants) on.push_back(v.pareto);
  CHECK(on == std::vector{true, true, true, true, false});
}

TEST_CASE("without all labels the SQNR takes the place of accuracy") {
  comparison c = sample_comparison();
  CHECK(c.labeled());
  c.variants[2].accuracy = absent;
  CHECK_FALSE(c.labeled());
  c.variants[3].size_bytes = 300000;  // now int8 beats int4 in all
  c.variants[3].accuracy = 0.99;      // which doesn't count any more
  mark_pareto(c);
  CHECK(c.variants[0].pareto);  // nothing is as exact
  CHECK(c.variants[2].pareto);
  CHECK_FALSE(c.variants[3].pareto);
  c.variants[1].sqnr_db = absent;  // broken outputs are worst
  mark_pareto(c);
  CHECK(c.variants[3].pareto);
}

TEST_CASE("the pick is on the frontier, accurate enough and gains most") {
  comparison c = sample_comparison();
  CHECK(c.size_ratio(c.variants[1]) == Approx(0.2685).margin(1e-4));
  CHECK(c.speed_up(c.variants[1]) == 2.0);
  CHECK(c.accuracy_change(c.variants[3]) == Approx(-0.04));
  CHECK(recommend(c).name == "int8");
  CHECK(recommend(c, {.points = 5}).name == "int4");                // 7.9 against 7.4
  CHECK(recommend(c, {.points = 0.1}).name == "int8-weight-only");  // slower, and much smaller
  CHECK(recommend(c, {.points = 0.05}).name == "fp32");
  c.variants[1].accuracy = c.variants[0].accuracy - 0.005;  // half a point exactly is allowed
  mark_pareto(c);
  CHECK(recommend(c).name == "int8");
  for (variant& v : c.variants) v.accuracy = absent;
  mark_pareto(c);
  CHECK(recommend(c).name == "int8");
  CHECK(recommend(c, {.sqnr_db = 40}).name == "fp32");
  CHECK_THROWS_AS(recommend(comparison{}), qtk::error);
}
