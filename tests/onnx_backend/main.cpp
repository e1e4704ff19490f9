/// Runs a folder of cases in the form of the ONNX project's backend tests:
///   <case>/model.onnx, <case>/test_data_set_<k>/{input,output}_<n>.pb
///
/// usage: qtk_onnx_backend DIR [--json FILE] [--filter GLOB] [--at-least N]
///
/// Each case runs in a process of its own, so that one that crashes or hangs is one that fails. A
/// case passes where all outputs are right (floats within 1e-3 of the value and 1e-7, as the ONNX
/// project compares, or 1e-7 of the largest: what rounding in fp32 leaves of sums that cancel; all
/// else equal), is skipped where qtk says that it doesn't support it, and
/// fails otherwise. Exits 0 where none fails and N pass, 77 where DIR doesn't exist.

#include <fnmatch.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <qtk/graph.hpp>
#include <qtk/onnx.hpp>

namespace {

namespace fs = std::filesystem;
using qtk::any_tensor;

any_tensor read_pb(const fs::path& file) {
  const std::vector<std::byte> bytes = qtk::read_file(file.string(), std::size_t{1} << 30);
  const qtk::proto_reader message(bytes);
  const qtk::onnx::limits limit;
  qtk::onnx::model_files none({}, nullptr, limit);
  return qtk::onnx::read_tensor(message, file.filename().string(), none, limit).value;
}

std::vector<any_tensor> read_all(const fs::path& folder, const char* kind) {
  std::vector<any_tensor> tensors;
  for (std::size_t i = 0; fs::exists(folder / qtk::cat(kind, "_", i, ".pb")); ++i)
    tensors.push_back(read_pb(folder / qtk::cat(kind, "_", i, ".pb")));
  return tensors;
}

/// "" where equal, else the first difference.
std::string difference(const any_tensor& got, const any_tensor& expected) {
  if (got.dtype() != expected.dtype())
    return qtk::cat("is ", qtk::name(got.dtype()), ", expected ", qtk::name(expected.dtype()));
  if (!(got.shape() == expected.shape()))
    return qtk::cat("is ", got.shape(), ", expected ", expected.shape());
  return expected.visit([&]<class F>(const qtk::tensor<F>& e) -> std::string {
    const auto& g = got.as<F>();
    double largest = 1;
    if constexpr (std::is_floating_point_v<typename F::value_type>)
      for (const auto v : e.span())
        if (std::isfinite(v)) largest = std::max(largest, std::abs(static_cast<double>(v)));
    for (std::size_t r = 0; r < e.rows(); ++r)
      for (std::size_t c = 0; c < e.cols(); ++c) {
        const auto x = g.at(r, c), y = e.at(r, c);
        bool same = false;
        double a = 0, b = 0;
        if constexpr (std::is_integral_v<typename F::value_type>) {
          same = x == y;
          a = static_cast<double>(x), b = static_cast<double>(y);
        } else {
          if constexpr (std::is_floating_point_v<typename F::value_type>)
            a = static_cast<double>(x), b = static_cast<double>(y);
          else
            a = static_cast<double>(to_float(x)), b = static_cast<double>(to_float(y));
          same = a == b || (std::isnan(a) && std::isnan(b)) ||
                 std::abs(a - b) <= 1e-7 * largest + 1e-3 * std::abs(b);
        }
        if (!same) return qtk::cat("[", r, ", ", c, "] is ", a, ", expected ", b);
      }
    return "";
  });
}

/// "pass", or "fail: reason", or "skip: reason".
std::string run_case(const fs::path& folder) {
  try {
    const qtk::model m = qtk::onnx::load((folder / "model.onnx").string());
    std::size_t sets = 0;
    for (; fs::exists(folder / qtk::cat("test_data_set_", sets)); ++sets) {
      const fs::path data = folder / qtk::cat("test_data_set_", sets);
      const std::vector<any_tensor> inputs = read_all(data, "input");
      const std::vector<any_tensor> expected = read_all(data, "output");
      if (inputs.size() != m.inputs.size())
        return qtk::cat("fail: ", inputs.size(), " inputs for ", m.inputs.size());
      std::vector<qtk::shape> shapes;
      for (const any_tensor& t : inputs) shapes.push_back(t.shape());
      const qtk::session session(m, {.shapes = shapes});
      const std::vector<any_tensor> got = session.run(inputs);
      if (got.size() != expected.size())
        return qtk::cat("fail: ", got.size(), " outputs, expected ", expected.size());
      for (std::size_t i = 0; i < got.size(); ++i)
        if (const std::string d = difference(got[i], expected[i]); !d.empty())
          return qtk::cat("fail: output ", i, " ", d);
    }
    return sets != 0 ? "pass" : "fail: no data";
  } catch (const qtk::error& e) {
    const std::string what = e.what();
    return qtk::cat(what.find("not supported") != std::string::npos ? "skip: " : "fail: ", what);
  } catch (const std::exception& e) {
    return qtk::cat("fail: ", e.what());
  }
}

/// run_case in a process of its own, ended after 60 seconds.
std::string run_apart(const fs::path& folder) {
  int ends[2];
  if (pipe(ends) != 0) return "fail: no pipe";
  std::cout.flush();
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    alarm(60);
    const std::string result = run_case(folder);
    const auto written = write(ends[1], result.data(), result.size());
    _exit(written == static_cast<ssize_t>(result.size()) ? 0 : 1);
  }
  close(ends[1]);
  std::string result;
  char piece[4096];
  for (ssize_t n; (n = read(ends[0], piece, sizeof piece)) > 0;)
    result.append(piece, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status))
    return qtk::cat("fail: ended by signal ", WTERMSIG(status),
                    WTERMSIG(status) == SIGALRM ? " after 60 s" : "");
  return result.empty() ? "fail: ended without an answer" : result;
}

struct arguments {
  std::string folder, json, filter = "*";
  std::size_t at_least = 0;
};

bool parse(int argc, char** argv, arguments& a) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind("--", 0) != 0) {
      if (!a.folder.empty()) return false;
      a.folder = word;
      continue;
    }
    if (++i == argc) return false;
    if (word == "--json")
      a.json = argv[i];
    else if (word == "--filter")
      a.filter = argv[i];
    else if (word == "--at-least")
      a.at_least = std::strtoul(argv[i], nullptr, 10);
    else
      return false;
  }
  return !a.folder.empty();
}

}  // namespace

int main(int argc, char** argv) {
  arguments a;
  if (!parse(argc, argv, a)) {
    std::cerr << "usage: qtk_onnx_backend DIR [--json FILE] [--filter GLOB] [--at-least N]\n";
    return 2;
  }
  if (!fs::is_directory(a.folder)) {
    std::cout << "skipped: no folder " << a.folder << "\n";
    return 77;
  }
  std::vector<fs::path> cases;
  for (const auto& entry : fs::recursive_directory_iterator(a.folder))
    if (entry.path().filename() == "model.onnx" &&
        fnmatch(a.filter.c_str(), entry.path().parent_path().filename().c_str(), 0) == 0)
      cases.push_back(entry.path().parent_path());
  std::sort(cases.begin(), cases.end());

  std::map<std::string, std::size_t> count;
  nlohmann::ordered_json report = {{"cases", nlohmann::ordered_json::array()}};
  const bool progress = isatty(STDERR_FILENO) != 0;
  for (const fs::path& folder : cases) {
    const std::string name = folder.filename().string();
    if (progress) std::cerr << "\r\x1b[K" << name << std::flush;
    const std::string result = run_apart(folder);
    const std::string status = result.substr(0, 4);
    const std::string reason = result.size() > 6 ? result.substr(6) : "";
    ++count[status];
    report["cases"].push_back({{"name", name}, {"status", status}, {"reason", reason}});
    if (status != "pass") std::cout << status << " " << name << ": " << reason << "\n";
  }
  if (progress) std::cerr << "\r\x1b[K";
  std::cout << count["pass"] << " passed, " << count["fail"] << " failed, " << count["skip"]
            << " skipped\n";
  if (!a.json.empty()) {
    std::ofstream out(a.json);
    out << report.dump(1) << "\n";
    if (!out.good()) {
      std::cerr << "cannot write " << a.json << "\n";
      return 1;
    }
  }
  return count["fail"] == 0 && count["pass"] >= a.at_least ? 0 : 1;
}
