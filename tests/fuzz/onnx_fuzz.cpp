#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <qtk/onnx.hpp>

/// Whatever the bytes are, reading them gives a model or a qtk::error. What a model gives is then
/// optimized, written, read again, compiled and run once; each step may end in a qtk::error, none
/// in anything else. A file that qtk wrote must be one that it reads.

namespace {

constexpr std::size_t memory_limit = std::size_t{64} << 20;
constexpr double flops_limit = 1e8;

void write_and_read_again(const qtk::model& m) {
  std::vector<std::byte> bytes;
  try {
    bytes = qtk::onnx::serialize(m);
  } catch (const qtk::error&) {
    return;  // not everything has a form in ONNX
  }
  try {
    (void)qtk::onnx::parse(bytes);
  } catch (const qtk::error& e) {
    std::fprintf(stderr, "cannot read what was written: %s\n", e.what());
    std::abort();
  }
}

/// A Loop may run 2^24 times, and do more each time, by right: longer than a fuzzer waits.
bool loops_long(const qtk::model& m) {
  for (const qtk::node& n : m.nodes) {
    if (n.is("Loop")) {
      const auto trips = m.weights.find(n.has_input(0) ? n.inputs[0] : "");
      if (trips == m.weights.end()) return true;
      const auto* const count = trips->second->get_if<qtk::int64>();
      if (count == nullptr || count->elements() != 1 || count->data()[0] > 1000) return true;
    }
    for (const auto& [key, value] : n.attributes) {
      const auto* const graph = n.find<std::shared_ptr<const qtk::subgraph>>(key);
      if (graph != nullptr && *graph != nullptr && loops_long((*graph)->body)) return true;
    }
  }
  return false;
}

void run(const qtk::model& m) {
  if (loops_long(m)) return;
  const qtk::session session(m, {.optimize = false, .memory_limit = memory_limit});
  const std::vector<qtk::shape> shapes = qtk::input_shapes(session.graph());
  const auto plan = session.plan(shapes);
  std::size_t bytes = plan->arena_bytes();
  std::vector<qtk::any_tensor> inputs;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    bytes = qtk::checked_add(
        bytes, qtk::size_bytes(qtk::value_type{session.graph().inputs[i].type, shapes[i]}));
    if (bytes > memory_limit) return;
    inputs.emplace_back(session.graph().inputs[i].type, shapes[i]);
  }
  for (std::size_t i = 0; i < plan->outputs().size(); ++i)
    bytes = qtk::checked_add(bytes, qtk::size_bytes(plan->output_type(i)));
  if (bytes <= memory_limit && plan->flops() <= flops_limit) (void)session.run(inputs);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const qtk::model m = qtk::onnx::parse(std::as_bytes(std::span(data, size)),
                                          {.max_file_bytes = 1 << 20, .max_nodes = 1000});
    write_and_read_again(m);
    write_and_read_again(qtk::optimize(m));
    run(qtk::optimize_to_run(m));
  } catch (const qtk::error&) {
  }
  return 0;
}
