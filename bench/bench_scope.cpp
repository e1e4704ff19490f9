// What a scope costs: at most 40 ns when recording, one relaxed load when not.
#include <benchmark/benchmark.h>

#include <qtk/profile/scope.hpp>

namespace {

void scope_on(benchmark::State& state) {
  qtk::profile::enable();
  std::size_t n = 0;
  for (auto _ : state) {
    const qtk::profile::scope s("bench");
    // A full log is the cheaper path: empty it before it fills.
    if (++n % 60000 == 0) {
      state.PauseTiming();
      qtk::profile::reset();
      state.ResumeTiming();
    }
  }
  qtk::profile::enable(false);
  qtk::profile::reset();
}
BENCHMARK(scope_on)->Name("scope/on");

void scope_off(benchmark::State& state) {
  qtk::profile::enable(false);
  for (auto _ : state) {
    const qtk::profile::scope s("bench");
    benchmark::ClobberMemory();
  }
}
BENCHMARK(scope_off)->Name("scope/off");

}  // namespace

BENCHMARK_MAIN();
