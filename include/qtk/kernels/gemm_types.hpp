#pragma once

#include <cstddef>
#include <cstdint>

#include "qtk/cpu/isa.hpp"
#include "qtk/kernels/epilogue.hpp"

/// The table of GEMM kernels: what a kernel is, what it is given, and how one is found. Declares
/// only. The kernels themselves include this; everyone else "qtk/kernels/gemm.hpp", which also
/// brings the definitions.
///
///   C (M, N) = f(A (M, K) * W (N, K)^T + bias + residual)
///
/// W is packed once for one kernel; A is packed block by block inside the call.

#if defined(QTK_EXTERN_KERNELS) && !defined(QTK_KERNELS_IMPLEMENTATION)
#  define QTK_KERNEL_FUNCTION  // declared here, defined in the one unit that implements the kernels
#elif defined(QTK_KERNELS_IMPLEMENTATION)
#  define QTK_KERNEL_FUNCTION
#else
#  define QTK_KERNEL_FUNCTION inline
#endif

namespace qtk::inline QTK_ABI {

/// Format of A, of W, and how they meet.
///   f32_*    A is fp32 and W is widened to fp32 in registers: fp32, fp16, bf16 weights, and
///            "weight-only" int8 / int4 (w = scale * (code - zero_point)). A kernel that `splits`
///            takes A as integers instead, rounded where the largest of a block of a row has its
///            24th bit (max_split_k)
///   bf16_bf16  A is fp32, rounded to bf16 (to nearest even) on the way in; W bf16; fp32 sums
///   u8_s8    A is uint8 with a zero point per row, W int8; int32 accumulators, exact
///   s8_s4_channel  A is int8, symmetric, one scale per row; W 4 bits, one scale and zero point per
///            column of C; int32 accumulators, exact
///   s8_s4    A likewise; W 4 bits in groups along K, one scale and zero point per group; int32
///            within a group, fp32 across groups in ascending order
enum class gemm_op : std::uint8_t {
  f32_f32,
  f32_f16,
  f32_bf16,
  f32_s8,
  f32_s4,
  bf16_bf16,
  u8_s8,
  s8_s4_channel,
  s8_s4,
};

inline constexpr std::size_t gemm_op_count = 9;

/// Kernels that split A take blocks of so many k of a row at most, whole groups or parts of one,
/// and round to a power of two `unit` of each: |error| <= 1.01 * 2^-23 * sum over blocks of
/// (largest |a|
/// * sum |w|), and what fp32 sums of the blocks add. Largest |a| below 2^-100 have the unit of
/// 2^-100. An infinity or NaN in a row of A makes that row of C NaN.
inline constexpr std::size_t max_split_k = 128;

/// Whether A holds codes and products are formed as integers.
[[nodiscard]] constexpr bool is_integer(gemm_op op) noexcept { return op >= gemm_op::u8_s8; }

[[nodiscard]] constexpr const char* name(gemm_op op) noexcept {
  constexpr const char* names[] = {"f32_f32",   "f32_f16", "f32_bf16",      "f32_s8", "f32_s4",
                                   "bf16_bf16", "u8_s8",   "s8_s4_channel", "s8_s4"};
  return names[static_cast<std::size_t>(op)];
}

/// Weights as the packer reads them: (N, K), row-major.
struct gemm_weights {
  std::size_t N = 0, K = 0;
  const void* data = nullptr;  // float, half, bfloat16, int8, or nibbles (s4 rows start on a byte)
  std::size_t row_stride = 0;  // elements
  std::size_t group_size = 0;  // K elements that share a scale; K for per channel
  const float* scales = nullptr;              // (N, ceil(K / group_size)); null: 1 (f32, f16, bf16)
  const std::int32_t* zero_points = nullptr;  // like scales, or null: 0
  bool unsigned_codes = false;                // s4: codes are 0..15 (uint4) instead of -8..7
};

/// One product. Nothing is allocated: the caller brings `workspace`.
struct gemm_args {
  std::size_t M = 0, N = 0, K = 0;
  std::size_t m_begin = 0, m_end = 0;  // rows to compute: a caller's share of the work
  std::size_t n_begin = 0, n_end = 0;  // columns; n_begin is a multiple of nr

  const void* a = nullptr;                      // float, uint8 or int8
  std::size_t lda = 0;                          // elements between rows of A
  const float* a_scales = nullptr;              // integer A: one per row, or one for all (stride 0)
  const std::int32_t* a_zero_points = nullptr;  // u8_s8: likewise
  std::size_t a_scale_stride = 1;

  const void* b = nullptr;  // packed by the same kernel

  float* c = nullptr;  // element (m, n) is c[m * c_row_stride + n * c_col_stride]
  std::size_t c_row_stride = 0;
  std::size_t c_col_stride = 1;
  /// u8_s8 and s8_s4_channel: sums of (a - a_zero_point) * (w - w_zero_point) instead of c.
  std::int32_t* c_int = nullptr;
  epilogue out{};

  void* workspace = nullptr;  // gemm_kernel::workspace_bytes, 64-byte aligned, one for each thread
};

/// One kernel: a register tile mr x nr with k taken in steps of kr, its packed layout and driver.
struct gemm_kernel {
  gemm_op op;
  isa target;
  const char* name;  // "gemm_u8s8s32_6x16c4"
  std::size_t mr, nr, kr;
  bool splits;  // A, on f32_s8 and f32_s4
  /// Bytes of W packed, 64-byte aligned storage expected. No overflow for sizes whose tensor
  /// exists.
  std::size_t (*packed_bytes)(std::size_t N, std::size_t K, std::size_t group_size);
  void (*pack)(const gemm_weights& w, void* packed);
  /// Bytes of scratch for a share of `rows` rows of A.
  std::size_t (*workspace_bytes)(std::size_t rows, std::size_t N, std::size_t K,
                                 std::size_t group_size);
  void (*run)(const gemm_args& args);
};

/// The kernel of `op` for `i`, or the best one below where that ISA has none of its own.
[[nodiscard]] QTK_KERNEL_FUNCTION const gemm_kernel& find_gemm(gemm_op op, isa i);

}  // namespace qtk::inline QTK_ABI
