#pragma once

#include "qtk/kernels/avx2/gemm_tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
namespace qtk::inline QTK_ABI::avx2 {

#  include "../gemm_s8s4_body.inl"

/// s8 times int4 in groups. vpmaddubsw can't saturate here: 2 * 15 * 128 = 3840 a pair, and 8 of
/// them fit int16 (30720). A step of codes is 32 bytes, 4 k of 16 columns: the low nibbles are
/// columns 0..7, the high ones 8..15.
struct gemm_s8s4f32_6x16c4 {
  static constexpr gemm_op op = gemm_op::s8_s4;
  static constexpr isa target = isa::avx2;
  static constexpr const char* name = "gemm_s8s4f32_6x16c4";
  static constexpr std::size_t mr = 6, nr = 16, kr = 4, mc = 144, kc = 512;
  using a_packed = std::int8_t;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t order(std::size_t j, std::size_t k) {
    return (j % 8 * kr + k) * 2 + j / 8;
  }

  template <std::size_t Rows, std::size_t Panels>
  static void multiply(const std::int8_t* a, const std::byte* codes, std::size_t panel_bytes,
                       std::size_t k, std::int32_t* dots) {
    constexpr std::size_t columns = 2 * Panels, step_bytes = nr * kr / 2, steps_in_int16 = 8;
    QTK_UNROLL  // or g++ -O2 makes a call to memset of it
    for (std::size_t j = 0; j < Rows * columns; ++j)
      simd::store(dots + 8 * j, _mm256_setzero_si256());
    for (std::size_t steps = k / kr; steps != 0;) {
      const std::size_t chunk = steps < steps_in_int16 ? steps : steps_in_int16;
      steps -= chunk;
      __m256i acc[Rows][columns];
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        QTK_UNROLL
        for (std::size_t j = 0; j < columns; ++j) acc[i][j] = _mm256_setzero_si256();
      }
      for (std::size_t s = 0; s < chunk; ++s, a += kr * Rows, codes += step_bytes) {
        QTK_UNROLL
        for (std::size_t p = 0; p < Panels; ++p) {
          const __m256i both =
              _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + p * panel_bytes));
          const __m256i mask = _mm256_set1_epi8(15);
          const __m256i lo = _mm256_and_si256(both, mask);
          const __m256i hi = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
          QTK_UNROLL
          for (std::size_t i = 0; i < Rows; ++i) {
            const __m256i x = broadcast4(a + i * kr);
            acc[i][2 * p] = _mm256_add_epi16(acc[i][2 * p], _mm256_maddubs_epi16(lo, x));
            acc[i][2 * p + 1] = _mm256_add_epi16(acc[i][2 * p + 1], _mm256_maddubs_epi16(hi, x));
            // Row after row: g++ 12 would form all products first and spill the sums (86 instead of
            // 160 GOP/s).
            __asm__("" : "+x"(acc[i][2 * p]), "+x"(acc[i][2 * p + 1]));
          }
        }
      }
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        QTK_UNROLL
        for (std::size_t j = 0; j < columns; ++j) {
          std::int32_t* const dot = dots + (i * columns + j) * 8;
          const __m256i pairs = _mm256_madd_epi16(acc[i][j], _mm256_set1_epi16(1));
          simd::store(dot, _mm256_add_epi32(simd::load(dot), pairs));
        }
      }
    }
  }
  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int8_t, float>& t) {
    gemm_s8s4_run<gemm_s8s4f32_6x16c4, Rows, Panels>(t);
  }
  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }
};

}  // namespace qtk::inline QTK_ABI::avx2
QTK_TARGET_END
#endif
