#pragma once

#include <string>
#include <utility>
#include <vector>

#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/gate_function.hpp"
#include "qtk/ops/linear.hpp"

/// Binders of recurrent layers: RNN, GRU (Cho et al., 2014) and LSTM (Hochreiter, Schmidhuber,
/// 1997) as ONNX says them. Inputs: X, W (D, gates * H, I), R (D, gates * H, H), B (D, 2 * gates *
/// H), sequence_lens (B), initial_h, and of LSTM initial_c and peepholes P (D, 3 * H).
namespace qtk::inline QTK_ABI::graph_ops {

/// What a recurrent layer computes, of which sizes.
struct recurrent_layer {
  enum class cell : std::uint8_t { rnn, gru, lstm };
  cell kind;
  std::size_t gates, steps, batch, inputs, hidden, directions;
  bool batch_first, reverse, linear_before_reset, input_forget;
  float clip;
  std::vector<gate_function> functions;  // of each direction, one after the other
  std::string label;
  const elementwise_kernels* kernels;

  explicit recurrent_layer(const op_context& ctx) : label(ctx.node().label()) {
    const node& n = ctx.node();
    kind = n.op == "LSTM" ? cell::lstm : n.op == "GRU" ? cell::gru : cell::rnn;
    gates = kind == cell::lstm ? 4 : kind == cell::gru ? 3 : 1;
    const shape &x = ctx.dims(0), &w = ctx.dims(1), &r = ctx.dims(2);
    const std::string direction = n.text("direction", "forward");
    QTK_CHECK(direction == "forward" || direction == "reverse" || direction == "bidirectional",
              label, "direction = '", direction, "'");
    reverse = direction == "reverse";
    directions = direction == "bidirectional" ? 2 : 1;
    batch_first = n.integer("layout", 0) != 0;
    QTK_CHECK(x.rank() == 3 && r.rank() == 3 && r[2] > 0, label, "X ", x, ", R ", r);
    steps = x[batch_first ? 1 : 0];
    batch = x[batch_first ? 0 : 1];
    inputs = x[2];
    hidden = r[2];
    const std::size_t rows = checked_mul(gates, hidden);
    QTK_CHECK(w == shape({directions, rows, inputs}) && r == shape({directions, rows, hidden}) &&
                  static_cast<std::uint64_t>(
                      n.integer("hidden_size", static_cast<std::int64_t>(hidden))) == hidden,
              label, "X ", x, ", W ", w, ", R ", r);
    const shape state =
        batch_first ? shape{batch, directions, hidden} : shape{directions, batch, hidden};
    const auto optional = [&](std::size_t i, const shape& expected) {
      QTK_CHECK(!ctx.has(i) || ctx.dims(i) == expected, label, "input ", i, " is ", ctx.dims(i),
                ", expected ", expected);
      if (ctx.has(i)) ctx.expect(i, i == 4 ? dtype::int32 : dtype::fp32);
    };
    for (std::size_t i = 0; i < 3; ++i) ctx.expect(i, dtype::fp32);
    optional(3, {directions, checked_mul(2, rows)});
    optional(4, {batch});
    optional(5, state);
    optional(6, state);
    optional(7, {directions, checked_mul(3, hidden)});
    clip = n.number("clip", 0.0f);
    input_forget = n.integer("input_forget", 0) != 0;
    linear_before_reset = n.integer("linear_before_reset", 0) != 0;
    auto names = n.get<std::vector<std::string>>("activations", {});
    if (names.empty())
      for (std::size_t d = 0; d < directions; ++d) {
        if (kind != cell::rnn) names.emplace_back("Sigmoid");
        names.emplace_back("Tanh");
        if (kind == cell::lstm) names.emplace_back("Tanh");
      }
    functions = gate_function::parse(n, std::move(names));
    QTK_CHECK(functions.size() == directions * functions_each(), label, functions.size(),
              " activations for ", directions, " directions");
    kernels = &find_elementwise(ctx.target());
  }

  [[nodiscard]] std::size_t functions_each() const noexcept {
    return kind == cell::lstm ? 3 : kind == cell::gru ? 2 : 1;
  }
  /// Where step t of batch element b lies in X, and direction d of it in Y and in states.
  [[nodiscard]] std::size_t row(std::size_t t, std::size_t b) const noexcept {
    return batch_first ? b * steps + t : t * batch + b;
  }
  [[nodiscard]] std::size_t y_row(std::size_t t, std::size_t d, std::size_t b) const noexcept {
    return batch_first ? (b * steps + t) * directions + d : (t * directions + d) * batch + b;
  }
  [[nodiscard]] std::size_t state_row(std::size_t d, std::size_t b) const noexcept {
    return batch_first ? b * directions + d : d * batch + b;
  }
  /// Whether the candidate of a GRU multiplies R with the state that the reset gate left.
  [[nodiscard]] bool resets_first() const noexcept {
    return kind == cell::gru && !linear_before_reset;
  }
};

/// The matrices of one direction: of the input, of the state, and of the state after a GRU's reset.
struct recurrent_weights {
  linear input, state, after_reset;

  recurrent_weights(const recurrent_layer& l, isa target, const float* w, const float* r) {
    const auto packed = [&](const float* rows, std::size_t count, std::size_t cols) {
      return linear(
          packed_weights(tensor_view<const fp32>(rows, {count, cols}), compute::real, target));
    };
    const std::size_t H = l.hidden, together = (l.gates - (l.resets_first() ? 1 : 0)) * H;
    input = packed(w, l.gates * H, l.inputs);
    state = packed(r, together, H);
    if (l.resets_first()) after_reset = packed(r + together * H, H, H);
  }
  [[nodiscard]] std::size_t bytes() const noexcept {
    return input.weights().size_bytes() + state.weights().size_bytes() +
           after_reset.weights().size_bytes();
  }
  [[nodiscard]] std::size_t workspace_bytes(const recurrent_layer& l,
                                            std::size_t concurrency) const {
    return std::max({input.workspace_bytes(l.steps * l.batch, concurrency),
                     state.workspace_bytes(l.batch, concurrency),
                     l.resets_first() ? after_reset.workspace_bytes(l.batch, concurrency) : 0});
  }
};

/// The floats of one run of a direction, in the workspace: the gates of all steps, the products of
/// one step with the state and with what a reset left of it, and the state.
struct recurrent_buffers {
  float *gates, *products, *reset_products, *reset, *h, *c;
  std::byte* scratch;  // of the matrices

  recurrent_buffers(const recurrent_layer& l, std::byte* workspace) {
    workspace_cursor w(workspace);
    const std::size_t width = l.gates * l.hidden, state = l.batch * l.hidden;
    gates = w.take<float>(l.steps * l.batch * width);
    products = w.take<float>(l.batch * width);
    reset_products = w.take<float>(state);
    reset = w.take<float>(state);
    h = w.take<float>(state);
    c = w.take<float>(state);
    scratch = w.take<std::byte>(0);
  }
  [[nodiscard]] static std::size_t bytes(const recurrent_layer& l) {
    const std::size_t width = l.gates * l.hidden;
    const auto floats = [](std::size_t rows, std::size_t cols) {
      return workspace_cursor::aligned(checked_mul(checked_mul(rows, cols), sizeof(float)));
    };
    return checked_add(
        checked_add(floats(checked_mul(l.steps, l.batch), width), floats(l.batch, width)),
        checked_mul(4, floats(l.batch, l.hidden)));
  }
};

/// One direction of one run.
class recurrence {
 public:
  recurrence(const recurrent_layer& layer, const node_buffers& given, std::size_t which)
      : l(layer),
        io(given),
        d(which),
        H(layer.hidden),
        width(layer.gates * layer.hidden),
        f(layer.functions.data() + which * layer.functions_each()) {
    const float* const bias = io.in<float>(3);
    w_bias = bias != nullptr ? bias + 2 * d * width : nullptr;
    r_bias = bias != nullptr ? w_bias + width : nullptr;
    peephole = io.in<float>(7) != nullptr ? io.in<float>(7) + 3 * d * H : nullptr;
  }

  void run(const recurrent_weights& weights) {
    const auto [all, products, reset_products, reset, h, c, scratch] =
        recurrent_buffers(l, io.workspace);
    gates = all;
    weights.input.run(l.steps * l.batch, io.in<float>(0), l.inputs, gates, width, {.bias = w_bias},
                      scratch, io.executor);
    for (std::size_t b = 0; b < l.batch; ++b) {
      start(h + b * H, 5, b);
      if (l.kind == recurrent_layer::cell::lstm) start(c + b * H, 6, b);
      for (std::size_t t = length(b); t < l.steps; ++t)
        std::fill_n(io.out<float>(0) + l.y_row(t, d, b) * H, H, 0.0f);
    }
    const std::size_t stride = weights.state.weights().N();
    for (std::size_t s = 0; s < l.steps; ++s) {
      weights.state.run(l.batch, h, H, products, stride, {.bias = r_bias}, scratch, io.executor);
      if (l.resets_first()) {
        for (std::size_t b = 0; b < l.batch; ++b)
          if (s < length(b))
            update_and_reset(at(s, b), products + b * stride, h + b * H, reset + b * H);
        weights.after_reset.run(l.batch, reset, H, reset_products, H,
                                {.bias = r_bias != nullptr ? r_bias + 2 * H : nullptr}, scratch,
                                io.executor);
      }
      for (std::size_t b = 0; b < l.batch; ++b) {
        if (s >= length(b)) continue;
        float* const state = h + b * H;
        switch (l.kind) {
          case recurrent_layer::cell::rnn:
            rnn(at(s, b), products + b * stride, state);
            break;
          case recurrent_layer::cell::gru:
            if (!l.resets_first())
              update_and_reset(at(s, b), products + b * stride, state, nullptr);
            gru(at(s, b), l.resets_first() ? reset_products + b * H : nullptr,
                products + b * stride, state);
            break;
          case recurrent_layer::cell::lstm:
            lstm(at(s, b), products + b * stride, state, c + b * H);
        }
        std::copy_n(state, H, io.out<float>(0) + l.y_row(time(s, b), d, b) * H);
      }
    }
    for (std::size_t b = 0; b < l.batch; ++b) {
      std::copy_n(h + b * H, H, io.out<float>(1) + l.state_row(d, b) * H);
      if (l.kind == recurrent_layer::cell::lstm)
        std::copy_n(c + b * H, H, io.out<float>(2) + l.state_row(d, b) * H);
    }
  }

 private:
  [[nodiscard]] std::size_t length(std::size_t b) const {
    if (io.in<std::int32_t>(4) == nullptr) return l.steps;
    const std::int32_t n = io.in<std::int32_t>(4)[b];
    QTK_CHECK(n >= 0 && static_cast<std::size_t>(n) <= l.steps, l.label, "a sequence of ", n,
              " in ", l.steps, " steps");
    return static_cast<std::size_t>(n);
  }
  [[nodiscard]] std::size_t time(std::size_t s, std::size_t b) const {
    return l.reverse || d == 1 ? length(b) - 1 - s : s;
  }
  [[nodiscard]] float* at(std::size_t s, std::size_t b) const {
    return gates + l.row(time(s, b), b) * width;
  }
  void start(float* to, std::size_t input, std::size_t b) const {
    if (const float* given = io.in<float>(input))
      std::copy_n(given + l.state_row(d, b) * H, H, to);
    else
      std::fill_n(to, H, 0.0f);
  }
  void apply(std::size_t which, float* x, std::size_t count, bool clipped = true) const {
    if (clipped && l.clip > 0)
      for (std::size_t i = 0; i < count; ++i) x[i] = std::clamp(x[i], -l.clip, l.clip);
    f[which](*l.kernels, count, x);
  }

  /// h = f(x W^T + h R^T)
  void rnn(float* g, const float* product, float* state) const {
    for (std::size_t i = 0; i < H; ++i) state[i] = g[i] + product[i];
    apply(0, state, H);
  }

  /// z and r, the first two gates; the state that r leaves goes to `reset`.
  void update_and_reset(float* g, const float* product, const float* state, float* reset) const {
    for (std::size_t i = 0; i < 2 * H; ++i) g[i] += product[i];
    apply(0, g, 2 * H);
    for (std::size_t i = 0; reset != nullptr && i < H; ++i) reset[i] = g[H + i] * state[i];
  }
  /// h = (1 - z) g(x W^T + (r h) R^T) + z h, or with r (h R^T).
  void gru(float* g, const float* reset_product, const float* product, float* state) const {
    float* const candidate = g + 2 * H;
    for (std::size_t i = 0; i < H; ++i)
      candidate[i] += reset_product != nullptr ? reset_product[i] : g[H + i] * product[2 * H + i];
    apply(1, candidate, H);
    for (std::size_t i = 0; i < H; ++i) state[i] = (1.0f - g[i]) * candidate[i] + g[i] * state[i];
  }

  /// c = f c + i g(..), h = o h(c); gates in the order i, o, f, c, of which the first three see c.
  void lstm(float* g, const float* product, float* state, float* memory) const {
    float *const in = g, *const out = g + H, *const forget = g + 2 * H, *const fresh = g + 3 * H;
    for (std::size_t i = 0; i < 4 * H; ++i) g[i] += product[i];
    for (std::size_t i = 0; peephole != nullptr && i < H; ++i) {
      in[i] += peephole[i] * memory[i];
      forget[i] += peephole[2 * H + i] * memory[i];
    }
    apply(0, in, H);
    if (l.input_forget)
      for (std::size_t i = 0; i < H; ++i) forget[i] = 1.0f - in[i];
    else
      apply(0, forget, H);
    apply(1, fresh, H);
    for (std::size_t i = 0; i < H; ++i) memory[i] = forget[i] * memory[i] + in[i] * fresh[i];
    for (std::size_t i = 0; peephole != nullptr && i < H; ++i)
      out[i] += peephole[H + i] * memory[i];
    apply(0, out, H);
    std::copy_n(memory, H, fresh);
    apply(2, fresh, H, false);  // gates are clipped, the cell is not: as in ONNX Runtime
    for (std::size_t i = 0; i < H; ++i) state[i] = out[i] * fresh[i];
  }

  const recurrent_layer& l;
  const node_buffers& io;
  std::size_t d, H, width;
  const gate_function* f;
  const float *w_bias = nullptr, *r_bias = nullptr, *peephole = nullptr;
  float* gates = nullptr;
};

/// RNN, GRU, LSTM. The weights are packed here: those that are fixed once, others at each binding.
inline bound_node bind_recurrent(const op_context& ctx) {
  const recurrent_layer l(ctx);
  shape y{l.steps, l.directions, l.batch, l.hidden};
  if (l.batch_first) y = {l.batch, l.steps, l.directions, l.hidden};
  const shape state = l.batch_first ? shape{l.batch, l.directions, l.hidden}
                                    : shape{l.directions, l.batch, l.hidden};
  bound_node b{.outputs = {{dtype::fp32, y}, {dtype::fp32, state}}, .run = {}};
  if (l.kind == recurrent_layer::cell::lstm) b.outputs.push_back({dtype::fp32, state});
  count_work(b, ctx, 0);
  b.flops = 2.0 * static_cast<double>(y.elements()) * static_cast<double>(l.gates) *
            static_cast<double>(l.inputs + l.hidden);
  if (ctx.types_only()) return b;
  using directions = std::vector<recurrent_weights>;
  const auto pack = [&] {
    directions all;
    for (std::size_t d = 0; d < l.directions; ++d) {
      const std::size_t rows = d * l.gates * l.hidden;
      all.emplace_back(l, ctx.target(), ctx.value(1).as<fp32>().data() + rows * l.inputs,
                       ctx.value(2).as<fp32>().data() + rows * l.hidden);
    }
    return all;
  };
  const auto packed =
      ctx.fixed(1) && ctx.fixed(2)
          ? ctx.once<directions>(cat(ctx.node().op, "\n", l.resets_first(), "\n",
                                     ctx.node().inputs[1], "\n", ctx.node().inputs[2]),
                                 pack)
          : std::make_shared<const directions>(pack());
  b.packed = packed;
  for (const recurrent_weights& w : *packed) b.packed_bytes += w.bytes();
  b.workspace_bytes = recurrent_buffers::bytes(l);
  b.workspace_bytes =
      checked_add(b.workspace_bytes, packed->front().workspace_bytes(l, ctx.concurrency()));
  b.run = [l, packed](const node_buffers& io) {
    for (std::size_t d = 0; d < l.directions; ++d) recurrence(l, io, d).run((*packed)[d]);
  };
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
