#pragma once

#include "qtk/cpu/target.hpp"
#include "qtk/kernels/neon/gemm_tile.hpp"

#if QTK_AARCH64
QTK_TARGET_BEGIN(QTK_FEATURES_NEON_DOTPROD)
/// What the kernels with dot products share.
namespace qtk::inline QTK_ABI::neon_dotprod {

using neon::gemm_finish_run, neon::load_step, neon::panels_for, neon::simd, neon::whole_steps;

/// sum[j] += a[4 j + q] * b[4 Lane + q] for the four q.
/// By assembly, because clang 14 declares the intrinsic only where the whole unit is compiled for
/// such CPUs. Volatile keeps the order of the source: g++ 12 would load so far ahead, and for
/// -mtune=neoverse-n1 further than for others, that accumulators have to be spilled.
template <std::size_t Lane>
inline int32x4_t dot_lane(int32x4_t sum, int8x16_t a, int8x16_t b) {
  __asm__ volatile("sdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(sum) : "w"(a), "w"(b), "i"(Lane));
  return sum;
}

}  // namespace qtk::inline QTK_ABI::neon_dotprod
QTK_TARGET_END
#endif
