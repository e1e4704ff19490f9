#pragma once

#include <cstring>

#include "qtk/kernels/avx2/simd.hpp"
#include "qtk/kernels/tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
/// What the GEMM kernels of this ISA share: the epilogue and the shape of the register tile.
namespace qtk::inline QTK_ABI::avx2 {

/// Panels of 16 columns, two registers wide, that `rows` rows take at once: 12 accumulators leave
/// 4 of the 16 registers for weights and broadcast, and 8 at least hide the latency of the FMA (4
/// cycles, two a cycle).
constexpr std::size_t panels_for(std::size_t rows) {
  return rows == 1 ? 4 : rows == 2 ? 3 : rows == 3 ? 2 : 1;
}

/// Four bytes of A, everywhere.
inline __m256i broadcast4(const void* p) noexcept {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm256_set1_epi32(four);
}

#  include "../gemm_finish_body.inl"

}  // namespace qtk::inline QTK_ABI::avx2
QTK_TARGET_END
#endif
