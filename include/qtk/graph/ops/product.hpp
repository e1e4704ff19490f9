#pragma once

#include <cmath>
#include <map>
#include <utility>

#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/einsum.hpp"
#include "qtk/graph/ops/fused.hpp"
#include "qtk/graph/ops/matmul_shapes.hpp"
#include "qtk/ops/broadcast.hpp"
#include "qtk/ops/product.hpp"

/// The family of products of matrices that no layer took over.
namespace qtk::inline QTK_ABI::graph_ops {

/// C (M, N) = A (M, K) * B (K, N) in T: integers modulo 2^64, double in ascending k. `workspace`
/// holds a row of sums of 8 bytes.
template <class T>
void multiply_plain(std::size_t M, std::size_t N, std::size_t K, const T* a, const T* b, T* c,
                    std::byte* workspace) {
  using S = std::conditional_t<std::is_floating_point_v<T>, T, std::uint64_t>;
  auto* const row = reinterpret_cast<S*>(workspace);
  for (std::size_t m = 0; m < M; ++m) {
    std::fill_n(row, N, S{0});
    for (std::size_t k = 0; k < K; ++k) {
      const S x = static_cast<S>(a[m * K + k]);
      for (std::size_t n = 0; n < N; ++n) row[n] += x * static_cast<S>(b[k * N + n]);
    }
    for (std::size_t n = 0; n < N; ++n) c[m * N + n] = static_cast<T>(row[n]);
  }
}

inline bound_node bind_matmul(const op_context& ctx) {
  QTK_CHECK(ctx.in(0).type == ctx.in(1).type, ctx.node().label(), "operands are ",
            name(ctx.in(0).type), " and ", name(ctx.in(1).type));
  const matmul_shapes s(ctx, ctx.dims(0), ctx.dims(1));
  bound_node b{.outputs = {{ctx.in(0).type, s.y}}, .run = {}};
  const std::size_t tile = s.M * s.N;
  if (ctx.in(0).type == dtype::fp32) {
    const product_f32 product(s.M, s.N, s.K, true, ctx.target());
    b.run = [s, tile, product](const node_buffers& io) {
      product.run(
          s.products(), [&](std::size_t i) { return io.in<float>(0) + s.a_at(i); },
          [&](std::size_t i) { return io.in<float>(1) + s.b_at(i); },
          [&](std::size_t i) { return io.out<float>() + i * tile; }, io.workspace, io.executor);
    };
    b.workspace_bytes = product.workspace_bytes(s.products(), ctx.concurrency());
  } else {
    visit_format(ctx.in(0).type, [&]<class F>(F) {
      using T = typename F::value_type;
      if constexpr (std::is_arithmetic_v<T> && !F::packed && !std::is_same_v<F, fp32>)
        b.run = [s, tile](const node_buffers& io) {
          for (std::size_t i = 0; i < s.products(); ++i)
            multiply_plain(s.M, s.N, s.K, io.in<T>(0) + s.a_at(i), io.in<T>(1) + s.b_at(i),
                           io.out<T>() + i * tile, io.workspace);
        };
      else
        ctx.reject(cat("operands of ", name(F::id), " are not supported"));
    });
    b.workspace_bytes = checked_mul(s.N, 8);
  }
  count_work(b, ctx, 2.0 * static_cast<double>(s.K));
  return b;
}

/// y = alpha * A' * B' + beta * C, A' being A or its transpose.
inline bound_node bind_gemm(const op_context& ctx) {
  const node& n = ctx.node();
  const shape &a = ctx.dims(0), &w = ctx.dims(1);
  QTK_CHECK(a.rank() == 2 && w.rank() == 2 && ctx.in(0).type == ctx.in(1).type, n.label(), a,
            " times ", w);
  const bool turn_a = n.integer("transA", 0) != 0, turn_b = n.integer("transB", 0) != 0;
  const std::size_t M = a[turn_a ? 1 : 0], K = a[turn_a ? 0 : 1], N = w[turn_b ? 0 : 1];
  QTK_CHECK(w[turn_b ? 1 : 0] == K, n.label(), a, " times ", w);
  const float alpha = n.number("alpha", 1.0f), beta = n.number("beta", 1.0f);
  const shape y{M, N};
  strides from_c{};
  if (ctx.has(2)) {
    QTK_CHECK(ctx.in(2).type == ctx.in(0).type, n.label(), "C is ", name(ctx.in(2).type));
    from_c = broadcast_strides(ctx.dims(2), y);
  }
  bound_node b{.outputs = {{ctx.in(0).type, y}}, .run = {}};
  const std::size_t copy = turn_a ? round_up(checked_mul(checked_mul(M, K), 8), 64) : 0;
  const auto turned = [M, K, turn_a](const std::byte* from, std::byte* to, std::size_t size) {
    if (!turn_a || M * K == 0) return from;
    copy_strided({M, K}, size, from, {1, static_cast<std::ptrdiff_t>(M)}, to,
                 {static_cast<std::ptrdiff_t>(K), 1});
    return static_cast<const std::byte*>(to);
  };
  const auto finish = [=]<class T>(T* out, const T* c) {
    if (alpha != 1.0f)
      for (std::size_t i = 0; i < M * N; ++i)
        out[i] = static_cast<T>(static_cast<T>(alpha) * out[i]);
    if (c != nullptr && beta != 0.0f)
      map_broadcast(
          y, out, [beta](T x, T z) { return static_cast<T>(x + static_cast<T>(beta) * z); },
          std::array<strides, 2>{row_major(y), from_c}, static_cast<const T*>(out), c);
  };
  if (ctx.in(0).type == dtype::fp32) {
    const product_f32 product(M, N, K, !turn_b, ctx.target());
    b.run = [=](const node_buffers& io) {
      const auto* left =
          reinterpret_cast<const float*>(turned(io.inputs[0], io.workspace, sizeof(float)));
      product.run(
          1, [&](std::size_t) { return left; }, [&](std::size_t) { return io.in<float>(1); },
          [&](std::size_t) { return io.out<float>(); }, io.workspace + copy, io.executor);
      finish(io.out<float>(), io.in<float>(2));
    };
    b.workspace_bytes = checked_add(copy, product.workspace_bytes(1, ctx.concurrency()));
  } else {
    const std::size_t second = turn_b ? round_up(checked_mul(checked_mul(N, K), 8), 64) : 0;
    visit_format(ctx.in(0).type, [&]<class F>(F) {
      using T = typename F::value_type;
      if constexpr (std::is_arithmetic_v<T> && !F::packed && !std::is_same_v<F, fp32>) {
        b.run = [=](const node_buffers& io) {
          const std::byte* right = io.inputs[1];
          if (turn_b && N * K != 0) {
            copy_strided({K, N}, sizeof(T), right, {1, static_cast<std::ptrdiff_t>(K)},
                         io.workspace + copy, {static_cast<std::ptrdiff_t>(N), 1});
            right = io.workspace + copy;
          }
          multiply_plain(
              M, N, K, reinterpret_cast<const T*>(turned(io.inputs[0], io.workspace, sizeof(T))),
              reinterpret_cast<const T*>(right), io.out<T>(), io.workspace + copy + second);
          finish(io.out<T>(), io.in<T>(2));
        };
      } else {
        ctx.reject(cat("operands of ", name(F::id), " are not supported"));
      }
    });
    b.workspace_bytes = checked_add(checked_add(copy, second), checked_mul(N, 8));
  }
  count_work(b, ctx, 2.0 * static_cast<double>(K));
  return b;
}

/// Determinants of square matrices by elimination with pivots, in double.
inline bound_node bind_det(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const shape& x = ctx.dims(0);
  QTK_CHECK(x.rank() >= 2 && x.back() == x[x.rank() - 2], ctx.node().label(), "input ", x,
            " holds no square matrices");
  shape y;
  for (std::size_t d = 0; d + 2 < x.rank(); ++d) y.push_back(x[d]);
  const std::size_t n = x.back();
  bound_node b{.outputs = {{dtype::fp32, y}},
               .run =
                   [n, count = y.elements()](const node_buffers& io) {
                     auto* const m = reinterpret_cast<double*>(io.workspace);
                     for (std::size_t i = 0; i < count; ++i) {
                       std::copy_n(io.in<float>(0) + i * n * n, n * n, m);
                       double det = 1;
                       for (std::size_t k = 0; k < n && det != 0; ++k) {
                         std::size_t pivot = k;
                         for (std::size_t r = k + 1; r < n; ++r)
                           if (std::abs(m[r * n + k]) > std::abs(m[pivot * n + k])) pivot = r;
                         if (pivot != k) {
                           std::swap_ranges(m + k * n, m + (k + 1) * n, m + pivot * n);
                           det = -det;
                         }
                         det *= m[k * n + k];
                         for (std::size_t r = k + 1; r < n && det != 0; ++r) {
                           const double f = m[r * n + k] / m[k * n + k];
                           for (std::size_t c = k; c < n; ++c) m[r * n + c] -= f * m[k * n + c];
                         }
                       }
                       io.out<float>()[i] = static_cast<float>(det);
                     }
                   },
               .workspace_bytes = checked_mul(checked_mul(n, n), sizeof(double))};
  count_work(b, ctx, 2.0 / 3 * std::pow(static_cast<double>(n), 3));
  return b;
}

#if !defined(QTK_EXTERN_GRAPH) || defined(QTK_GRAPH_IMPLEMENTATION)
QTK_GRAPH_FUNCTION op_table product_ops() {
  static constexpr op_definition table[] = {
      {"Det", "", bind_det, 0, all_inputs},
      {"Einsum", "", bind_einsum, 0, 0, all_inputs},
      {"FusedGemm", microsoft_domain, bind_fused_gemm<bind_gemm>, 0, all_inputs},
      {"FusedMatMul", microsoft_domain, bind_fused_matmul, 0, all_inputs},
      {"Gemm", "", bind_gemm, 0, 0, all_inputs},
      {"MatMul", "", bind_matmul, 0, 0, all_inputs},
  };
  return table;
}
#endif

}  // namespace qtk::inline QTK_ABI::graph_ops
