#include <algorithm>
#include <qtk/kernels/probe.hpp>
#include <vector>

#include "support/catch.hpp"

using namespace qtk;

TEST_CASE("the roof is that of all threads of the executor", "[kernels]") {
  // Runs one share for all: what threads of their own would take no longer for.
  struct four_at_once {
    std::vector<std::size_t> calls;
    std::size_t concurrency() const { return 4; }
    void operator()(std::size_t tasks, task_ref body) {
      calls.push_back(tasks);
      if (tasks > 0) body(0);
    }
  } four;
  const profile::peaks one = measure_peaks(), all = measure_peaks(active_isa(), four);
  CHECK(!four.calls.empty());
  CHECK(std::all_of(four.calls.begin(), four.calls.end(), [](std::size_t n) { return n == 4; }));
  CHECK(one.fp32_gflops > 0);
  CHECK(one.int8_gops > 0);
  CHECK(one.bandwidth_gbps > 0);
  // Four times, but for what else the machine does meanwhile.
  CHECK(all.fp32_gflops > 1.5 * one.fp32_gflops);
  CHECK(all.int8_gops > 1.5 * one.int8_gops);
}
