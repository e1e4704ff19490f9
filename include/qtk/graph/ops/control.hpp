#pragma once

#include <cstring>
#include <limits>

#include "qtk/graph/ops/common.hpp"
#include "qtk/ops/copy.hpp"

/// If, Loop and Scan: operators with a body, which is compiled like a model of its own, once, and
/// run when the node is bound. So they are bound when the model runs (`at_run_time`).
namespace qtk::inline QTK_ABI::graph_ops {

/// A body and which inputs of the node it reads.
class compiled_body {
 public:
  /// `types` of the inputs that the operator feeds; their shapes may differ from call to call.
  compiled_body(const op_context& ctx, std::string_view key, const std::vector<dtype>& types) {
    const node& n = ctx.node();
    const auto* graph = n.find<std::shared_ptr<const subgraph>>(key);
    QTK_CHECK(graph != nullptr && *graph != nullptr, n.label(), "attribute '", key, "' is missing");
    const subgraph& s = **graph;
    const std::size_t formal = s.body.inputs.size() - s.captured.size();
    QTK_CHECK(formal == types.size(), n.label(), "its body takes ", formal, " inputs, not ",
              types.size());
    model body = s.body;
    body.opsets = ctx.opsets();
    body.inputs.resize(formal);
    for (std::size_t i = 0; i < formal; ++i)
      body.inputs[i] = {.name = body.inputs[i].name, .type = types[i], .dims = {}};
    for (std::size_t i = 0; i < s.captured.size(); ++i) {
      const std::string& value = s.body.inputs[formal + i].name;
      if (ctx.fixed(s.captured[i])) {  // known before the run: the body may pack or fold it
        body.set_weight(value, ctx.value(s.captured[i]));
      } else {
        body.inputs.push_back({.name = value, .type = ctx.in(s.captured[i]).type, .dims = {}});
        captured_.push_back(s.captured[i]);
      }
    }
    for (const value_info& v : body.outputs) outputs_.push_back(v);
    run_ = ctx.compile(std::move(body));
  }

  /// As the file declares them.
  [[nodiscard]] const std::vector<value_info>& outputs() const noexcept { return outputs_; }

  /// The outputs for these inputs, and the captured ones of `ctx`.
  [[nodiscard]] std::vector<any_tensor> run(const op_context& ctx,
                                            std::vector<any_tensor> inputs) const {
    for (const std::size_t i : captured_) inputs.push_back(ctx.value(i));
    return run_(inputs);
  }

 private:
  std::vector<value_info> outputs_;
  std::vector<std::size_t> captured_;  // inputs of the node
  compiled_model run_;
};

[[nodiscard]] inline std::shared_ptr<const compiled_body> body_of(
    const op_context& ctx, std::string_view key, const std::vector<dtype>& types = {}) {
  std::string name = cat(key, " of ", ctx.node().label());
  for (const std::string& out : ctx.node().outputs) name += cat(" ", out.size(), " ", out);
  return ctx.once<compiled_body>(name, [&] { return compiled_body(ctx, key, types); });
}

/// An input of one truth value.
[[nodiscard]] inline bool truth(const op_context& ctx, const any_tensor& t) {
  QTK_CHECK(t.is<boolean>() && t.shape().elements() == 1, ctx.node().label(), "condition is ",
            name(t.dtype()), " ", t.shape());
  return t.as<boolean>().data()[0] != 0;
}

inline bound_node bind_if(const op_context& ctx) {
  QTK_CHECK(ctx.has(0), ctx.node().label(), "condition is missing");
  const auto body = body_of(ctx, truth(ctx, ctx.value(0)) ? "then_branch" : "else_branch");
  return known(body->run(ctx, {}));
}

/// What an iteration left, to be stacked along a new axis.
class stacked {
 public:
  void push(const op_context& ctx, any_tensor t) {
    QTK_CHECK(parts_.empty() || (t.dtype() == parts_[0].dtype() && t.shape() == parts_[0].shape()),
              ctx.node().label(), "iterations give ", t.shape(), " after ", parts_[0].shape());
    bytes_ = checked_add(bytes_, t.size_bytes());
    ctx.expect_memory(checked_mul(2, bytes_));  // the parts, and where join() puts them
    parts_.push_back(std::move(t));
  }
  /// Along `axis` of the result, in the order of the iterations or backwards. `declared` says what
  /// there would be, where there was no iteration.
  [[nodiscard]] any_tensor join(const op_context& ctx, const value_info& declared,
                                std::int64_t axis = 0, bool backwards = false) const {
    shape part;
    if (!parts_.empty())
      part = parts_[0].shape();
    else
      for (const dimension& d : declared.dims) part.push_back(d.size.value_or(0));
    const dtype type = parts_.empty() ? declared.type : parts_[0].dtype();
    const auto rank = static_cast<std::int64_t>(part.rank()) + 1;
    QTK_CHECK(axis >= -rank && axis < rank, ctx.node().label(), "axis ", axis, " of rank ", rank);
    const auto at = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
    shape all;
    for (std::size_t d = 0; d < part.rank() + 1; ++d)
      all.push_back(d == at ? parts_.size() : part[d - (d > at)]);
    any_tensor joined(type, all);
    const std::size_t inner = part.product(at, part.rank()) * element_size(ctx, type);
    const std::size_t outer = part.product(0, at), count = parts_.size();
    for (std::size_t i = 0; i < count && all.elements() != 0; ++i) {
      const std::byte* from = parts_[backwards ? count - 1 - i : i].data();
      copy_rows(outer, inner, from, inner, joined.data() + i * inner, count * inner);
    }
    return joined;
  }

 private:
  std::vector<any_tensor> parts_;
  std::size_t bytes_ = 0;
};

/// A model may come from anywhere: a body runs no more often than this.
inline constexpr std::size_t max_iterations = std::size_t{1} << 24;
inline void check_iterations(const op_context& ctx, std::size_t count) {
  QTK_CHECK(count <= max_iterations, ctx.node().label(), "more than ", max_iterations,
            " iterations");
}

/// Whether the condition that a Loop's body gives is the one that it takes: all trips are made.
[[nodiscard]] inline bool keeps_condition(const model& body) {
  std::string_view given = body.outputs.at(0).name;
  for (std::size_t i = body.nodes.size(); i-- > 0;) {  // readers come after makers
    const node& n = body.nodes[i];
    if (n.is("Identity") && n.has_input(0) && n.outputs.at(0) == given) given = n.inputs[0];
  }
  return given == body.inputs.at(1).name;
}

/// Loop: inputs M? cond? carried...; the body takes iteration, cond, carried... and gives cond,
/// carried..., and what is stacked.
inline bound_node bind_loop(const op_context& ctx) {
  const node& n = ctx.node();
  const std::size_t formal = ctx.inputs() - n.captures;
  QTK_CHECK(formal >= 2, n.label(), formal, " inputs");
  const std::size_t carried = formal - 2;
  const std::int64_t trips =
      ctx.has(0) ? ctx.one_integer(0) : std::numeric_limits<std::int64_t>::max();
  bool go = !ctx.has(1) || truth(ctx, ctx.value(1));
  std::vector<dtype> types{dtype::int64, dtype::boolean};
  std::vector<any_tensor> state;
  for (std::size_t i = 2; i < formal; ++i) {
    types.push_back(ctx.in(i).type);
    state.push_back(ctx.value(i));
  }
  const auto body = body_of(ctx, "body", types);
  QTK_CHECK(body->outputs().size() >= 1 + carried, n.label(), "its body gives ",
            body->outputs().size(), " outputs for ", carried, " carried values");
  if (go && trips > 0 && keeps_condition((*n.find<std::shared_ptr<const subgraph>>("body"))->body))
    check_iterations(ctx, static_cast<std::size_t>(trips));
  std::vector<stacked> scans(body->outputs().size() - 1 - carried);
  for (std::int64_t i = 0; go && i < trips; ++i) {
    check_iterations(ctx, static_cast<std::size_t>(i) + 1);
    std::vector<any_tensor> in;
    in.push_back(tensor<int64>({}, {i}));
    in.push_back(tensor<boolean>({}, {1}));
    for (any_tensor& s : state) in.push_back(std::move(s));
    std::vector<any_tensor> out = body->run(ctx, std::move(in));
    go = truth(ctx, out[0]);
    for (std::size_t k = 0; k < carried; ++k) state[k] = std::move(out[1 + k]);
    for (std::size_t k = 0; k < scans.size(); ++k)
      scans[k].push(ctx, std::move(out[1 + carried + k]));
  }
  for (std::size_t k = 0; k < scans.size(); ++k)
    state.push_back(scans[k].join(ctx, body->outputs()[1 + carried + k]));
  return known(std::move(state));
}

/// Slice `index` along `axis`, without that axis.
[[nodiscard]] inline any_tensor slice_at(const op_context& ctx, const any_tensor& t,
                                         std::size_t axis, std::size_t index) {
  const shape& s = t.shape();
  shape part;
  for (std::size_t d = 0; d < s.rank(); ++d)
    if (d != axis) part.push_back(s[d]);
  any_tensor out(t.dtype(), part);
  const std::size_t inner = s.product(axis + 1, s.rank()) * element_size(ctx, t.dtype());
  if (part.elements() != 0)
    copy_rows(s.product(0, axis), inner, t.data() + index * inner, s[axis] * inner, out.data(),
              inner);
  return out;
}

/// Scan over inputs of one sequence: state... and slices go into the body, state... and what is
/// stacked come out.
[[nodiscard]] inline std::vector<any_tensor> scan(const op_context& ctx,
                                                  std::vector<any_tensor> state,
                                                  const std::vector<any_tensor>& inputs,
                                                  std::size_t length) {
  const node& n = ctx.node();
  const auto list = [&](const char* key, std::size_t size) {
    auto v = n.integers(key);
    v.resize(size, 0);
    return v;
  };
  std::vector<dtype> types;
  for (const any_tensor& t : state) types.push_back(t.dtype());
  for (const any_tensor& t : inputs) types.push_back(t.dtype());
  const auto body = body_of(ctx, "body", types);
  const std::size_t carried = state.size();
  QTK_CHECK(body->outputs().size() >= carried, n.label(), "its body gives ", body->outputs().size(),
            " outputs for ", carried, " states");
  const auto axes = list("scan_input_axes", inputs.size());
  const auto backwards =
      list(ctx.opset() < 9 ? "directions" : "scan_input_directions", inputs.size());
  std::vector<stacked> scans(body->outputs().size() - carried);
  check_iterations(ctx, length);
  for (std::size_t i = 0; i < length; ++i) {
    std::vector<any_tensor> in;
    for (any_tensor& s : state) in.push_back(std::move(s));
    for (std::size_t k = 0; k < inputs.size(); ++k)
      in.push_back(slice_at(ctx, inputs[k], inputs[k].shape().axis(axes[k]),
                            backwards[k] != 0 ? length - 1 - i : i));
    std::vector<any_tensor> out = body->run(ctx, std::move(in));
    for (std::size_t k = 0; k < carried; ++k) state[k] = std::move(out[k]);
    for (std::size_t k = 0; k < scans.size(); ++k) scans[k].push(ctx, std::move(out[carried + k]));
  }
  const auto out_axes = list("scan_output_axes", scans.size());
  const auto out_backwards = list("scan_output_directions", scans.size());
  for (std::size_t k = 0; k < scans.size(); ++k)
    state.push_back(
        scans[k].join(ctx, body->outputs()[carried + k], out_axes[k], out_backwards[k] != 0));
  return state;
}

/// Scan: inputs state..., sequences... In set 8 each has a batch dimension before it, and lengths
/// come first.
inline bound_node bind_scan(const op_context& ctx) {
  const node& n = ctx.node();
  const std::size_t formal = ctx.inputs() - n.captures, first = ctx.opset() < 9 ? 1 : 0;
  const std::int64_t given = n.integer("num_scan_inputs", 0);
  QTK_CHECK(formal > first && given > 0 && static_cast<std::uint64_t>(given) <= formal - first,
            n.label(), "num_scan_inputs is ", given, " of ", formal, " inputs");
  const auto sequences = static_cast<std::size_t>(given);
  std::vector<any_tensor> state, inputs;
  for (std::size_t i = first; i < formal; ++i) {
    QTK_CHECK(ctx.has(i), n.label(), "input ", i, " is missing");
    (i + sequences < formal ? state : inputs).push_back(ctx.value(i));
  }
  const auto length_of = [&](const std::vector<any_tensor>& in) {
    std::size_t length = 0;
    const auto axes = n.integers("scan_input_axes");
    for (std::size_t k = 0; k < in.size(); ++k) {
      const std::size_t at = in[k].shape()[in[k].shape().axis(k < axes.size() ? axes[k] : 0)];
      QTK_CHECK(k == 0 || at == length, n.label(), "sequences of ", length, " and ", at);
      length = at;
    }
    return length;
  };
  if (first == 0) {
    const std::size_t length = length_of(inputs);
    return known(scan(ctx, std::move(state), inputs, length));
  }
  QTK_CHECK(!ctx.has(0), n.label(), "sequence_lens is not supported");
  std::vector<stacked> batches(n.outputs.size());
  const std::size_t batch = inputs[0].shape().rank() == 0 ? 0 : inputs[0].shape()[0];
  check_iterations(ctx, batch);
  for (std::size_t b = 0; b < batch; ++b) {
    const auto one = [&](const std::vector<any_tensor>& all) {
      std::vector<any_tensor> parts;
      for (const any_tensor& t : all) {
        QTK_CHECK(t.shape().rank() > 0 && t.shape()[0] == batch, n.label(), "batch of ", t.shape());
        parts.push_back(slice_at(ctx, t, 0, b));
      }
      return parts;
    };
    const std::vector<any_tensor> slices = one(inputs);
    std::vector<any_tensor> out = scan(ctx, one(state), slices, length_of(slices));
    QTK_CHECK(out.size() >= batches.size(), n.label(), "has ", batches.size(), " outputs of ",
              out.size());
    for (std::size_t k = 0; k < batches.size(); ++k) batches[k].push(ctx, std::move(out[k]));
  }
  std::vector<any_tensor> outputs;
  for (const stacked& s : batches) outputs.push_back(s.join(ctx, {}));
  return known(std::move(outputs));
}

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table control_ops() {
  static constexpr op_definition table[] = {
      {"If", "", bind_if, all_inputs, 0, 0, true},
      {"Loop", "", bind_loop, all_inputs, 0, 0, true},
      {"Scan", "", bind_scan, all_inputs, 0, 0, true},
  };
  return table;
}
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops
