#pragma once

#include <cstring>

#include "qtk/kernels/avx512/simd.hpp"
#include "qtk/kernels/tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512)
QTK_IGNORE_UNINITIALIZED_BEGIN
/// What the GEMM kernels of this ISA share: the epilogue and the shape of the register tile.
namespace qtk::inline QTK_ABI::avx512 {

/// Panels of 16 columns, one register wide, that `rows` rows take at once: 24 accumulators at most
/// leave 8 of the 32 registers for weights and broadcasts, and 8 at least hide the latency of the
/// FMA (4 cycles, two a cycle). Few rows wait for memory, and more panels have more of it under way
/// (int8, 2 x 4096 x 4096: 24 GB/s by four panels, 28 by eight).
constexpr std::size_t panels_for(std::size_t rows) { return rows <= 3 ? 8 : rows <= 6 ? 4 : 2; }

/// Four bytes of A, everywhere.
inline __m512i broadcast4(const void* p) noexcept {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}

#  include "../gemm_finish_body.inl"

}  // namespace qtk::inline QTK_ABI::avx512
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
