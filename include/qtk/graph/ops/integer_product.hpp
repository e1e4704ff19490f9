#pragma once

#include <cmath>

#include "qtk/graph/ops/codes.hpp"
#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/matmul_shapes.hpp"
#include "qtk/graph/ops/window_nd.hpp"

/// Binders of products and convolutions of 8-bit codes, exact in int32.
namespace qtk::inline QTK_ABI::graph_ops {

/// Codes of 8 bits as int32, less their zero points.
class code_input {
 public:
  /// Input i with the zero points of input z: one, or `count` of them, one for each index around
  /// `inner` elements.
  code_input(const op_context& ctx, std::size_t i, std::size_t z, std::size_t count,
             std::size_t inner)
      : input_(i),
        zero_(z),
        elements_(ctx.dims(i).elements()),
        zeros_(ctx.has(z) ? ctx.dims(z).elements() : 0),
        inner_(inner),
        signed_(ctx.in(i).type == dtype::int8) {
    QTK_CHECK(signed_ || ctx.in(i).type == dtype::uint8, ctx.node().label(), "input ", i, " of ",
              name(ctx.in(i).type), " is not supported");
    QTK_CHECK(zeros_ <= 1 || zeros_ == count, ctx.node().label(), zeros_, " zero points for ",
              count);
    QTK_CHECK(zeros_ == 0 || ctx.in(z).type == ctx.in(i).type, ctx.node().label(),
              "zero points of ", name(ctx.has(z) ? ctx.in(z).type : dtype::int8));
  }
  [[nodiscard]] std::size_t bytes() const { return round_up(checked_mul(elements_, 4), 64); }
  void widen(const node_buffers& io, std::int32_t* out) const {
    for (std::size_t i = 0; i < elements_; ++i) {
      const std::size_t z = zeros_ <= 1 ? 0 : i / inner_ % zeros_;
      out[i] = at(io, input_, i) - (zeros_ == 0 ? 0 : at(io, zero_, z));
    }
  }

 private:
  [[nodiscard]] std::int32_t at(const node_buffers& io, std::size_t input, std::size_t i) const {
    return signed_ ? io.in<std::int8_t>(input)[i] : io.in<std::uint8_t>(input)[i];
  }
  std::size_t input_, zero_, elements_, zeros_, inner_;
  bool signed_;
};

/// How int32 sums become codes: y = saturate(round_half_even(sum * a_scale * w_scale / y_scale) +
/// y_zero_point), as QLinearMatMul and QLinearConv say it, in fp32.
struct requantization {
  std::size_t a_scale, w_scale, y_scale, y_zero;  // inputs
  std::size_t a_scales, w_scales;                 // one, or one for each row or column
  bool is_signed;

  requantization(const op_context& ctx, std::size_t a, std::size_t w, std::size_t y,
                 std::size_t rows, std::size_t columns)
      : a_scale(a),
        w_scale(w),
        y_scale(y),
        y_zero(y + 1),
        is_signed(ctx.in(y + 1).type == dtype::int8) {
    for (const std::size_t i : {a, w, y}) ctx.expect(i, dtype::fp32);
    a_scales = ctx.dims(a).elements();
    w_scales = ctx.dims(w).elements();
    QTK_CHECK((a_scales == 1 || a_scales == rows) && (w_scales == 1 || w_scales == columns) &&
                  ctx.dims(y).elements() == 1 && ctx.dims(y + 1).elements() == 1 &&
                  (is_signed || ctx.in(y + 1).type == dtype::uint8),
              ctx.node().label(), "scales ", ctx.dims(a), ", ", ctx.dims(w), ", ", ctx.dims(y));
  }
  [[nodiscard]] dtype type() const { return is_signed ? dtype::int8 : dtype::uint8; }
  void store(const node_buffers& io, std::size_t row, std::size_t column, std::int32_t sum,
             std::size_t to) const {
    const float factor = io.in<float>(a_scale)[a_scales == 1 ? 0 : row] *
                         io.in<float>(w_scale)[w_scales == 1 ? 0 : column] /
                         io.in<float>(y_scale)[0];
    const float real = std::nearbyint(static_cast<float>(sum) * factor);
    const float q = real != real ? 0.0f : real;  // 0 by a scale of 0
    const auto put = [&]<class T>(T) {
      const auto zero = static_cast<float>(io.in<T>(y_zero)[0]);
      io.out<T>()[to] =
          static_cast<T>(std::clamp(q + zero, static_cast<float>(std::numeric_limits<T>::min()),
                                    static_cast<float>(std::numeric_limits<T>::max())));
    };
    is_signed ? put(std::int8_t{}) : put(std::uint8_t{});
  }
};

/// Sums of products of codes for each pair of matrices: store(product, row, column, sum).
template <class Store>
[[nodiscard]] bound_node integer_matmul(const op_context& ctx, std::size_t a_input,
                                        std::size_t a_zero, std::size_t b_input, std::size_t b_zero,
                                        dtype type, const matmul_shapes& s, Store store) {
  const code_input a(ctx, a_input, a_zero, s.M, s.K), w(ctx, b_input, b_zero, s.N, 1);
  const std::size_t row_bytes = round_up(checked_mul(s.N, 4), 64);
  bound_node b{.outputs = {{type, s.y}},
               .run =
                   [=, M = s.M, N = s.N, K = s.K](const node_buffers& io) {
                     auto* const left = reinterpret_cast<std::int32_t*>(io.workspace);
                     auto* const right = reinterpret_cast<std::int32_t*>(io.workspace + a.bytes());
                     auto* const sums =
                         reinterpret_cast<std::uint32_t*>(io.workspace + a.bytes() + w.bytes());
                     a.widen(io, left);
                     w.widen(io, right);
                     for (std::size_t i = 0; i < s.products(); ++i)
                       for (std::size_t m = 0; m < M; ++m) {
                         const std::int32_t* const row_a =
                             left + s.a_at(i) + static_cast<std::ptrdiff_t>(m * K);
                         const std::int32_t* const matrix_b = right + s.b_at(i);
                         std::fill_n(sums, N, 0u);
                         for (std::size_t k = 0; k < K; ++k) {
                           const auto x = static_cast<std::uint32_t>(row_a[k]);
                           const std::int32_t* row = matrix_b + k * N;
                           for (std::size_t n = 0; n < N; ++n)
                             sums[n] += x * static_cast<std::uint32_t>(row[n]);
                         }
                         for (std::size_t n = 0; n < N; ++n)
                           store(io, (i * M + m) * N + n, m, n, static_cast<std::int32_t>(sums[n]));
                       }
                   },
               .workspace_bytes = checked_add(checked_add(a.bytes(), w.bytes()), row_bytes),
               .integer = true};
  count_work(b, ctx, 2.0 * static_cast<double>(s.K));
  return b;
}

/// The sums themselves, in int32, exact.
inline bound_node bind_matmul_integer(const op_context& ctx) {
  const matmul_shapes s(ctx, ctx.dims(0), ctx.dims(1));
  return integer_matmul(ctx, 0, 2, 1, 3, dtype::int32, s,
                        [](const node_buffers& io, std::size_t to, std::size_t, std::size_t,
                           std::int32_t sum) { io.out<std::int32_t>()[to] = sum; });
}

inline bound_node bind_qlinear_matmul(const op_context& ctx) {
  const matmul_shapes s(ctx, ctx.dims(0), ctx.dims(3));
  const requantization q(ctx, 1, 4, 6, s.M, s.N);
  return integer_matmul(ctx, 0, 2, 3, 5, q.type(), s,
                        [q](const node_buffers& io, std::size_t to, std::size_t m, std::size_t n,
                            std::int32_t sum) { q.store(io, m, n, sum, to); });
}

/// Convolutions of codes: store(image, channel, position, sum).
template <class Store>
[[nodiscard]] bound_node integer_conv(const op_context& ctx, std::size_t x_input,
                                      std::size_t x_zero, std::size_t w_input, std::size_t w_zero,
                                      dtype type, Store store) {
  const node& n = ctx.node();
  const shape x = ctx.dims(x_input), w = ctx.dims(w_input);
  const std::int64_t group = n.integer("group", 1);
  QTK_CHECK(x.rank() >= 3 && w.rank() == x.rank() && group > 0 &&
                w[0] % static_cast<std::size_t>(group) == 0 &&
                x[1] == checked_mul(w[1], static_cast<std::size_t>(group)),
            n.label(), "input ", x, ", weights ", w, " in ", group, " groups");
  const auto groups = static_cast<std::size_t>(group);
  std::vector<std::int64_t> kernel;
  for (std::size_t d = 2; d < w.rank(); ++d) kernel.push_back(static_cast<std::int64_t>(w[d]));
  window_nd window(ctx, x, kernel);
  window.pad_automatically(ctx, x);
  const auto positions = window.positions(ctx, x);
  shape y{x[0], w[0]};
  for (const std::size_t p : positions) y.push_back(p);
  const code_input codes(ctx, x_input, x_zero, 1, 1),
      weights(ctx, w_input, w_zero, w[0], w.product(1, w.rank()));
  bound_node b{
      .outputs = {{type, y}},
      .run =
          [=, walk = window_walk(window, x, positions),
           plane = x.product(2, x.rank())](const node_buffers& io) {
            auto* const in = reinterpret_cast<std::int32_t*>(io.workspace);
            auto* const taps = reinterpret_cast<std::int32_t*>(io.workspace + codes.bytes());
            codes.widen(io, in);
            weights.widen(io, taps);
            const std::size_t channels = w[1], out = w[0] / groups;
            for (std::size_t i = 0; i < x[0]; ++i)
              for (std::size_t o = 0; o < w[0]; ++o)
                for (std::size_t p = 0; p < walk.positions(); ++p) {
                  std::uint32_t sum = 0;
                  for (std::size_t t = 0; t < walk.taps(); ++t) {
                    const std::ptrdiff_t at = walk.at(p, t);
                    if (at < 0) continue;
                    const std::int32_t* pixel =
                        in + (i * x[1] + o / out * channels) * plane + static_cast<std::size_t>(at);
                    const std::int32_t* tap = taps + o * channels * walk.taps() + t;
                    for (std::size_t c = 0; c < channels; ++c)
                      sum += static_cast<std::uint32_t>(pixel[c * plane]) *
                             static_cast<std::uint32_t>(tap[c * walk.taps()]);
                  }
                  store(io, (i * w[0] + o) * walk.positions() + p, o,
                        static_cast<std::int32_t>(sum));
                }
          },
      .workspace_bytes = checked_add(codes.bytes(), weights.bytes()),
      .integer = true};
  count_work(b, ctx, 2.0 * static_cast<double>(w.product(1, w.rank())));
  return b;
}

inline bound_node bind_conv_integer(const op_context& ctx) {
  return integer_conv(ctx, 0, 2, 1, 3, dtype::int32,
                      [](const node_buffers& io, std::size_t to, std::size_t, std::int32_t sum) {
                        io.out<std::int32_t>()[to] = sum;
                      });
}

inline bound_node bind_qlinear_conv(const op_context& ctx) {
  const requantization q(ctx, 1, 4, 6, 1, ctx.dims(3)[0]);
  if (ctx.has(8)) {
    ctx.expect(8, dtype::int32);
    QTK_CHECK(ctx.dims(8).elements() == ctx.dims(3)[0], ctx.node().label(), "bias ", ctx.dims(8));
  }
  return integer_conv(ctx, 0, 2, 3, 5, q.type(),
                      [q](const node_buffers& io, std::size_t to, std::size_t o, std::int32_t sum) {
                        if (const auto* bias = io.in<std::int32_t>(8)) sum += bias[o];
                        q.store(io, 0, o, sum, to);
                      });
}

}  // namespace qtk::inline QTK_ABI::graph_ops
