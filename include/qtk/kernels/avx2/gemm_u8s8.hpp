#pragma once

#include "qtk/kernels/avx2/gemm_tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
namespace qtk::inline QTK_ABI::avx2 {

/// sum += pairs of a * w, int16. In assembly: of intrinsics g++ 12 forms all products of a step
/// first, spills sums, and copies those that a fence holds in place (100 to 140 GOP/s, by chance).
QTK_ALWAYS_INLINE void add_products(__m256i& sum, __m256i a, __m256i w) {
  __m256i pairs;
  __asm__("vpmaddwd %[w], %[a], %[pairs]\n\tvpaddd %[pairs], %[sum], %[sum]"
          : [sum] "+x"(sum), [pairs] "=&x"(pairs)
          : [a] "x"(a), [w] "x"(w));
}

/// int32 sums of (u8 - zero point) * s8, exact at full range: both sides are int16 when they meet
/// (vpmaddwd), because vpmaddubsw saturates (255 * 128 * 2 > 32767). A is widened and freed of its
/// zero point by the packer, W in registers.
/// 6 x 16: 12 accumulators, 2 vectors of weights, a broadcast and a product fill the registers.
/// Kr: k that a row of packed A, and a step of W, has side by side: pairs all the same.
template <std::size_t Kr>
struct gemm_u8s8s32_6x16 {
  static constexpr gemm_op op = gemm_op::u8_s8;
  static constexpr isa target = isa::avx2;
  static constexpr const char* name = "gemm_u8s8s32_6x16c2";
  static constexpr std::size_t mr = 6, nr = 16, kr = Kr, mc = 144, kc = 512;
  using a_packed = std::int16_t;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t order(std::size_t j, std::size_t k) {
    return k / 2 * (2 * nr) + j * 2 + k % 2;
  }

  /// Two k: acc (Rows, 2 * Panels) += a * codes.
  template <std::size_t Rows, std::size_t Panels, class Acc>
  QTK_ALWAYS_INLINE static void add_pair(const std::int16_t* a, const std::byte* b,
                                         std::size_t panel_bytes, Acc& acc) {
    QTK_UNROLL
    for (std::size_t p = 0; p < Panels; ++p) {
      const auto* codes = reinterpret_cast<const __m128i*>(b + p * panel_bytes);
      const __m256i lo = _mm256_cvtepi8_epi16(_mm_loadu_si128(codes));
      const __m256i hi = _mm256_cvtepi8_epi16(_mm_loadu_si128(codes + 1));
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        const __m256i x = broadcast4(a + i * kr);
        add_products(acc[i][2 * p], x, lo);
        add_products(acc[i][2 * p + 1], x, hi);
      }
    }
  }

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int16_t, std::int32_t>& t) {
    constexpr std::size_t columns = 2 * Panels, unroll = 4;
    __m256i acc[Rows][columns];
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j)
        acc[i][j] = t.accumulate ? simd::load(t.c + (i * columns + j) * 8) : _mm256_setzero_si256();
    }
    const std::int16_t* a = t.a;
    const std::byte* b = t.b;
    fetch_stream fetch = t.fetch;
    std::size_t k = t.k;
    for (; k >= unroll; k -= unroll) {
      fetch.template advance<Panels, unroll * nr>();
      QTK_UNROLL
      for (std::size_t u = 0; u < unroll; u += 2)
        add_pair<Rows, Panels>(a + u / kr * kr * Rows + u % kr, b + u * nr, t.panel_bytes, acc);
      a += unroll * Rows;
      b += unroll * nr;
    }
    if constexpr (kr < unroll)
      if (k != 0) add_pair<Rows, Panels>(a, b, t.panel_bytes, acc);
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(t.c + (i * columns + j) * 8), acc[i][j]);
    }
  }

  template <class Sum>
  static void finish(const gemm_finish<Sum>& f) {
    gemm_finish_run<simd, nr>(f);
  }
};
using gemm_u8s8s32_6x16c2 = gemm_u8s8s32_6x16<2>;

}  // namespace qtk::inline QTK_ABI::avx2
QTK_TARGET_END
#endif
