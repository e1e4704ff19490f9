#include "options.hpp"

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <deque>
#include <qtk/core/file.hpp>

namespace qtk_cli {
namespace {

/// "0.5" or "1/255".
float parse_fraction(const std::string& text, const char* option) {
  const auto number = [&](std::string_view part) {
    float v = 0.0f;
    const auto [end, bad] = std::from_chars(part.data(), part.data() + part.size(), v);
    QTK_CHECK(bad == std::errc{} && end == part.data() + part.size(), option, "'", text,
              "' is not a number");
    return v;
  };
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos) return number(text);
  const float below = number(std::string_view(text).substr(slash + 1));
  QTK_CHECK(below != 0.0f, option, "'", text, "' divides by zero");
  return number(std::string_view(text).substr(0, slash)) / below;
}

}  // namespace

void data_options::add_to(CLI::App& app, bool required) {
  auto* data = app.add_option("--data", spec,
                              "mnist:DIR, cifar10:FILE[.gz], csv:FILE, npz:FILE or builtin:digits");
  if (required) data->required();
  app.add_option("--scale", scale, "multiply raw values, such as 1/255")->capture_default_str();
  app.add_option("--mean", steps.mean, "subtract per channel, after scaling")->delimiter(',');
  app.add_option("--std", steps.std, "then divide per channel")->delimiter(',');
  app.add_option("--limit", limit, "samples at most")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000000));
}

data_set data_options::load() const {
  preprocessing p = steps;
  p.scale = parse_fraction(scale, "--scale");
  data_set data = load_data(spec, limit);
  preprocess(data, p);
  return data;
}

void thread_option::add_to(CLI::App& app) {
  app.add_option("--threads", count_, "threads to run on")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
}

qtk::executor_ref thread_option::executor() {
  if (count_ == 1) return {};
  if (!pool_) pool_.emplace(count_);
  return *pool_;
}

void write_all(const std::vector<text_file>& files) {
  std::deque<qtk::staged_file> staged;
  for (const text_file& f : files) {
    staged.emplace_back(f.path).write(std::as_bytes(std::span(f.text)));
    staged.back().close();
  }
  for (qtk::staged_file& f : staged) f.commit();
}

progress::progress(std::string text) : text_(std::move(text)) { show(0.0); }

progress::~progress() { clear(); }

void progress::clear() const {
  if (isatty(STDERR_FILENO) != 0) std::fputs("\r\x1b[K", stderr);
}

void progress::show(double fraction) const {
  if (isatty(STDERR_FILENO) == 0) return;
  std::fprintf(stderr, "\r\x1b[K%s %3.0f %%", text_.c_str(), fraction * 100.0);
  std::fflush(stderr);
}

}  // namespace qtk_cli
