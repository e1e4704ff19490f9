#pragma once

#include <algorithm>
#include <cstdlib>
#include <regex>
#include <string>
#include <string_view>

/// What a benchmark program has to know of Google Benchmark's arguments before that runs it.
namespace bench {

/// As Google Benchmark reads its filter, so that nothing runs in the background of a measurement
/// that was not asked for.
class name_filter {
 public:
  explicit name_filter(std::string text)
      : negative_(text.starts_with('-')),
        pattern_(text.empty() || text == "all" ? "." : text.substr(negative_ ? 1 : 0),
                 std::regex::extended) {}
  bool operator()(const std::string& name) const {
    return std::regex_search(name, pattern_) != negative_;
  }

 private:
  bool negative_;
  std::regex pattern_;
};

/// --benchmark_list_tests shall list the names as they are reported.
[[nodiscard]] inline bool only_lists(int argc, char** argv) {
  return std::any_of(argv + 1, argv + argc, [](const char* arg) {
    return std::string_view(arg) == "--benchmark_list_tests" ||
           std::string_view(arg) == "--benchmark_list_tests=true";
  });
}

/// --benchmark_min_time, which Google Benchmark keeps to itself: seconds for each competitor.
[[nodiscard]] inline double min_seconds(int argc, char** argv) {
  double seconds = 0.5;
  for (int i = 1; i < argc; ++i)
    if (const std::string_view arg = argv[i]; arg.starts_with("--benchmark_min_time="))
      seconds = std::strtod(arg.substr(arg.find('=') + 1).data(), nullptr);
  return seconds > 0 ? seconds : 0.5;
}

}  // namespace bench
