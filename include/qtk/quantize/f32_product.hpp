#pragma once

#include "qtk/core/buffer.hpp"
#include "qtk/kernels/gemm.hpp"

namespace qtk::inline QTK_ABI::detail {

/// C (M, N) = A (M, K) * W (N, K)^T in fp32, W packed once. Each element of C is one chain of fused
/// multiply-adds in ascending k (on CPUs without them, of multiplications and additions): the same
/// for one row or many, alone or beside other threads.
class f32_product {
 public:
  f32_product() = default;
  f32_product(std::size_t N, std::size_t K, const float* w, std::size_t row_stride)
      : N_(N), K_(K), kernel_(&find_gemm(gemm_op::f32_f32, active_isa())) {
    packed_ = buffer(kernel_->packed_bytes(N, K, K));
    kernel_->pack({.N = N, .K = K, .data = w, .row_stride = row_stride, .group_size = K},
                  packed_.data());
  }

  /// The first `n_end` columns of C.
  void operator()(std::size_t M, const float* a, std::size_t lda, float* c, std::size_t ldc,
                  std::size_t n_end) const {
    buffer workspace(kernel_->workspace_bytes(M, N_, K_, K_));
    kernel_->run({.M = M,
                  .N = N_,
                  .K = K_,
                  .m_end = M,
                  .n_end = n_end,
                  .a = a,
                  .lda = lda,
                  .b = packed_.data(),
                  .c = c,
                  .c_row_stride = ldc,
                  .workspace = workspace.data()});
  }

 private:
  std::size_t N_ = 0, K_ = 0;
  const gemm_kernel* kernel_ = nullptr;
  buffer packed_;
};

}  // namespace qtk::inline QTK_ABI::detail
