#pragma once

#include <algorithm>
#include <deque>
#include <limits>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "qtk/graph/bind.hpp"
#include "qtk/graph/fold_budget.hpp"
#include "qtk/graph/memory_plan.hpp"
#include "qtk/graph/registry.hpp"
#include "qtk/graph/row_group.hpp"
#include "qtk/profile/scope.hpp"

namespace qtk::inline QTK_ABI {

/// What bindings of one session share: packed weights, and the types of weights whose elements were
/// given up after packing.
struct binding_cache {
  packed_store packed;
  std::unordered_map<std::string, value_type> absorbed;
};

/// A model bound to the shapes of its inputs: the steps in order, and an arena in which every
/// intermediate value and every kernel's workspace has its place before the first run.
///
/// Where an operator needs a value that only the run will tell (Reshape to a computed shape,
/// NonZero, If), its step is *late*: it is bound when it runs, and what it makes lies outside of
/// the arena. So does whatever depends on types that it makes.
class execution_plan {
 public:
  static constexpr std::size_t absent = std::numeric_limits<std::size_t>::max();
  /// Older sets only where none of the nodes meant something else then.
  static constexpr std::int64_t oldest_opset = 7;

  struct step {
    const qtk::node* node = nullptr;
    const char *label = "", *kernel = "";  // the node's name and its kernel's, for scopes
    bound_node bound;
    std::vector<std::size_t> inputs, outputs;  // values, or `absent`
    std::size_t workspace = 0;                 // offset in the arena
    const op_definition* late = nullptr;       // bound at run time; `bound` is empty
    std::size_t group = absent;                // which one it is of
  };
  /// Steps [first, last] that run together: see row_group.
  struct group {
    std::size_t first, last;
    row_group rows;
    const char *label, *kernel;
    bool integer;
    double flops, bytes;
    std::size_t workspace = 0;  // offset in the arena
  };
  struct value {
    enum class place : std::uint8_t { input, constant, arena, late };
    value_type type;  // unknown where late
    place where = place::arena;
    std::size_t index = 0;                 // input, late: which one; arena: the offset
    const any_tensor* constant = nullptr;  // null also for absorbed weights
    std::size_t root = 0;                  // the value whose bytes these are
    bool fixed = false;  // a constant in every plan of the session: not one of these input shapes
  };

  struct options {
    isa target = active_isa();
    executor_ref executor = {};
    bool types_only = false;  // shape inference: the plan cannot run
    /// Of arena and packed weights together.
    std::size_t memory_limit = std::numeric_limits<std::size_t>::max();
    /// Null: of the model's own. Else the plan is made to fold: it cannot run what is left.
    fold_budget* folds_within = nullptr;
  };

  /// `m` must outlive the plan. qtk::error names the node that cannot be bound.
  execution_plan(const model& m, std::span<const shape> inputs, const options& how,
                 binding_cache& cache)
      : own_folding_(m) {
    for (const qtk::node& n : m.nodes)
      QTK_CHECK(m.opset() >= oldest_opset || !n.domain.empty() || means_the_same_since_set_1(n.op),
                "model", "operator set ", m.opset(), " is not supported, only ", oldest_opset,
                " and newer");
    QTK_CHECK(inputs.size() == m.inputs.size(), "session", inputs.size(), " inputs for ",
              m.inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      check_input(m.inputs[i], inputs[i]);
      check_rows(inputs[i], cat("input '", m.inputs[i].name, "'"));
      add({.type = {m.inputs[i].type, inputs[i]}, .where = value::place::input, .index = i},
          m.inputs[i].name);
    }
    for (const auto& [name, w] : m.weights) add_weight(*w, name);
    for (const auto& [name, type] : cache.absorbed)
      add({.type = type, .where = value::place::constant, .fixed = true}, name);
    if (how.types_only) {
      for (const qtk::node& n : m.nodes) bind_types(m, n, how, cache);
      return;
    }
    for (const qtk::node& n : m.nodes) in_node(n, [&] { bind(m, n, how, cache); });
    for (const value_info& out : m.outputs) outputs_.push_back(find(out.name, "graph output"));
    drop_unread_steps();
    group_steps(how.executor);
    for (const step& s : steps_) check_memory(*s.node, own_bytes(s), how.memory_limit);
    place_values();
    const std::size_t bytes = checked_add(arena_bytes_, packed_bytes_);
    QTK_CHECK(bytes <= how.memory_limit, "session", "would take ", bytes,
              " bytes, most of them for ", largest_step().label(), ", the limit is ",
              how.memory_limit);
  }

  const std::vector<step>& steps() const noexcept { return steps_; }
  const std::vector<group>& groups() const noexcept { return groups_; }
  const std::vector<value>& values() const noexcept { return values_; }
  const std::vector<std::size_t>& outputs() const noexcept { return outputs_; }
  /// Type of a value by name, or null.
  const value_type* type_of(const std::string& name) const {
    const auto it = ids_.find(name);
    return it == ids_.end() ? nullptr : &values_[it->second].type;
  }
  /// The elements of this weight are going: no step reads them any more.
  void forget(const std::string& name) { values_[ids_.at(name)].constant = nullptr; }
  const value_type& output_type(std::size_t i) const { return values_[outputs_[i]].type; }
  /// Values that late steps make.
  std::size_t late_values() const noexcept { return late_values_; }
  std::size_t arena_bytes() const noexcept { return arena_bytes_; }
  std::size_t packed_bytes() const noexcept { return packed_bytes_; }
  /// Constants that steps read as they are (biases, tables), not those held in packed form.
  std::size_t constant_bytes() const noexcept { return constant_bytes_; }
  double flops() const noexcept {
    double sum = 0;
    for (const step& s : steps_) sum += s.bound.flops;
    return sum;
  }

 private:
  static void check_input(const value_info& info, const shape& given) {
    bool fits = info.dims.empty() || info.dims.size() == given.rank();
    for (std::size_t d = 0; fits && d < info.dims.size(); ++d)
      fits = !info.dims[d].size || *info.dims[d].size == given[d];
    QTK_CHECK(fits, cat("input '", info.name, "'"), "got ", given, ", the model takes ", info);
  }

  std::size_t add(value v, const std::string& name) {
    v.root = values_.size();
    values_.push_back(v);
    if (!name.empty()) ids_[name] = v.root;  // an output that nobody asked for has none
    return v.root;
  }
  void add_weight(const any_tensor& w, const std::string& name) {
    add({.type = {w.dtype(), w.shape()},
         .where = value::place::constant,
         .constant = &w,
         .fixed = true},
        name);
  }
  std::size_t find(const std::string& name, std::string_view where) const {
    const auto it = ids_.find(name);
    QTK_CHECK(it != ids_.end(), where, "value '", name, "' is made by no node");
    return it->second;
  }

  void bind(const model& m, const qtk::node& n, const options& how, binding_cache& cache) {
    step s;
    s.node = &n;
    s.label = profile::intern(n.name.empty() ? n.op : n.name);
    std::vector<const value_type*> types;
    std::vector<const any_tensor*> constants;
    const op_definition* definition = find_op(n.op, n.domain);
    QTK_CHECK(definition != nullptr, n.label(), "operator ", n.domain.empty() ? "" : n.domain + ".",
              n.op, " is not supported");
    bool all_known = true, all_fixed = true, late = definition->at_run_time;
    input_mask fixed = 0;
    for (const std::string& name : n.inputs) {
      const std::size_t i = s.inputs.size();
      s.inputs.push_back(name.empty() ? absent : find(name, n.label()));
      const value* v = name.empty() ? nullptr : &values_[s.inputs.back()];
      types.push_back(v != nullptr ? &v->type : nullptr);
      constants.push_back(v != nullptr ? v->constant : nullptr);
      all_known = all_known && (v == nullptr || v->constant != nullptr);
      all_fixed = all_fixed && (v == nullptr || v->fixed);
      if (v != nullptr && v->fixed && i < 64) fixed |= input_bit(i);
      late = late || (v != nullptr && (v->where == value::place::late ||
                                       (v->constant == nullptr && definition->needs_value(i))));
    }
    if (n.is("If") && !constants.empty() && constants[0] != nullptr)
      return take_branch(m, n, *constants[0], how, cache);
    if (late) {
      if (how.types_only) return;
      s.late = definition;
      s.kernel = profile::intern("");
      for (const std::string& name : n.outputs)
        s.outputs.push_back(
            name.empty()
                ? absent
                : add({.type = {}, .where = value::place::late, .index = late_values_++}, name));
      steps_.push_back(std::move(s));
      return;
    }
    const auto bind_to = [&](bool types_only) {
      s.bound = bind_node(*definition, {.node = n,
                                        .opsets = m.opsets,
                                        .inputs = types,
                                        .constants = constants,
                                        .fixed = fixed,
                                        .target = how.target,
                                        .executor = how.executor,
                                        .store = cache.packed,
                                        .compile = nullptr,
                                        .types_only = types_only,
                                        .memory_limit = how.memory_limit - held_bytes_});
    };
    // What may be folded is first asked what that takes: binders make tables as large as results.
    const bool known = all_known && !n.inputs.empty();
    bind_to(how.types_only || known);
    const bool affordable = known && folding(how).allows(s.bound);
    const bool runs = !how.types_only && how.folds_within == nullptr;
    if (known && s.bound.values.empty() && (affordable || runs)) bind_to(false);
    s.kernel = profile::intern(s.bound.kernel);
    if (!s.bound.values.empty()) {
      for (std::size_t i = 0; i < n.outputs.size(); ++i)
        if (!n.outputs[i].empty()) keep(std::move(s.bound.values[i]), n.outputs[i], all_fixed);
    } else if (affordable && (s.bound.run || s.bound.alias) && folding(how).take(s.bound)) {
      evaluate(n, s, constants, all_fixed);
    } else {
      for (std::size_t i = 0; i < s.bound.outputs.size(); ++i)
        s.outputs.push_back(
            add({.type = s.bound.outputs[i]}, i < n.outputs.size() ? n.outputs[i] : std::string()));
      if (s.bound.alias) alias(s);
      if (held_.insert(s.bound.packed.get()).second) {
        held_bytes_ = checked_add(held_bytes_, s.bound.packed_bytes);
        check_memory(n, held_bytes_, how.memory_limit);
      }
      steps_.push_back(std::move(s));
    }
  }

  /// An If whose condition is known is its branch: nodes of this plan, under names of their own.
  void take_branch(const model& m, const qtk::node& n, const any_tensor& condition,
                   const options& how, binding_cache& cache) {
    QTK_CHECK(condition.is<boolean>() && condition.shape().elements() == 1, n.label(),
              "condition is ", name(condition.dtype()), " ", condition.shape());
    const char* key = condition.as<boolean>().data()[0] != 0 ? "then_branch" : "else_branch";
    const auto* graph = n.find<std::shared_ptr<const subgraph>>(key);
    QTK_CHECK(graph != nullptr && *graph != nullptr, n.label(), "attribute '", key, "' is missing");
    const qtk::model& body = (*graph)->body;
    QTK_CHECK(
        body.inputs.size() == (*graph)->captured.size() && body.outputs.size() >= n.outputs.size(),
        n.label(), "its body takes ", body.inputs.size(), " inputs and gives ",
        body.outputs.size());
    std::unordered_map<std::string, std::string> outside;
    for (std::size_t i = 0; i < body.inputs.size(); ++i)
      outside.emplace(body.inputs[i].name, captured_value(**graph, n, i));
    // No file can hold such a name.
    const std::string inside = cat(n.outputs.at(0), "\n", key, "\n");
    const auto renamed = [&](const std::string& v) {
      const auto it = outside.find(v);
      return v.empty() ? v : it != outside.end() ? it->second : inside + v;
    };
    for (const auto& [weight_name, w] : body.weights) add_weight(*w, inside + weight_name);
    for (const qtk::node& part : body.nodes) {
      qtk::node& copy = taken_.emplace_back(part);
      for (std::string& v : copy.inputs) v = renamed(v);
      for (std::string& v : copy.outputs) v = renamed(v);
      in_node(copy, [&] { bind(m, copy, how, cache); });
    }
    for (std::size_t i = 0; i < n.outputs.size(); ++i)
      if (!n.outputs[i].empty())
        ids_[n.outputs[i]] = find(renamed(body.outputs[i].name), n.label());
  }

  /// For types alone: what cannot be bound leaves what it makes without one.
  void bind_types(const model& m, const qtk::node& n, const options& how, binding_cache& cache) {
    const bool typed = std::all_of(n.inputs.begin(), n.inputs.end(), [&](const std::string& v) {
      return v.empty() || ids_.contains(v);
    });
    if (!typed || find_op(n.op, n.domain) == nullptr) return;
#if QTK_HAS_EXCEPTIONS
    try {
      bind(m, n, how, cache);
    } catch (const error&) {
    }
#else
    bind(m, n, how, cache);
#endif
  }

  fold_budget& folding(const options& how) {
    return how.folds_within != nullptr ? *how.folds_within : own_folding_;
  }

  /// What a step takes of the arena.
  [[nodiscard]] std::size_t own_bytes(const step& s) const {
    std::size_t bytes = s.bound.workspace_bytes;
    for (const std::size_t v : s.outputs)
      if (v != absent && values_[v].where == value::place::arena && !s.bound.alias)
        bytes = checked_add(bytes, qtk::size_bytes(values_[v].type));
    return bytes;
  }
  /// Who is to blame where the whole is too much.
  [[nodiscard]] const qtk::node& largest_step() const {
    return *std::max_element(steps_.begin(), steps_.end(), [&](const step& a, const step& b) {
              return own_bytes(a) + a.bound.packed_bytes < own_bytes(b) + b.bound.packed_bytes;
            })->node;
  }

  /// Output 0 lives where its input lives.
  void alias(const step& s) {
    value& out = values_[s.outputs[0]];
    const value& in = values_[s.inputs[*s.bound.alias]];
    out.where = in.where;
    out.index = in.index;
    out.root = in.root;
  }

  void keep(any_tensor t, const std::string& name, bool fixed) {
    owned_.push_back(std::move(t));
    const any_tensor& kept = owned_.back();
    add({.type = {kept.dtype(), kept.shape()},
         .where = value::place::constant,
         .constant = &kept,
         .fixed = fixed},
        name);
  }

  /// Constant folding: a node that only reads known values runs now.
  void evaluate(const qtk::node& n, step& s, std::span<const any_tensor* const> constants,
                bool fixed) {
    std::vector<const std::byte*> in;
    for (const any_tensor* c : constants) in.push_back(c != nullptr ? c->data() : nullptr);
    std::vector<any_tensor> results = run_bound(s.bound, in, {});
    for (std::size_t i = 0; i < n.outputs.size(); ++i)
      if (!n.outputs[i].empty()) keep(std::move(results[i]), n.outputs[i], fixed);
  }

  /// Who asks only for the shape of a value has it already.
  void drop_unread_steps() {
    std::vector<bool> wanted(values_.size());
    for (const std::size_t v : outputs_) wanted[v] = true;
    std::vector<step> kept;
    for (std::size_t i = steps_.size(); i-- > 0;) {
      step& s = steps_[i];
      const bool read = std::any_of(s.outputs.begin(), s.outputs.end(),
                                    [&](std::size_t v) { return v != absent && wanted[v]; });
      if (!read) continue;
      for (const std::size_t v : s.inputs)
        if (v != absent) wanted[v] = true;
      kept.push_back(std::move(s));
    }
    std::reverse(kept.begin(), kept.end());
    steps_ = std::move(kept);
  }

  /// No model has as many layers in a row that are worth it.
  static constexpr std::size_t longest_group = 32;

  /// Chains of layers whose values nobody else reads.
  void group_steps(executor_ref executor) {
    if (executor.concurrency() < 2) return;
    std::vector<std::size_t> readers(values_.size(), 0);
    for (const step& s : steps_)
      for (const std::size_t v : s.inputs)
        if (v != absent) ++readers[root_of(v)];
    for (const std::size_t v : outputs_) ++readers[root_of(v)];
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      std::vector<row_group::layer> chain;
      const std::size_t most = std::min(steps_.size(), i + longest_group);
      for (std::size_t j = i; j < most && steps_[j].bound.bands != nullptr; ++j) {
        const step& s = steps_[j];
        chain.push_back({&s.bound, &values_[s.inputs[0]].type, &values_[s.outputs[0]].type});
        const bool ends = s.bound.bands->whole || readers[s.outputs[0]] != 1 ||
                          j + 1 == steps_.size() || steps_[j + 1].inputs.empty() ||
                          steps_[j + 1].inputs[0] != s.outputs[0];
        if (ends) break;
      }
      std::optional<row_group> rows = row_group::find(chain, executor);
      if (!rows) continue;
      const std::size_t last = i + rows->layers() - 1;
      group g{.first = i,
              .last = last,
              .rows = std::move(*rows),
              .label = profile::intern(cat(steps_[i].label, " .. ", steps_[last].label)),
              .kernel = profile::intern(cat("rows of ", last - i + 1, " layers")),
              .integer = steps_[last].bound.integer,
              .flops = 0,
              .bytes = 0};
      for (std::size_t j = i; j <= last; ++j) {
        g.flops += steps_[j].bound.flops;
        g.bytes += steps_[j].bound.bytes;
        steps_[j].group = groups_.size();
      }
      groups_.push_back(std::move(g));
      i = last;
    }
  }
  /// Steps that run when step i does.
  [[nodiscard]] std::pair<std::size_t, std::size_t> together(std::size_t i) const {
    if (steps_[i].group == absent) return {i, i};
    const group& g = groups_[steps_[i].group];
    return {g.first, g.last};
  }

  void place_values() {
    // Last step that reads each root; outputs of the graph are read after the last step.
    std::vector<std::size_t> last(values_.size(), 0), first(values_.size(), absent);
    for (std::size_t i = 0; i < steps_.size(); ++i)
      for (const auto* values : {&steps_[i].inputs, &steps_[i].outputs})
        for (const std::size_t v : *values)
          if (v != absent) last[root_of(v)] = std::max(last[root_of(v)], together(i).second);
    for (const std::size_t v : outputs_) last[root_of(v)] = steps_.size();
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const auto [begin, end] = together(i);
      if (i != end && begin != end) continue;  // its output stays inside
      reuse_input(i, last);
      for (const std::size_t v : steps_[i].outputs)
        if (v != absent && first[root_of(v)] == absent) first[root_of(v)] = begin;
    }
    for (std::size_t v = 0; v < values_.size(); ++v) values_[v].root = root_of(v);
    std::vector<lifetime> buffers;
    std::vector<std::size_t> owner;  // value, or steps_.size() past the values: workspace
    for (std::size_t v = 0; v < values_.size(); ++v)
      if (values_[v].where == value::place::arena && values_[v].root == v && first[v] != absent) {
        buffers.push_back({qtk::size_bytes(values_[v].type), first[v], last[v]});
        owner.push_back(v);
      }
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const bool alone = steps_[i].group == absent;
      if (!alone && groups_[steps_[i].group].first != i) continue;
      buffers.push_back({alone ? steps_[i].bound.workspace_bytes
                               : groups_[steps_[i].group].rows.workspace_bytes(),
                         i, together(i).second});
      owner.push_back(values_.size() + i);
    }
    arena_bytes_ = plan_memory(buffers);
    for (std::size_t b = 0; b < buffers.size(); ++b) {
      if (owner[b] < values_.size()) {
        values_[owner[b]].index = buffers[b].offset;
      } else {
        step& s = steps_[owner[b] - values_.size()];
        (s.group == absent ? s.workspace : groups_[s.group].workspace) = buffers[b].offset;
      }
    }
    for (value& v : values_)
      if (v.where == value::place::arena) v.index = values_[v.root].index;
    count_constants();
  }

  /// Lets output 0 take the place of an input that dies here.
  void reuse_input(std::size_t i, std::vector<std::size_t>& last) {
    const step& s = steps_[i];
    if (!s.bound.in_place) return;
    const std::size_t in = s.inputs[*s.bound.in_place];
    const std::size_t out = s.outputs[0];
    if (in == absent || values_[in].where != value::place::arena) return;
    const std::size_t root = root_of(in);
    if (last[root] != i || qtk::size_bytes(values_[root].type) < qtk::size_bytes(values_[out].type))
      return;
    // Nor may another input have them, of any step that runs at the same time.
    const auto [begin, end] = together(i);
    for (std::size_t j = begin; j <= end; ++j)
      for (std::size_t k = 0; k < steps_[j].inputs.size(); ++k) {
        const std::size_t v = steps_[j].inputs[k];
        if ((j != i || k != *s.bound.in_place) && v != absent && root_of(v) == root) return;
      }
    last[root] = last[out];
    values_[out].root = root;  // and with it the views of the output
  }

  /// The value whose bytes these are. Chains grow while steps reuse their inputs, and are cut short
  /// on the way.
  std::size_t root_of(std::size_t v) {
    while (values_[v].root != v) v = values_[v].root = values_[values_[v].root].root;
    return v;
  }

  void count_constants() {
    std::unordered_set<const any_tensor*> seen;
    for (const step& s : steps_) {
      if (packed_.insert(s.bound.packed.get()).second) packed_bytes_ += s.bound.packed_bytes;
      for (std::size_t i = 0; i < s.inputs.size(); ++i)
        if (s.inputs[i] != absent && !s.bound.absorbs(i) &&
            values_[s.inputs[i]].constant != nullptr &&
            seen.insert(values_[s.inputs[i]].constant).second)
          constant_bytes_ += values_[s.inputs[i]].constant->size_bytes();
    }
  }

  std::vector<value> values_;
  std::vector<step> steps_;
  std::vector<group> groups_;
  std::vector<std::size_t> outputs_;
  std::unordered_map<std::string, std::size_t> ids_;
  std::deque<any_tensor> owned_;                   // stable addresses
  std::deque<qtk::node> taken_;                    // of branches
  std::unordered_set<const void*> packed_, held_;  // counted already
  std::size_t arena_bytes_ = 0, packed_bytes_ = 0, constant_bytes_ = 0;
  std::size_t held_bytes_ = 0;  // packed bytes of the steps so far, also of those that nobody reads
  fold_budget own_folding_;
  std::size_t late_values_ = 0;
};

/// Shapes of the inputs with the batch (the first dimension, where it is a symbol, and all others
/// of the same symbol) bound to `batch`, and other symbols (height, width) to `other`; 0 stands for
/// no answer: qtk::error names a dimension that nobody gave.
[[nodiscard]] inline std::vector<shape> input_shapes(const model& m, std::size_t batch = 1,
                                                     std::size_t other = 0) {
  std::set<std::string_view> batches;
  for (const value_info& in : m.inputs)
    if (!in.dims.empty() && !in.dims[0].size) batches.insert(in.dims[0].symbol);
  std::vector<shape> shapes;
  for (const value_info& in : m.inputs) {
    shape s;
    for (std::size_t i = 0; i < in.dims.size(); ++i) {
      const dimension& d = in.dims[i];
      const bool is_batch = i == 0 || (!d.symbol.empty() && batches.contains(d.symbol));
      QTK_CHECK(d.size || is_batch || other != 0, cat("input '", in.name, "'"), "dimension ", i,
                " of ", in, " must be given");
      s.push_back(d.size ? *d.size : is_batch ? batch : other);
    }
    shapes.push_back(s);
  }
  return shapes;
}

/// Shape inference: the types of values, for symbols bound as by input_shapes. What cannot be typed
/// (an operator that no session runs) has none. `m` must outlive the result.
[[nodiscard]] inline execution_plan infer_types(const model& m, std::size_t batch = 1,
                                                std::size_t other = 1) {
  binding_cache cache;
  return execution_plan(m, input_shapes(m, batch, other), {.types_only = true}, cache);
}

}  // namespace qtk::inline QTK_ABI
