#pragma once

#include <array>
#include <qtk/core/numeric.hpp>
#include <qtk/kernels/gemm.hpp>
#include <qtk/kernels/reference.hpp>
#include <random>

#include "kernels/exact.hpp"

/// One product with all its operands, in buffers of exact size: AddressSanitizer sees any read or
/// write beyond them. Operands start one element off the alignment that `new` gives.
namespace qtk_test {

inline constexpr std::array all_ops{gemm_op::f32_f32,   gemm_op::f32_f16,       gemm_op::f32_bf16,
                                    gemm_op::bf16_bf16, gemm_op::f32_s8,        gemm_op::f32_s4,
                                    gemm_op::u8_s8,     gemm_op::s8_s4_channel, gemm_op::s8_s4};

inline bool is_grouped(gemm_op op) {
  return op == gemm_op::f32_s8 || op == gemm_op::f32_s4 || op == gemm_op::s8_s4;
}

/// Codes with zero points.
inline bool is_affine(gemm_op op) { return is_grouped(op) || op == gemm_op::s8_s4_channel; }

struct problem {
  gemm_op op;
  std::size_t M, N, K, group, lda, row_stride, ldc;
  bool transposed = false;  // C with row stride 1

  exact<float> a_f32, a_scales, scales, bias, residual;
  exact<std::uint8_t> a_codes, weights;
  exact<std::int32_t> a_zero_points, zero_points;
  epilogue out;

  problem(gemm_op operation, std::size_t m, std::size_t n, std::size_t k, std::size_t group_size,
          unsigned seed)
      : op(operation),
        M(m),
        N(n),
        K(k),
        group(is_grouped(operation) ? group_size : k),
        lda(k + seed % 3),
        row_stride(k + k % 2 + seed % 2 * 2),
        ldc(n + seed % 2),
        random_(seed) {
    const std::size_t cells = M == 0 || K == 0 ? 0 : (M - 1) * lda + K;
    if (is_integer(op)) {
      a_codes = exact<std::uint8_t>(cells);
      for (auto& x : a_codes) x = static_cast<std::uint8_t>(random_());
      a_scales = reals(M, 0.001f, 1.0f);
      a_zero_points = exact<std::int32_t>(M);
      for (auto& z : a_zero_points) z = static_cast<std::int32_t>(random_() % 256);
    } else {
      a_f32 = reals(cells, -1.0f, 1.0f);
    }
    fill_weights();
    const std::size_t groups = group == 0 ? 0 : ceil_div(K, group);
    if (op == gemm_op::u8_s8 || is_affine(op)) scales = reals(N * groups, 0.001f, 0.1f);
    if (is_affine(op) && seed % 4 != 3) {  // else symmetric
      zero_points = exact<std::int32_t>(N * groups);
      for (auto& z : zero_points) z = static_cast<std::int32_t>(random_() % 16) - 8;
    }
  }

  void add_bias() { bias = reals(N, -1.0f, 1.0f); }
  void add_residual() { residual = reals(c_size(), -1.0f, 1.0f); }

  std::size_t c_size() const {
    if (M == 0 || N == 0) return 0;
    return transposed ? (N - 1) * (M + 1) + M : (M - 1) * ldc + N;
  }
  std::size_t c_index(std::size_t m, std::size_t n) const {
    return transposed ? m + n * (M + 1) : m * ldc + n;
  }
  std::size_t groups() const { return scales.size() / (N == 0 ? 1 : N); }

  gemm_weights source() const {
    return {.N = N,
            .K = K,
            .data = weights.data(),
            .row_stride = row_stride,
            .group_size = group,
            .scales = scales.size() == 0 ? nullptr : scales.data(),
            .zero_points = zero_points.size() == 0 ? nullptr : zero_points.data()};
  }

  gemm_args args() const {
    gemm_args a{.M = M, .N = N, .K = K, .m_end = M, .n_end = N, .lda = lda, .out = out};
    a.a = is_integer(op) ? static_cast<const void*>(a_codes.data()) : a_f32.data();
    if (is_integer(op)) a.a_scales = a_scales.data();
    if (op == gemm_op::u8_s8) a.a_zero_points = a_zero_points.data();
    a.c_row_stride = transposed ? 1 : ldc;
    a.c_col_stride = transposed ? M + 1 : 1;
    if (bias.size() != 0) a.out.bias = bias.data();
    if (residual.size() != 0) a.out.residual = residual.data();
    return a;
  }

  /// C as kernel `k` computes it, by shares of `m_step` rows and `n_panels` panels.
  exact<float> run(const gemm_kernel& k, std::size_t m_step = 0, std::size_t n_panels = 0) const {
    exact<float> c(c_size());
    gemm_args a = args();
    a.c = c.data();
    run_shares(k, a, m_step, n_panels);
    return c;
  }
  exact<std::int32_t> run_integers(const gemm_kernel& k) const {
    exact<std::int32_t> c(c_size());
    gemm_args a = args();
    a.c_int = c.data();
    run_shares(k, a, 0, 0);
    return c;
  }

  /// u * (terms + 8) * magnitude: every product, sum, scale, bias rounded once in fp32.
  double bound(double magnitude) const {
    const std::size_t sums = op == gemm_op::s8_s4 ? groups() : is_integer(op) ? 0 : K;
    return (static_cast<double>(sums) + 8) * 0x1p-24 * magnitude;
  }
  /// What a kernel that splits A rounds off; `magnitude` is reference::split_magnitude.
  static double split_bound(double magnitude) { return 1.01 * 0x1p-23 * magnitude; }

 private:
  void run_shares(const gemm_kernel& k, gemm_args a, std::size_t m_step,
                  std::size_t n_panels) const {
    if (m_step == 0) m_step = M == 0 ? 1 : M;
    const std::size_t n_step = n_panels == 0 ? (N == 0 ? 1 : N) : n_panels * k.nr;
    guarded packed(k.packed_bytes(N, K, group));
    k.pack(source(), packed.data());
    guarded workspace(k.workspace_bytes(m_step, N, K, group));
    a.b = packed.data();
    a.workspace = workspace.data();
    for (std::size_t m = 0; m < M; m += m_step)
      for (std::size_t n = 0; n < N; n += n_step) {
        a.m_begin = m;
        a.m_end = std::min(M, m + m_step);
        a.n_begin = n;
        a.n_end = std::min(N, n + n_step);
        k.run(a);
      }
    QTK_CHECK(packed.intact() && workspace.intact(), k.name, "wrote beyond its buffers");
  }

  exact<float> reals(std::size_t count, float lo, float hi) {
    exact<float> x(count);
    std::uniform_real_distribution<float> pick(lo, hi);
    for (float& v : x) v = pick(random_);
    return x;
  }

  void fill_weights() {
    const std::size_t elements = N == 0 || K == 0 ? 0 : (N - 1) * row_stride + K;
    switch (op) {
      case gemm_op::f32_f32:
        fill_reals<float>(elements, [](float x) { return x; });
        break;
      case gemm_op::f32_f16:
        fill_reals<half>(elements, [](float x) { return to_half(x); });
        break;
      case gemm_op::f32_bf16:
      case gemm_op::bf16_bf16:
        fill_reals<bfloat16>(elements, [](float x) { return to_bfloat16(x); });
        break;
      default:
        weights = exact<std::uint8_t>(
            op == gemm_op::f32_s8 || op == gemm_op::u8_s8 ? elements : nibble::bytes_for(elements));
        for (auto& x : weights) x = static_cast<std::uint8_t>(random_());
    }
  }
  template <class T, class Convert>
  void fill_reals(std::size_t elements, const Convert& convert) {
    const exact<float> values = reals(elements, -1.0f, 1.0f);
    weights = exact<std::uint8_t>(elements * sizeof(T), sizeof(T));
    for (std::size_t i = 0; i < elements; ++i) {
      const T x = convert(values[i]);
      std::memcpy(weights.data() + i * sizeof(T), &x, sizeof(T));
    }
  }

  std::mt19937 random_;
};

}  // namespace qtk_test
