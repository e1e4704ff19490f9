#pragma once

#include <algorithm>
#include <cstddef>

#include "qtk/core/executor.hpp"
#include "qtk/kernels/gemm.hpp"
#include "qtk/ops/batch.hpp"
#include "qtk/ops/strided.hpp"

namespace qtk::inline QTK_ABI {

/// Products of fp32 matrices that are both known at run time only, by the kernel of fp32 layers: W
/// is packed on the way. `batch` of them at a time:
///   C[i] (M, N) = A[i] (M, K) * W[i] (N, K)^T, or * B[i] (K, N) where the second matrix is
///   `turned`
class product_f32 {
 public:
  product_f32(std::size_t M, std::size_t N, std::size_t K, bool turned, isa target)
      : M_(M),
        N_(N),
        K_(K),
        c_row_stride_(N),
        turned_(turned),
        kernel_(&find_gemm(gemm_op::f32_f32, target)) {}

  /// C leaves as (N, M).
  [[nodiscard]] product_f32 transposed() const {
    product_f32 other = *this;
    other.c_row_stride_ = 1;
    other.c_col_stride_ = M_;
    return other;
  }

  /// Scratch for `batch` products on an executor of that concurrency.
  [[nodiscard]] std::size_t workspace_bytes(std::size_t batch, std::size_t concurrency) const {
    const std::size_t tasks = std::min(std::max<std::size_t>(batch, 1), concurrency);
    return checked_add(checked_mul(tasks, packing_bytes()),
                       checked_mul(std::max<std::size_t>(concurrency, 1), kernel_bytes()));
  }

  /// a(i), b(i), c(i) are the matrices of product i, row-major, rows next to each other.
  template <class A, class B, class C>
  void run(std::size_t batch, A&& a, B&& b, C&& c, std::byte* workspace,
           executor_ref executor) const {
    const std::size_t concurrency =
        threads_for(executor, static_cast<double>(batch * M_) * static_cast<double>(N_ * K_), 0);
    const std::size_t tasks = std::min(batch, concurrency);
    if (tasks == 0 || M_ == 0 || N_ == 0) return;
    std::byte* const scratch = workspace + tasks * packing_bytes();
    if (batch == 1) {  // rows are shared out
      const float* const packed = pack(b(0), workspace);
      const std::size_t step = round_up(ceil_div(M_, concurrency), kernel_->mr);
      executor(ceil_div(M_, step), [&](std::size_t task) {
        rows(task * step, std::min(M_, (task + 1) * step), a(0), packed, c(0),
             scratch + task * kernel_bytes());
      });
      return;
    }
    executor(tasks, [&](std::size_t task) {
      for (std::size_t i = batch * task / tasks; i < batch * (task + 1) / tasks; ++i)
        rows(0, M_, a(i), pack(b(i), workspace + task * packing_bytes()), c(i),
             scratch + task * kernel_bytes());
    });
  }

  /// The parts of run(), for a second matrix that serves several first ones.
  [[nodiscard]] std::size_t packing_bytes() const {
    const std::size_t turned =
        turned_ ? round_up(checked_mul(checked_mul(N_, K_), sizeof(float)), 64) : 0;
    return checked_add(packed_bytes(), turned);
  }
  [[nodiscard]] std::size_t kernel_bytes() const {
    return round_up(kernel_->workspace_bytes(M_, N_, K_, K_), 64);
  }
  /// The second matrix as the kernel reads it, in packing_bytes() at `to`.
  [[nodiscard]] const float* pack(const float* b, std::byte* to) const {
    if (N_ == 0) return reinterpret_cast<const float*>(to);
    if (turned_ && K_ != 0) {
      std::byte* const rows = to + packed_bytes();
      copy_strided({N_, K_}, sizeof(float), reinterpret_cast<const std::byte*>(b),
                   {1, static_cast<std::ptrdiff_t>(N_)}, rows,
                   {static_cast<std::ptrdiff_t>(K_), 1});
      b = reinterpret_cast<const float*>(rows);
    }
    kernel_->pack({.N = N_, .K = K_, .data = b, .row_stride = K_, .group_size = K_}, to);
    return reinterpret_cast<const float*>(to);
  }
  /// Rows [begin, end) of C, in kernel_bytes() of scratch.
  void rows(std::size_t begin, std::size_t end, const float* a, const float* packed, float* c,
            std::byte* scratch) const {
    if (begin == end || N_ == 0) return;
    kernel_->run({.M = M_,
                  .N = N_,
                  .K = K_,
                  .m_begin = begin,
                  .m_end = end,
                  .n_end = N_,
                  .a = a,
                  .lda = K_,
                  .b = packed,
                  .c = c,
                  .c_row_stride = c_row_stride_,
                  .c_col_stride = c_col_stride_,
                  .workspace = scratch});
  }

 private:
  [[nodiscard]] std::size_t packed_bytes() const {
    return round_up(kernel_->packed_bytes(N_, K_, K_), 64);
  }

  std::size_t M_, N_, K_, c_row_stride_, c_col_stride_ = 1;
  bool turned_;
  const gemm_kernel* kernel_;
};

}  // namespace qtk::inline QTK_ABI
