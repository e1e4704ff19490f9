#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "qtk/graph/optimize.hpp"
#include "qtk/graph/plan.hpp"
#include "qtk/profile/scope.hpp"

namespace qtk::inline QTK_ABI {

/// Bytes that a session holds for one set of input shapes.
struct session_memory {
  std::size_t packed_weights = 0;  // in the layout of the kernels
  std::size_t constants = 0;       // read as they are: biases, tables
  std::size_t arena = 0;           // intermediate values and workspaces, one for each run at a time
  [[nodiscard]] std::size_t total() const noexcept { return packed_weights + constants + arena; }
};

struct session_options {
  isa target = active_isa();
  executor_ref executor = {};      // must outlive the session
  bool optimize = true;            // run the fusion passes first
  std::size_t batch = 1;           // binds the symbol of the first dimension for the first plan,
  std::vector<shape> shapes = {};  // or these do, one for each input: where height is a symbol, too
  std::size_t memory_limit = std::size_t{16} << 30;  // of a plan: models may come from anywhere
};

/// A model compiled for here: fused, its weights packed for this CPU, its memory planned. Sharing
/// one between threads is safe: each run takes an arena of its own from a pool.
class session {
 public:
  explicit session(model m, const session_options& options = {})
      : options_(options), model_(options.optimize ? optimize(std::move(m)) : std::move(m)) {
    const std::vector<shape> shapes =
        options.shapes.empty() ? input_shapes(model_, options.batch) : options.shapes;
    absorb_weights(plan(shapes));
    plans_.clear();  // the first plan points to the tensors that are gone now
    plan(shapes);    // cheap: weights stay packed
  }
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  /// The graph that runs, after optimization.
  const model& graph() const noexcept { return model_; }
  isa target() const noexcept { return options_.target; }

  /// The plan for inputs of these shapes, made at first use. qtk::error names what does not fit.
  const execution_plan& plan(std::span<const shape> inputs) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [shapes, p] : plans_)
      if (std::equal(shapes.begin(), shapes.end(), inputs.begin(), inputs.end())) return *p;
    auto made = std::make_unique<execution_plan>(
        model_, inputs, execution_plan::options{options_.target, options_.executor.concurrency()},
        cache_);
    const std::size_t bytes = checked_add(made->arena_bytes(), made->packed_bytes());
    QTK_CHECK(bytes <= options_.memory_limit, "session", "arena and weights would take ", bytes,
              " bytes, the limit is ", options_.memory_limit);
    plans_.emplace_back(std::vector<shape>(inputs.begin(), inputs.end()), std::move(made));
    return *plans_.back().second;
  }

  /// Exact, before the first run with these shapes.
  [[nodiscard]] session_memory memory(std::span<const shape> inputs) const {
    const execution_plan& p = plan(inputs);
    return {p.packed_bytes(), p.constant_bytes(), p.arena_bytes()};
  }

  /// Runs the model: inputs in the order of graph().inputs, outputs in that of graph().outputs.
  /// qtk::error names an input of the wrong type or shape.
  [[nodiscard]] std::vector<any_tensor> run(std::span<const any_tensor> inputs) const {
    std::vector<shape> shapes;
    QTK_CHECK(inputs.size() == model_.inputs.size(), "session", inputs.size(), " inputs for ",
              model_.inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      QTK_CHECK(inputs[i].dtype() == model_.inputs[i].type,
                cat("input '", model_.inputs[i].name, "'"), "is ", name(inputs[i].dtype()),
                ", the model takes ", model_.inputs[i]);
      shapes.push_back(inputs[i].shape());
    }
    const execution_plan& p = plan(shapes);
    std::vector<const std::byte*> data;
    for (const any_tensor& t : inputs) data.push_back(t.data());
    std::vector<any_tensor> outputs;
    for (std::size_t i = 0; i < p.outputs().size(); ++i)
      outputs.emplace_back(p.output_type(i).type, p.output_type(i).dims);
    arena_lease arena(*this, p.arena_bytes());
    execute(p, data, arena.data(), outputs);
    return outputs;
  }

  /// For models of one fp32 input and one fp32 output.
  [[nodiscard]] tensor<fp32> run(const tensor<fp32>& x) const {
    const any_tensor input(x);
    return std::move(run(std::span(&input, 1)).at(0).as<fp32>());
  }

 private:
  /// Borrows an arena of at least `bytes`, returns it when the run ends.
  class arena_lease {
   public:
    arena_lease(const session& s, std::size_t bytes) : session_(s) {
      {
        const std::lock_guard lock(s.mutex_);
        if (!s.arenas_.empty()) {
          memory_ = std::move(s.arenas_.back());
          s.arenas_.pop_back();
        }
      }
      if (memory_.size_bytes() < bytes) memory_ = buffer(bytes);
    }
    ~arena_lease() {
      const std::lock_guard lock(session_.mutex_);
      session_.arenas_.push_back(std::move(memory_));
    }
    arena_lease(const arena_lease&) = delete;
    arena_lease& operator=(const arena_lease&) = delete;
    std::byte* data() noexcept { return memory_.data(); }

   private:
    const session& session_;
    buffer memory_;
  };

  void execute(const execution_plan& p, std::span<const std::byte* const> inputs, std::byte* arena,
               std::vector<any_tensor>& outputs) const {
    using place = execution_plan::value::place;
    const auto address = [&](std::size_t v) -> const std::byte* {
      if (v == execution_plan::absent) return nullptr;
      const auto& value = p.values()[v];
      const auto& root = p.values()[value.root];
      if (root.where == place::input) return inputs[root.index];
      if (root.where == place::constant)
        return root.constant != nullptr ? root.constant->data() : nullptr;
      return arena + root.index;
    };
    const profile::scope whole("session.run");
    std::vector<const std::byte*> in;
    std::vector<std::byte*> out;
    for (const execution_plan::step& s : p.steps()) {
      if (s.bound.alias) continue;
      in.clear();
      out.clear();
      for (const std::size_t v : s.inputs) in.push_back(address(v));
      for (const std::size_t v : s.outputs) out.push_back(const_cast<std::byte*>(address(v)));
      const profile::scope one(s.label, {.flops = s.bound.flops,
                                         .bytes = s.bound.bytes,
                                         .integer = s.bound.integer,
                                         .kernel = s.kernel});
      s.bound.run({.inputs = in,
                   .outputs = out,
                   .workspace = arena + s.workspace,
                   .executor = options_.executor});
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const std::byte* from = address(p.outputs()[i]);
      const std::size_t bytes = qtk::size_bytes(p.output_type(i));
      if (bytes != 0) std::memcpy(outputs[i].data(), from, bytes);
    }
  }

  /// Gives up the tensors of weights that live on in packed form alone.
  void absorb_weights(const execution_plan& p) {
    std::map<std::string, bool, std::less<>> kept;  // by weight that a step reads
    for (const execution_plan::step& s : p.steps())
      for (std::size_t i = 0; i < s.node->inputs.size(); ++i) {
        bool& keep = kept[s.node->inputs[i]];
        keep = keep || !s.bound.absorbs(i);
      }
    for (const value_info& out : model_.outputs) kept[out.name] = true;
    for (const auto& [name, keep] : kept) {
      const auto it = model_.weights.find(name);
      if (keep || it == model_.weights.end()) continue;
      cache_.absorbed.emplace(name, value_type{it->second->dtype(), it->second->shape()});
      model_.weights.erase(it);
    }
  }

  session_options options_;
  model model_;
  mutable std::mutex mutex_;
  mutable binding_cache cache_;
  mutable std::vector<std::pair<std::vector<shape>, std::unique_ptr<execution_plan>>> plans_;
  mutable std::vector<buffer> arenas_;
};

}  // namespace qtk::inline QTK_ABI
