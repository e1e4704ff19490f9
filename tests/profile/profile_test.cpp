#include <qtk/profile.hpp>
#include <sstream>
#include <thread>

#include "support/catch.hpp"

#if __has_include(<nlohmann/json.hpp>)
#  include <nlohmann/json.hpp>
#endif

using namespace qtk;

namespace {

/// Recording for the time of one test, from an empty log.
struct recording {
  recording() {
    profile::reset();
    profile::enable();
  }
  ~recording() {
    profile::enable(false);
    profile::reset();
  }
};

double now_ms() { return static_cast<double>(profile::detail::steady_ns()) * 1e-6; }

/// At least `ms`: on a busy machine more, so that tests bound times from below by what was asked
/// for and from above by a clock around the whole.
void spin(double ms) {
  const auto until = profile::detail::steady_ns() + static_cast<profile::ticks>(ms * 1e6);
  while (profile::detail::steady_ns() < until) {
  }
}

}  // namespace

TEST_CASE("scopes nest, and their own times add up to the whole", "[profile]") {
  const recording on;
  const double begin = now_ms();
  {
    const profile::scope outer("outer");
    for (int i = 0; i < 3; ++i) {
      const profile::scope inner("inner", {.flops = 1e6, .bytes = 1e3});
      spin(1);
    }
    spin(2);
  }
  const double elapsed = now_ms() - begin;
  const auto table = profile::receipt({.fp32_gflops = 100, .int8_gops = 200, .bandwidth_gbps = 10});
  REQUIRE(table.rows.size() == 2);
  CHECK(table.rows[0].name == "outer");
  CHECK(table.rows[1].calls == 3);
  CHECK(table.rows[1].depth == 1);
  CHECK(table.total_ms > 4.9);
  CHECK(table.total_ms < elapsed * 1.02);
  CHECK(table.rows[0].self_ms > 1.9);
  CHECK(table.rows[1].self_ms > 2.9);
  CHECK(table.rows[0].self_ms + table.rows[1].self_ms == Approx(table.total_ms));
  CHECK(table.rows[0].share + table.rows[1].share == Approx(1.0));
  CHECK(table.rows[1].gops == Approx(3e6 / (table.rows[1].total_ms * 1e-3) * 1e-9));
  std::ostringstream text;
  text << table;
  CHECK(text.str().find("  inner") != std::string::npos);
}

TEST_CASE("nothing is recorded when off", "[profile]") {
  profile::reset();
  profile::enable(false);
  { const profile::scope s("silent"); }
  CHECK(profile::snapshot().empty());
}

TEST_CASE("threads record side by side, and their events outlive them", "[profile]") {
  const recording on;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([] {
      for (int i = 0; i < 1000; ++i) const profile::scope s("work");
    });
  for (int i = 0; i < 50; ++i) static_cast<void>(profile::snapshot());  // while they record
  for (std::thread& t : threads) t.join();
  CHECK(profile::snapshot().size() == 4000);
}

TEST_CASE("a full log counts what it drops", "[profile]") {
  const recording on;
  const std::size_t more = 100;
  std::thread([&] {
    for (std::size_t i = 0; i < profile::detail::thread_log::capacity + more; ++i)
      const profile::scope s("many");
  }).join();
  CHECK(profile::dropped() == more);
  CHECK(profile::snapshot().size() == profile::detail::thread_log::capacity);
}

TEST_CASE("quantiles and the median absolute deviation", "[profile]") {
  const auto t = profile::summarize({5, 1, 4, 2, 3});
  CHECK(t.median == 3);
  CHECK(t.min == 1);
  CHECK(t.max == 5);
  CHECK(t.mean == 3);
  CHECK(t.mad == 1);
  CHECK(t.p95 == Approx(4.8));
  CHECK(profile::quantile({1, 2}, 0.5) == 1.5);
  CHECK_THROWS_AS(profile::summarize({}), error);
}

TEST_CASE("benchmark warms up, synchronizes and runs often enough", "[profile]") {
  int runs = 0, waits = 0;
  const auto t = profile::benchmark(
      [&] { ++runs; },
      {.warmup = 4, .min_runs = 7, .max_runs = 7, .min_time_ms = 0, .synchronize = [&] {
         ++waits;
       }});
  CHECK(runs == 11);
  CHECK(waits == 8);  // after the warm-up and after each run
  CHECK(t.runs == 7);
}

TEST_CASE("ticks measure time", "[profile]") {
  const double outside = now_ms();
  const auto begin = profile::now();
  spin(20);
  const double ms = static_cast<double>(profile::now() - begin) * profile::ns_per_tick() * 1e-6;
  CHECK(ms > 19.6);
  CHECK(ms < (now_ms() - outside) * 1.02);
}

TEST_CASE("the roof is the lower of compute and memory", "[profile]") {
  const profile::peaks p{.fp32_gflops = 100, .int8_gops = 400, .bandwidth_gbps = 10};
  const auto low = profile::place_under_roof(p, false, 1e9, 1e9, 0.2);  // 1 op a byte
  CHECK(low.bound == profile::bound::memory);
  CHECK(low.attainable == 10);
  CHECK(low.share == Approx(0.5));  // 5 of 10 GFLOP/s
  const auto high = profile::place_under_roof(p, false, 1e11, 1e9, 2.0);
  CHECK(high.bound == profile::bound::compute);
  CHECK(high.share == Approx(0.5));
  CHECK(profile::place_under_roof(p, true, 1e11, 1e9, 2.0).attainable == 400);
  CHECK(profile::place_under_roof(p, false, 0, 1e9, 0.2).share == Approx(0.5));  // pure movement
}

#if __has_include(<nlohmann/json.hpp>)
TEST_CASE("a trace is JSON that says what happened", "[profile]") {
  const recording on;
  const double begin = now_ms();
  {
    const profile::scope s(profile::intern("a \"quoted\"\nname"),
                           {.flops = 2e6, .bytes = 10, .kernel = "k"});
    spin(1);
  }
  const double elapsed_us = (now_ms() - begin) * 1e3;
  std::ostringstream out;
  profile::write_trace(out, profile::snapshot());
  const auto json = nlohmann::json::parse(out.str());
  REQUIRE(json["traceEvents"].size() == 2);
  CHECK(json["traceEvents"][0]["ph"] == "M");
  const auto& e = json["traceEvents"][1];
  CHECK(e["name"] == "a \"quoted\"\nname");
  CHECK(e["ph"] == "X");
  CHECK(e["dur"].get<double>() > 980);
  CHECK(e["dur"].get<double>() < elapsed_us * 1.02);
  CHECK(e["args"]["flops"] == 2e6);
}
#endif
