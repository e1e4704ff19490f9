#pragma once

#include "qtk/graph/ops/common.hpp"

/// If, Loop and Scan: operators with a body, which is compiled like a model of its own, once, and
/// run when the node is bound. So they are bound when the model runs (`at_run_time`).
namespace qtk::inline QTK_ABI::graph_ops {

/// A body and which inputs of the node it reads.
class compiled_body {
 public:
  compiled_body(const op_context& ctx, std::string_view key) {
    const node& n = ctx.node();
    const auto* graph = n.find<std::shared_ptr<const subgraph>>(key);
    QTK_CHECK(graph != nullptr && *graph != nullptr, n.label(), "attribute '", key, "' is missing");
    const subgraph& s = **graph;
    formal_ = s.body.inputs.size() - s.captured.size();
    model body = s.body;
    body.opsets = ctx.opsets();
    body.inputs.resize(formal_);
    for (std::size_t i = 0; i < s.captured.size(); ++i) {
      const value_info& v = s.body.inputs[formal_ + i];
      if (ctx.fixed(s.captured[i])) {  // known before the run: the body may pack or fold it
        body.set_weight(v.name, *ctx.constant(s.captured[i]));
      } else {
        body.inputs.push_back(v);
        body.inputs.back().type = ctx.in(s.captured[i]).type;
        body.inputs.back().dims.clear();
        captured_.push_back(s.captured[i]);
      }
    }
    outputs_ = body.outputs.size();
    run_ = ctx.compile(std::move(body));
  }

  [[nodiscard]] std::size_t formal() const noexcept { return formal_; }
  [[nodiscard]] std::size_t outputs() const noexcept { return outputs_; }

  /// The outputs for these formal inputs, and the captured ones of `ctx`.
  [[nodiscard]] std::vector<any_tensor> run(const op_context& ctx,
                                            std::vector<any_tensor> inputs) const {
    QTK_CHECK(inputs.size() == formal_, ctx.node().label(), inputs.size(),
              " inputs for a body that takes ", formal_);
    for (const std::size_t i : captured_) inputs.push_back(*ctx.constant(i));
    return run_(inputs);
  }

 private:
  std::size_t formal_ = 0, outputs_ = 0;
  std::vector<std::size_t> captured_;  // inputs of the node
  compiled_model run_;
};

[[nodiscard]] inline std::shared_ptr<const compiled_body> body_of(const op_context& ctx,
                                                                  std::string_view key) {
  return ctx.once<compiled_body>(
      cat(key, " of ", ctx.node().label(), " ", ctx.node().outputs.at(0)),
      [&] { return compiled_body(ctx, key); });
}

/// An input of one truth value.
[[nodiscard]] inline bool truth(const op_context& ctx, const any_tensor& t) {
  QTK_CHECK(t.is<boolean>() && t.shape().elements() == 1, ctx.node().label(), "condition is ",
            name(t.dtype()), " ", t.shape());
  return t.as<boolean>().data()[0] != 0;
}

inline bound_node bind_if(const op_context& ctx) {
  QTK_CHECK(ctx.has(0), ctx.node().label(), "condition is missing");
  const auto body = body_of(ctx, truth(ctx, *ctx.constant(0)) ? "then_branch" : "else_branch");
  return known(body->run(ctx, {}));
}

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table control_ops() {
  static constexpr op_definition table[] = {
      {"If", "", bind_if, all_inputs, false, true},
  };
  return table;
}
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops
