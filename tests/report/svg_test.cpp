#include <qtk/report/charts.hpp>
#include <qtk/report/roofline.hpp>

#include "report/samples.hpp"
#include "support/catch.hpp"

using namespace qtk::report;
using Catch::Matchers::Contains;

namespace {
std::vector<std::string> texts(const axis_scale& a) {
  std::vector<std::string> out;
  for (const auto& t : a.ticks())
    if (!t.text.empty()) out.push_back(t.text);
  return out;
}
std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}
using words = std::vector<std::string>;
}  // namespace

TEST_CASE("ticks are round and have the digits that they need") {
  CHECK(texts({0, 1.1}) == words{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"});
  CHECK(texts({0, 23}) == words{"0", "5", "10", "15", "20"});
  CHECK(texts({98.71, 98.99}) == words{"98.75", "98.80", "98.85", "98.90", "98.95"});
  CHECK(texts({-3, 3}) == words{"-3", "-2", "-1", "0", "1", "2", "3"});
  CHECK(texts({0.5, 60, 0, 1, true}) == words{"0.5", "1", "2", "5", "10", "20", "50"});
  CHECK(texts({0.01, 2000, 0, 1, true}) == words{"0.01", "0.1", "1", "10", "100", "1000"});
}

TEST_CASE("scales: ends on ends, logarithms halve the way") {
  const axis_scale linear{10, 20, 100, 300}, logarithmic{1, 100, 0, 50, true};
  CHECK(linear(10) == 100);
  CHECK(linear(20) == 300);
  CHECK(linear(15) == 200);
  CHECK(logarithmic(10) == Approx(25));
}

TEST_CASE("labels stay inside, off each other and off the dots") {
  const box area{0, 0, 400, 300};
  std::uint32_t state = 7;
  const auto next = [&](double range) {
    state = state * 1664525u + 1013904223u;
    return range * static_cast<double>(state >> 8) / static_cast<double>(1u << 24);
  };
  for (int round = 0; round < 50; ++round) {
    label_placer placer(area);
    std::vector<point> dots;
    std::vector<box> placed;
    // Some in a heap, as formats of one accuracy are.
    for (int i = 0; i < 6; ++i) dots.push_back({next(400), next(300)});
    for (int i = 0; i < 6; ++i) dots.push_back({180 + next(20), 30 + next(10)});
    for (const point& d : dots) placer.take(box::around(d, 6));
    for (const point& d : dots) {
      const auto b = placer.place(d, 6, 40 + next(60), 13);
      REQUIRE(b);
      REQUIRE(area.holds(*b));
      for (const point& other : dots) REQUIRE_FALSE(b->meets(box::around(other, 6)));
      for (const box& other : placed) REQUIRE_FALSE(b->meets(other));
      placed.push_back(*b);
    }
  }
  label_placer full(area);
  full.take(area);
  CHECK_FALSE(full.place({200, 150}, 6, 40, 13));
}

TEST_CASE("Pareto plot: a dot and a label for each variant") {
  const comparison c = sample_comparison();
  for (const cost_axis axis : {cost_axis::size, cost_axis::latency}) {
    const std::string s = pareto_plot(c, axis);
    CHECK(count(s, "class=\"dot reference\"") == 1);
    CHECK(count(s, "class=\"dot best\"") == 3);
    CHECK(count(s, "class=\"dot other\"") == 1);
    for (const variant& v : c.variants) {
      CHECK(count(s, ">" + v.name + ": ") == 1);  // the hint
      // The label; what is far below tells its value.
      CHECK(count(s, ">" + v.name + (v.name == "pruned50" ? " 69.0 %" : "") + "<") == 1);
    }
    CHECK(count(s, "class=\"frontier\"") == 1);
    CHECK_THAT(s, Contains("accuracy, %"));
    CHECK_THAT(s, !Contains("nan") && !Contains("inf"));
  }
}

TEST_CASE("Pareto plot: an outlier becomes an arrow that tells its value") {
  comparison c = sample_comparison();
  c.variants[3].accuracy = 0.8;  // now only pruned50 is far off
  c.variants[4].accuracy = 0.31;
  const std::string s = pareto_plot(c, cost_axis::size);
  CHECK_THAT(s, Contains("pruned50 31.0 %"));
  CHECK(count(s, "<path class=\"dot other\"") == 1);
}

TEST_CASE("Pareto plot: unlabeled, equal, single or unmeasured variants") {
  comparison c = sample_comparison();
  for (variant& v : c.variants) v.accuracy = std::numeric_limits<double>::quiet_NaN();
  const std::string s = pareto_plot(c, cost_axis::latency);
  CHECK_THAT(s, Contains("output SQNR, dB") && Contains("fp32 exact"));
  CHECK(count(s, "<path class=\"dot reference\"") == 1);
  c.variants.resize(1);
  CHECK_THAT(pareto_plot(c, cost_axis::size), !Contains("nan") && !Contains("inf"));
  c.variants[0].accuracy = 0.5;
  c.variants[0].size_bytes = 0;
  c.variants[0].median_ms = std::numeric_limits<double>::quiet_NaN();
  CHECK_THAT(pareto_plot(c, cost_axis::size), !Contains("nan") && !Contains("inf"));
  CHECK(count(pareto_plot(c, cost_axis::latency), "class=\"dot") == 0);
}

TEST_CASE("layer bars: lengths are times, the rest is named") {
  const receipt_section s("int8",
                          {{.name = "conv",
                            .kernel = "k",
                            .calls = 10,
                            .total_ms = 60,
                            .share = 0.6,
                            .gflops = 50,
                            .gbps = 5,
                            .roof_share = 0.5,
                            .memory_bound = true,
                            .intensity = 10},
                           {.name = "fc", .kernel = "", .calls = 10, .total_ms = 30, .share = 0.3}},
                          100, 10);
  const std::string all = layer_bars(s);
  CHECK_THAT(all, Contains("6.00 ms \xC2\xB7 60.0 %") && Contains("3.00 ms \xC2\xB7 30.0 %"));
  CHECK_THAT(all, Contains("between layers") && Contains("1.00 ms \xC2\xB7 10.0 %"));
  CHECK_THAT(all, Contains("10.0 ms a run"));
  CHECK_THAT(all,
             Contains("width=\"234.0\"") && Contains("width=\"117.0\""));  // conv, half solid; fc
  CHECK(count(all, "bar memory") == 1);
  CHECK(count(all, "bar unbound") == 1);  // fc; the rest has no bar
  CHECK_THAT(layer_bars(s, 1), Contains("1 other layer<") && Contains("width=\"234.0\""));
  CHECK_THAT(layer_bars({"empty", {}, 0}), Contains("<svg") && !Contains("nan"));
}

TEST_CASE("roofline: layers that compute, ceilings that were measured") {
  const qtk::profile::peaks peaks{.fp32_gflops = 100, .int8_gops = 400, .bandwidth_gbps = 20};
  const receipt_section f("fp32",
                          {{.name = "conv",
                            .kernel = "k",
                            .calls = 1,
                            .total_ms = 9,
                            .share = 0.9,
                            .gflops = 50,
                            .gbps = 5,
                            .roof_share = 0.5,
                            .memory_bound = false,
                            .intensity = 10},
                           {.name = "pool",
                            .kernel = "",
                            .calls = 1,
                            .total_ms = 1,
                            .share = 0.1,
                            .gflops = 0,
                            .gbps = 3}},
                          10);
  const std::string s = roofline_plot(peaks, {f, f});
  CHECK(count(s, "class=\"layer fp32\"") == 1);
  CHECK(count(s, "class=\"layer int8\"") == 1);
  CHECK_THAT(s, Contains("fp32 peak 100 GFLOP/s") && Contains("int8 peak 400 GOP/s"));
  CHECK_THAT(s, Contains("memory 20.0 GB/s"));
  CHECK(count(s, "class=\"roof ") == 3);
  for (const auto& some : {qtk::profile::peaks{}, qtk::profile::peaks{.fp32_gflops = 100},
                           qtk::profile::peaks{.bandwidth_gbps = 20}}) {
    CHECK_THAT(roofline_plot(some, {f}), !Contains("nan") && !Contains("inf"));
    CHECK_THAT(roofline_plot(some, {}), !Contains("nan") && !Contains("inf"));
  }
  CHECK(count(roofline_plot({}, {f}), "class=\"roof ") == 0);
}

TEST_CASE("a receipt from a profile: rows and rest add up to the whole") {
  const qtk::profile::receipt_table t{{{.name = "session.run",
                                        .kernel = "",
                                        .depth = 0,
                                        .calls = 4,
                                        .total_ms = 100,
                                        .self_ms = 10,
                                        .share = 0.1,
                                        .roof = {}},
                                       {.name = "fc",
                                        .kernel = "k1",
                                        .depth = 1,
                                        .calls = 4,
                                        .total_ms = 30,
                                        .self_ms = 30,
                                        .share = 0.3,
                                        .gops = 7,
                                        .gbps = 9,
                                        .roof = {.intensity = 0.8,
                                                 .attainable = 16,
                                                 .share = 0.45,
                                                 .bound = qtk::profile::bound::memory},
                                        .counted = true},
                                       {.name = "conv",
                                        .kernel = "k2",
                                        .depth = 1,
                                        .calls = 8,
                                        .total_ms = 60,
                                        .self_ms = 60,
                                        .share = 0.6,
                                        .gops = 50,
                                        .gbps = 2,
                                        .roof = {.intensity = 25, .attainable = 90, .share = 0.55},
                                        .counted = true}},
                                      100,
                                      0};
  const receipt_section s("fp32", t);
  CHECK(s.runs == 4);
  REQUIRE(s.rows.size() == 2);
  CHECK(s.rows[0].name == "conv");  // slowest first
  CHECK(s.rows[1].memory_bound);
  CHECK(s.rows[1].roof_share == 0.45);
  CHECK(s.rows[1].gflops == 7);
  CHECK(s.rest_ms() == Approx(10));
  CHECK(s.per_run(s.rows[0].total_ms) == 15);
}
