#pragma once

#include <deque>
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
  std::size_t packed_weights = 0;  // in the layout of the kernels, and tables that steps hold
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
  /// Bytes of a plan: packed weights, tables, arena, and what steps that are bound at run time add
  /// to it; bodies of control flow get what is left. Models may come from anywhere.
  std::size_t memory_limit = std::size_t{16} << 30;
};

/// A model compiled for here: fused, its weights packed for this CPU, its memory planned. Sharing
/// one between threads is safe: each run takes an arena of its own from a pool.
class session {
 public:
  explicit session(model m, const session_options& options = {})
      : options_(options), model_(options.optimize ? optimize_to_run(std::move(m)) : std::move(m)) {
    const std::vector<shape> shapes =
        options.shapes.empty() ? input_shapes(model_, options.batch) : options.shapes;
    auto first = make_plan(shapes);
    absorb_weights(*first);
    plans_.emplace_back(shapes, std::move(first));
  }
  struct unbound {};
  /// Not bound to any shapes before the first run; all weights are kept.
  session(model m, const session_options& options, unbound)
      : options_(options),
        model_(options.optimize ? optimize_to_run(std::move(m)) : std::move(m)) {}
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  /// The graph that runs, after optimization.
  const model& graph() const noexcept { return model_; }
  isa target() const noexcept { return options_.target; }

  /// The plan for inputs of these shapes, made at first use and kept for some more. qtk::error
  /// names what does not fit.
  std::shared_ptr<const execution_plan> plan(std::span<const shape> inputs) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [shapes, p] : plans_)
      if (std::equal(shapes.begin(), shapes.end(), inputs.begin(), inputs.end())) return p;
    std::shared_ptr<const execution_plan> made = make_plan(inputs);
    if (plans_.size() == max_plans) plans_.erase(plans_.begin());  // the oldest
    plans_.emplace_back(std::vector<shape>(inputs.begin(), inputs.end()), made);
    return made;
  }

  /// Exact, before the first run with these shapes.
  [[nodiscard]] session_memory memory(std::span<const shape> inputs) const {
    const auto p = plan(inputs);
    return {p->packed_bytes(), p->constant_bytes(), p->arena_bytes()};
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
    const auto p = plan(shapes);
    std::vector<const std::byte*> data;
    for (const any_tensor& t : inputs) data.push_back(t.data());
    arena_lease arena(*this, p->arena_bytes());
    return one_run(*this, *p, data, arena.data()).outputs();
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

  /// The body of a control-flow operator, as a session of its own that binds to the shapes it
  /// meets.
  static compiled_model compile(model body, isa target, executor_ref executor,
                                std::size_t memory_limit) {
    auto made = std::make_shared<session>(
        std::move(body),
        session_options{.target = target, .executor = executor, .memory_limit = memory_limit},
        unbound{});
    return
        [made = std::move(made)](std::span<const any_tensor> inputs) { return made->run(inputs); };
  }

  /// What one run of a plan holds: the arena, and values whose types it found out.
  class one_run {
   public:
    one_run(const session& s, const execution_plan& p, std::span<const std::byte* const> inputs,
            std::byte* arena)
        : session_(s),
          plan_(p),
          inputs_(inputs),
          arena_(arena),
          late_(p.late_values()),
          left_(s.options_.memory_limit - p.arena_bytes() - p.packed_bytes()) {
      const profile::scope whole("session.run");
      for (std::size_t i = 0; i < p.steps().size(); ++i) {
        const execution_plan::step& step = p.steps()[i];
        if (step.group != execution_plan::absent)
          i = run(p.groups()[step.group]);
        else if (step.late != nullptr)
          run_late(step);
        else if (!step.bound.alias)
          run(step);
      }
    }

    [[nodiscard]] std::vector<any_tensor> outputs() {
      std::vector<any_tensor> made;
      for (const std::size_t v : plan_.outputs()) made.push_back(copy(v));
      return made;
    }

   private:
    using place = execution_plan::value::place;

    [[nodiscard]] const std::byte* address(std::size_t v) const {
      if (v == execution_plan::absent) return nullptr;
      const auto& root = plan_.values()[plan_.values()[v].root];
      switch (root.where) {
        case place::input:
          return inputs_[root.index];
        case place::constant:
          return root.constant != nullptr ? root.constant->data() : nullptr;
        case place::late:
          return late_[root.index].data();
        case place::arena:
          break;
      }
      return arena_ + root.index;
    }
    [[nodiscard]] value_type type(std::size_t v) const {
      const auto& value = plan_.values()[v];
      if (value.where != place::late) return value.type;
      const any_tensor& t = late_[value.index];
      return {t.dtype(), t.shape()};
    }
    [[nodiscard]] any_tensor copy(std::size_t v) const {
      const value_type t = type(v);
      any_tensor made(t.type, t.dims);
      const std::size_t bytes = qtk::size_bytes(t);
      if (bytes != 0) std::memcpy(made.data(), address(v), bytes);
      return made;
    }

    void run(const execution_plan::step& s) {
      in_.clear();
      out_.clear();
      for (const std::size_t v : s.inputs) in_.push_back(address(v));
      for (const std::size_t v : s.outputs) out_.push_back(const_cast<std::byte*>(address(v)));
      const profile::scope one(s.label, {.flops = s.bound.flops,
                                         .bytes = s.bound.bytes,
                                         .integer = s.bound.integer,
                                         .kernel = s.kernel});
      s.bound.run({.inputs = in_,
                   .outputs = out_,
                   .workspace = arena_ + s.workspace,
                   .executor = session_.options_.executor});
    }

    /// The last of its steps.
    std::size_t run(const execution_plan::group& g) {
      in_.clear();
      out_.clear();
      for (std::size_t i = g.first; i <= g.last; ++i) {
        const execution_plan::step& s = plan_.steps()[i];
        for (const std::size_t v : s.inputs) in_.push_back(address(v));
        out_.push_back(const_cast<std::byte*>(address(s.outputs[0])));
      }
      io_.clear();
      const std::byte* const* in = in_.data();
      for (std::size_t i = g.first; i <= g.last; ++i) {
        const std::size_t count = plan_.steps()[i].inputs.size();
        io_.push_back({.inputs = {in, count},
                       .outputs = {&out_[i - g.first], 1},
                       .workspace = nullptr,
                       .executor = {}});
        in += count;
      }
      const profile::scope all(
          g.label, {.flops = g.flops, .bytes = g.bytes, .integer = g.integer, .kernel = g.kernel});
      g.rows.run(io_, arena_ + g.workspace, session_.options_.executor);
      return g.last;
    }

    /// Binds the step to what its inputs are now, then runs it.
    void run_late(const execution_plan::step& s) {
      const profile::scope one(s.label);
      const node& n = *s.node;
      std::vector<value_type> types(s.inputs.size());
      std::vector<const value_type*> inputs(s.inputs.size());
      std::vector<const any_tensor*> constants(s.inputs.size());
      input_mask fixed = 0;
      std::deque<any_tensor> copies;
      for (std::size_t i = 0; i < s.inputs.size(); ++i) {
        const std::size_t v = s.inputs[i];
        if (v == execution_plan::absent) continue;
        types[i] = type(v);
        inputs[i] = &types[i];
        constants[i] = plan_.values()[v].constant;
        if (plan_.values()[v].fixed && i < 64) fixed |= input_bit(i);
        if (constants[i] != nullptr || !s.late->needs_value(i)) continue;
        constants[i] = plan_.values()[v].where == place::late ? &late_[plan_.values()[v].index]
                                                              : &copies.emplace_back(copy(v));
      }
      in_node(n, [&] {
        bound_node b = bind_node(*s.late, {.node = n,
                                           .opsets = session_.model_.opsets,
                                           .inputs = inputs,
                                           .constants = constants,
                                           .fixed = fixed,
                                           .target = session_.options_.target,
                                           .executor = session_.options_.executor,
                                           .store = session_.cache_.packed,
                                           .compile = compile,
                                           .types_only = false,
                                           .memory_limit = left_});
        if (b.values.empty()) b.values = evaluate(s, b);
        for (std::size_t i = 0; i < s.outputs.size(); ++i)
          if (s.outputs[i] != execution_plan::absent) {
            check_memory(n, b.values[i].size_bytes(), left_);
            left_ -= b.values[i].size_bytes();  // late values stay until the run ends
            late_[plan_.values()[s.outputs[i]].index] = std::move(b.values[i]);
          }
      });
    }
    [[nodiscard]] std::vector<any_tensor> evaluate(const execution_plan::step& s,
                                                   const bound_node& b) {
      std::size_t bytes = checked_add(b.workspace_bytes, b.packed_bytes);
      for (const value_type& t : b.outputs) bytes = checked_add(bytes, qtk::size_bytes(t));
      check_memory(*s.node, bytes, left_);
      in_.clear();
      out_.clear();
      for (const std::size_t v : s.inputs) in_.push_back(address(v));
      return run_bound(b, in_, session_.options_.executor);
    }

    const session& session_;
    const execution_plan& plan_;
    std::span<const std::byte* const> inputs_;
    std::byte* arena_;
    std::vector<any_tensor> late_;
    std::size_t left_;  // bytes that late steps may take
    std::vector<const std::byte*> in_;
    std::vector<std::byte*> out_;
    std::vector<node_buffers> io_;
  };

  [[nodiscard]] std::shared_ptr<execution_plan> make_plan(std::span<const shape> inputs) const {
    return std::make_shared<execution_plan>(
        model_, inputs,
        execution_plan::options{.target = options_.target,
                                .executor = options_.executor,
                                .memory_limit = options_.memory_limit},
        cache_);
  }

  /// Gives up the tensors of weights that live on in packed form alone.
  void absorb_weights(execution_plan& p) {
    std::map<std::string, bool, std::less<>> kept;  // by weight that a step reads
    for (const execution_plan::step& s : p.steps())
      for (std::size_t i = 0; i < s.node->inputs.size(); ++i) {
        bool& keep = kept[s.node->inputs[i]];
        keep = keep || !s.bound.absorbs(i);
      }
    for (const value_info& out : model_.outputs) kept[out.name] = true;
    for (const node& n : model_.nodes)  // other branches may read them
      for (std::size_t i = n.inputs.size() - n.captures; i < n.inputs.size(); ++i)
        kept[n.inputs[i]] = true;
    for (const auto& [name, keep] : kept) {
      const auto it = model_.weights.find(name);
      if (keep || it == model_.weights.end()) continue;
      cache_.absorbed.emplace(name, value_type{it->second->dtype(), it->second->shape()});
      p.forget(name);
      model_.weights.erase(it);
    }
  }

  /// Of so many sets of input shapes a session remembers the plan.
  static constexpr std::size_t max_plans = 32;

  session_options options_;
  model model_;
  mutable std::mutex mutex_;
  mutable binding_cache cache_;
  mutable std::vector<std::pair<std::vector<shape>, std::shared_ptr<const execution_plan>>> plans_;
  mutable std::vector<buffer> arenas_;
};

}  // namespace qtk::inline QTK_ABI
