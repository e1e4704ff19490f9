// All formats of this machine's CPU on the shapes of a model, fp32 in and out: what is quantized on
// the way in is part of the time. A table, and on demand a picture and JSON.
//   compare_formats [--shapes "M,N,K;M,N,K"] [--threads N] [--svg FILE] [--json FILE]
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <qtk/core/file.hpp>
#include <qtk/cpu/info.hpp>
#include <qtk/report/svg.hpp>
#include <qtk/report/svg_file.hpp>
#include <qtk/report/table.hpp>
#include <string>

#include "gemm_formats.hpp"
#include "interleaved.hpp"

using namespace bench;

namespace {

struct measured {
  const gemm_format* format;
  gemm_shape shape;
  std::string kernel;
  std::size_t packed_bytes = 0;
  double ms = 0, gops = 0, peak_fraction = 0, weights_gb_s = 0;
  double speed_up = 0;  // over fp32
};

struct comparison_of_formats {
  std::vector<measured> rows;      // shape by shape, fp32 first
  std::vector<std::string> notes;  // what a format cannot do
};

bool integer(const gemm_format& f) { return f.peak == &profile::peaks::int8_gops; }

/// One line of a terminal, cleared in the end; nothing where stderr is none.
class progress {
 public:
  ~progress() { show({}); }
  static void show(const std::string& text) {
    if (isatty(STDERR_FILENO) != 0) std::fprintf(stderr, "\r\x1b[K%s", text.c_str());
  }
};

/// The table's formats with fp32 in and out; those that differ in nothing else once.
std::vector<gemm_format> formats_of_floats() {
  std::vector<gemm_format> out;
  for (gemm_format f : gemm_formats) {
    const bool known =
        std::any_of(out.begin(), out.end(), [&](const gemm_format& g) { return g.pack == f.pack; });
    f.input = activations::real;
    if (!known) out.push_back(f);
  }
  return out;
}

void measure(const std::vector<gemm_format>& formats, gemm_shape s, std::size_t threads,
             double seconds, machine& m, comparison_of_formats& out) {
  std::vector<measured> rows;
  std::vector<std::function<void()>> calls;
  for (const gemm_format& f : formats) {
    try {
      auto p = std::make_shared<qtk_product>(f, s, m.on(threads));
      rows.push_back({&f, s, p->kernel().name, p->weight_bytes()});
      rows.back().peak_fraction = 1 / (m.roof(p->kernel().target, threads).*f.peak);
      calls.emplace_back([p] { (*p)(); });
    } catch (const error& e) {  // such as sums too long for integers
      out.notes.push_back(cat(f.name, ", ", name_of(s), ": ", e.what()));
    }
  }
  if (calls.empty()) return;
  std::size_t round = 0;
  const auto times = interleaved(calls, options_for(seconds),
                                 [&] { progress::show(cat(name_of(s), ": round ", ++round)); });
  for (std::size_t i = 0; i < rows.size(); ++i) {
    measured& r = rows[i];
    r.ms = times[i].median * 1e-6;
    r.gops = s.operations() / times[i].median;
    r.peak_fraction *= r.gops;
    r.weights_gb_s = static_cast<double>(r.packed_bytes) / times[i].median;
    r.speed_up = times[0].median / times[i].median;
    out.rows.push_back(r);
  }
}

std::string table(const comparison_of_formats& c) {
  using namespace report;
  text_table t(
      {"format", "M x N x K", "ms", "GOP/s", "of peak", "weights GB/s", "over fp32", "packed"},
      "ll");
  for (const measured& r : c.rows)
    t.add({r.format->name, name_of(r.shape), three_digits(r.ms), three_digits(r.gops),
           percent(r.peak_fraction, 0), three_digits(r.weights_gb_s), speed(r.speed_up),
           human_bytes(r.packed_bytes)});
  std::string out = t.str();
  for (const std::string& note : c.notes) out += note + "\n";
  return out;
}

/// Bars of the speed-up over fp32, shape by shape.
std::string picture(const comparison_of_formats& c, const std::string& title) {
  using namespace report;
  constexpr double pitch = 19, gap = 32, left = 130, right = 560, top = 66;
  double most = 1, height = top;
  for (const measured& r : c.rows) {
    most = std::max(most, r.speed_up);
    height +=
        (&r == c.rows.data() || name_of(r.shape) != name_of((&r - 1)->shape) ? gap : 0) + pitch;
  }
  svg out(720, height + 34, title);
  out.text({16, 22}, title, "title");
  out.rect({16, 34, 26, 44}, "ink-fp32");
  out.text({32, 43}, "products of floats", "label");
  out.rect({152, 34, 162, 44}, "ink-int8");
  out.text({168, 43}, "products of integers; bars: speed over fp32", "label");
  const axis_scale x{0, most * 1.05, left, right};
  for (const axis_scale::tick& t : x.ticks()) {
    out.line({x(t.at), top}, {x(t.at), height + 6}, t.at == 1 ? "axis" : "grid");
    out.text({x(t.at), height + 22}, t.text + "x", "tick middle");
  }
  double y = top;
  for (const measured& r : c.rows) {
    if (&r == c.rows.data() || name_of(r.shape) != name_of((&r - 1)->shape)) {
      y += gap;
      out.text({16, y - 8}, name_of(r.shape), "strong");
    }
    out.text({left - 8, y + 11}, r.format->name, "end");
    out.rect({left, y + 1, x(r.speed_up), y + 15}, integer(*r.format) ? "ink-int8" : "ink-fp32",
             r.kernel);
    out.text({x(r.speed_up) + 6, y + 12},
             cat(fixed(r.speed_up, 2), "x, ", three_digits(r.ms), " ms"), "tick");
    y += pitch;
  }
  return svg_file(out.str());
}

std::string json(const comparison_of_formats& c, std::size_t threads) {
  using json = nlohmann::ordered_json;
  json results = json::array();
  for (const measured& r : c.rows)
    results.push_back({{"format", r.format->name},
                       {"M", r.shape.M},
                       {"N", r.shape.N},
                       {"K", r.shape.K},
                       {"kernel", r.kernel},
                       {"ms", r.ms},
                       {"gops", r.gops},
                       {"peak_fraction", r.peak_fraction},
                       {"weights_gb_s", r.weights_gb_s},
                       {"speed_up", r.speed_up},
                       {"packed_bytes", r.packed_bytes}});
  const json out = {{"cpu", describe_cpu().name},
                    {"isa", name(active_isa())},
                    {"threads", threads},
                    {"results", results}};
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

void run(int argc, char** argv) {
  CLI::App app("compare_formats: the speed of qtk's formats on this CPU, fp32 in and out");
  // A token of a language model, a prompt, layers of ViT-B and of ResNet-50.
  std::string shapes = "1,4096,4096;1,11008,4096;128,4096,4096;197,3072,768;784,128,1152";
  std::string svg_path, json_path;
  std::size_t threads = 1;
  double seconds = 0.2;
  app.add_option("--shapes", shapes, "rows, outputs and inputs of layers: M,N,K;M,N,K")
      ->capture_default_str();
  app.add_option("--threads", threads, "threads to run on")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  app.add_option("--seconds", seconds, "for each format and shape")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 3600.0));
  app.add_option("--svg", svg_path, "a picture to write");
  app.add_option("--json", json_path, "the figures as JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) fail(cat(e.what(), " (see --help)"), "options");
    app.exit(e);
    return;
  }
  const std::vector<gemm_shape> list = parse_shapes(shapes, "--shapes");
  // Who cannot write in the end shall say so before minutes of work.
  for (const std::string& path : {svg_path, json_path})
    if (!path.empty()) const staged_file writable(path);

  machine m;
  comparison_of_formats c;
  const std::vector<gemm_format> formats = formats_of_floats();
  {
    const progress line;
    for (const gemm_shape& s : list) {
      progress::show(cat(name_of(s), ": packing"));
      measure(formats, s, threads, seconds, m, c);
    }
  }
  const std::string title = cat(describe_cpu().name, ", ", name(active_isa()), ", ", threads,
                                threads == 1 ? " thread" : " threads");
  std::printf("%s\n%s", title.c_str(), table(c).c_str());
  const auto write = [](const std::string& path, const std::string& text) {
    if (!path.empty()) write_file_atomically(path, std::as_bytes(std::span(text)));
  };
  write(svg_path, picture(c, title));
  write(json_path, json(c, threads));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "compare_formats: %s\n", e.what());
    return 1;
  }
}
