#include <cstdio>
#include <map>
#include <qtk/onnx.hpp>
#include <qtk/report/table.hpp>
#include <vector>

#include "formats.hpp"
#include "options.hpp"

namespace qtk_cli {
namespace {

void print_values(const char* title, const std::vector<qtk::value_info>& values) {
  for (const qtk::value_info& v : values)
    std::printf("%-12s %s  %s\n", title, v.name.c_str(), qtk::to_string(v).c_str());
}

void print_operators(const qtk::model& m) {
  std::map<std::string, std::size_t> count;
  for (const qtk::node& n : m.nodes) ++count[n.domain.empty() ? n.op : n.domain + "." + n.op];
  std::printf("operators   ");
  for (const auto& [op, n] : count) {
    const std::size_t dot = op.rfind('.');
    const bool known = qtk::find_op(op.substr(dot + 1),
                                    dot == std::string::npos ? "" : op.substr(0, dot)) != nullptr;
    std::printf(" %s%s x%zu", op.c_str(), known ? "" : " (not supported)", n);
  }
  std::printf("\n");
}

}  // namespace

void add_info(CLI::App& app) {
  struct arguments {
    std::string model;
    bool passes = false;
  };
  auto* command = app.add_subcommand("info", "what is in a model, and its size in each format");
  const auto a = std::make_shared<arguments>();
  command->add_option("model", a->model, "ONNX file");
  command->add_flag("--passes", a->passes, "list the optimization passes");
  command->callback([a] {
    if (a->passes) {
      for (const qtk::pass& p : qtk::default_passes())
        std::printf("%-20s %s\n", std::string(p.name).c_str(), std::string(p.what).c_str());
      return;
    }
    QTK_CHECK(!a->model.empty(), "qtk info", "which model?");
    const qtk::model m = qtk::onnx::load(a->model);
    std::vector<std::size_t> bytes;  // of each format, before the first line: one may be refused
    for (const format_choice& f : all_formats()) bytes.push_back(qtk::weight_bytes(f.make(m)));
    std::printf("%-12s %s, opset %lld%s%s\n", "model",
                m.name.empty() ? "(no name)" : m.name.c_str(), static_cast<long long>(m.opset()),
                m.producer.empty() ? "" : ", made by ", m.producer.c_str());
    print_values("input", m.inputs);
    print_values("output", m.outputs);
    print_operators(m);
    std::printf("%-12s %zu\n\n", "parameters", qtk::parameters(m));
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const format_choice& f = all_formats()[i];
      std::printf(
          "%-18s %10s  %.2fx  %s\n", std::string(f.name).c_str(),
          qtk::report::human_bytes(bytes[i]).c_str(),
          static_cast<double>(bytes[i]) / static_cast<double>(std::max<std::size_t>(1, bytes[0])),
          std::string(f.what).c_str());
    }
  });
}

}  // namespace qtk_cli
