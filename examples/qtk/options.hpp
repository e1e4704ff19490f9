#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <qtk/core/thread_pool.hpp>
#include <qtk/graph.hpp>
#include <string>
#include <vector>

#include "data.hpp"

/// What the subcommands share: reading a model, data and options the same way.
namespace qtk_cli {

/// --data, --scale, --mean, --std, --limit.
struct data_options {
  std::string spec, scale = "1";
  preprocessing steps;
  std::size_t limit = 10000;

  void add_to(CLI::App& app, bool required);
  data_set load() const;
};

/// --threads: one pool for the program, none for one thread.
class thread_option {
 public:
  void add_to(CLI::App& app);
  std::size_t count() const { return count_; }
  qtk::executor_ref executor();

 private:
  std::size_t count_ = 1;
  std::optional<qtk::thread_pool> pool_;
};

/// A file to write.
struct text_file {
  std::string path, text;
};
/// Writes all of them, or none where one cannot be written.
void write_all(const std::vector<text_file>& files);

/// Each subcommand adds itself to the program.
void add_compare(CLI::App& app);
void add_cpu(CLI::App& app);
void add_debug_accuracy(CLI::App& app);
void add_info(CLI::App& app);
void add_profile(CLI::App& app);
void add_quantize(CLI::App& app);
void add_run(CLI::App& app);
void add_selftest(CLI::App& app);

/// Shows "text 40 %" on one line of a terminal that it then clears; nothing where stderr is no
/// terminal.
class progress {
 public:
  explicit progress(std::string text);
  ~progress();
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  void show(double fraction) const;
  void clear() const;

 private:
  std::string text_;
};

}  // namespace qtk_cli
