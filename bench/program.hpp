#pragma once

#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <qtk/cpu/info.hpp>
#include <qtk/cpu/isa.hpp>
#include <string>

#include "command_line.hpp"
#include "plain_names.hpp"

namespace bench {

/// One run of a benchmark program: what its command line asks for, and the benchmarks that it
/// selects. Each measures by itself (interleaved.hpp) and reports by SetIterationTime.
class program {
 public:
  /// Ends the process at an argument that nobody knows.
  program(int argc, char** argv)
      : seconds_(min_seconds(argc, argv)), lists_(only_lists(argc, argv)), out_(argc, argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) std::exit(1);
    benchmark::AddCustomContext("cpu", qtk::describe_cpu().name);
    benchmark::AddCustomContext("qtk_isa", std::string(name(qtk::active_isa())));
    selected_ = name_filter(benchmark::GetBenchmarkFilter());
  }

  /// For each competitor.
  double seconds() const { return seconds_; }

  /// Registers the benchmark `full` if it was asked for, or prints its name: `make()` gives what is
  /// called with benchmark::State&.
  template <class Make>
  void add(const std::string& full, const Make& make) {
    if (!selected_(full)) return;
    if (lists_) {
      std::puts(full.c_str());
      return;
    }
    benchmark::RegisterBenchmark(full.c_str(), make())
        ->Unit(benchmark::kMicrosecond)
        ->Iterations(1)
        ->UseManualTime();
  }

  void run() const {
    if (!lists_) out_.run();
  }

 private:
  double seconds_;
  bool lists_;
  reporters out_;
  name_filter selected_{""};
};

/// main() of a program called `name`.
template <class Run>
int run_program(const char* name, int argc, char** argv, const Run& run) {
  try {
    program p(argc, argv);
    run(p);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", name, e.what());
    return 1;
  }
  return 0;
}

}  // namespace bench
