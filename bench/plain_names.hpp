#pragma once

#include <benchmark/benchmark.h>

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

/// A reporter of Google Benchmark that leaves out of names what this program does not vary:
/// "gemm/.../qtk" rather than "gemm/.../qtk/iterations:1/manual_time".
class plain_names : public benchmark::BenchmarkReporter {
 public:
  explicit plain_names(std::unique_ptr<benchmark::BenchmarkReporter> to) : to_(std::move(to)) {}

  bool ReportContext(const Context& context) override {
    to_->SetOutputStream(&GetOutputStream());
    to_->SetErrorStream(&GetErrorStream());
    return to_->ReportContext(context);
  }
  void ReportRuns(const std::vector<Run>& runs) override {
    std::vector<Run> plain = runs;
    for (Run& r : plain) r.run_name.iterations = r.run_name.time_type = "";
    to_->ReportRuns(plain);
  }
  void Finalize() override { to_->Finalize(); }

 private:
  std::unique_ptr<benchmark::BenchmarkReporter> to_;
};

/// The reporters that the command line asks for.
class reporters {
 public:
  /// Before benchmark::Initialize, which takes its arguments away.
  reporters(int argc, char** argv) {
    bool file = false, csv = false;
    for (int i = 1; i < argc; ++i) {
      const std::string_view arg = argv[i];
      file = file || arg.starts_with("--benchmark_out=");
      csv = csv || (arg.starts_with("--benchmark_out_format=") && !arg.ends_with("json"));
    }
    if (file && !csv)
      file_ = std::make_unique<plain_names>(std::make_unique<benchmark::JSONReporter>());
  }
  /// Runs what is registered: the filter was applied before.
  void run() const {
    std::unique_ptr<benchmark::BenchmarkReporter> usual(benchmark::CreateDefaultDisplayReporter());
    plain_names display(std::move(usual));
    benchmark::RunSpecifiedBenchmarks(&display, file_.get(), ".");
    benchmark::Shutdown();
  }

 private:
  std::unique_ptr<plain_names> file_;
};

}  // namespace bench
