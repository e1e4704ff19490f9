#pragma once

#include <cstring>

#include "qtk/kernels/avx2/gemm_tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
namespace qtk::inline QTK_ABI::avx2 {

/// Per group: int32 sum of s8 * (u4 - zero point), times the group's scale, added up in fp32.
/// vpmaddubsw can't saturate here: 2 * 15 * 128 = 3840 a pair, and 8 of them fit int16 (30720).
/// A step of codes is 32 bytes, 4 k of 16 columns: the low nibbles are columns 0..7, the high ones
/// 8..15.
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
  static void run(const gemm_tile<std::int8_t, float>& t) {
    constexpr std::size_t columns = 2 * Panels, header_bytes = nr * 5, step_bytes = nr * kr / 2;
    constexpr std::size_t steps_in_int16 = 8;
    const std::int8_t* a = t.a;
    const std::int32_t* a_sums = t.a_sums;
    const std::byte* group = t.b;
    bool first = !t.accumulate;
    if (t.k == 0 && first) std::fill_n(t.c, Rows * nr * Panels, 0.0f);
    for (std::size_t left = t.k; left != 0; group += t.group_bytes, a_sums += Rows) {
      const std::size_t length = left < t.group_k ? left : t.group_k;
      left -= length;
      __m256i sums[Rows][columns];
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        QTK_UNROLL
        for (std::size_t j = 0; j < columns; ++j) sums[i][j] = _mm256_setzero_si256();
      }
      const std::byte* codes = group + header_bytes;
      for (std::size_t steps = length / kr; steps != 0;) {
        const std::size_t run = steps < steps_in_int16 ? steps : steps_in_int16;
        steps -= run;
        __m256i acc[Rows][columns];
        QTK_UNROLL
        for (std::size_t i = 0; i < Rows; ++i) {
          QTK_UNROLL
          for (std::size_t j = 0; j < columns; ++j) acc[i][j] = _mm256_setzero_si256();
        }
        for (std::size_t s = 0; s < run; ++s, a += kr * Rows, codes += step_bytes) {
          __m256i w[columns];
          QTK_UNROLL
          for (std::size_t p = 0; p < Panels; ++p) {
            const __m256i both =
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + p * t.panel_bytes));
            w[2 * p] = _mm256_and_si256(both, _mm256_set1_epi8(15));
            w[2 * p + 1] = _mm256_and_si256(_mm256_srli_epi16(both, 4), _mm256_set1_epi8(15));
          }
          QTK_UNROLL
          for (std::size_t i = 0; i < Rows; ++i) {
            std::int32_t four;
            std::memcpy(&four, a + i * kr, sizeof four);
            const __m256i x = _mm256_set1_epi32(four);
            QTK_UNROLL
            for (std::size_t j = 0; j < columns; ++j)
              acc[i][j] = _mm256_add_epi16(acc[i][j], _mm256_maddubs_epi16(w[j], x));
          }
        }
        QTK_UNROLL
        for (std::size_t i = 0; i < Rows; ++i) {
          QTK_UNROLL
          for (std::size_t j = 0; j < columns; ++j)
            sums[i][j] =
                _mm256_add_epi32(sums[i][j], _mm256_madd_epi16(acc[i][j], _mm256_set1_epi16(1)));
        }
      }
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j) {
        const std::byte* const header = group + j / 2 * t.panel_bytes;
        const __m256 scale = _mm256_loadu_ps(reinterpret_cast<const float*>(header) + j % 2 * 8);
        const __m256i zero_point = _mm256_cvtepi8_epi32(_mm_loadl_epi64(
            reinterpret_cast<const __m128i*>(header + nr * sizeof(float) + j % 2 * 8)));
        QTK_UNROLL
        for (std::size_t i = 0; i < Rows; ++i) {
          float* const c = t.c + (i * columns + j) * 8;
          const __m256i sum = simd::sub(sums[i][j], simd::mul(simd::set1(a_sums[i]), zero_point));
          const __m256 scaled = simd::rounded(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale));
          _mm256_storeu_ps(c,
                           _mm256_add_ps(first ? _mm256_setzero_ps() : _mm256_loadu_ps(c), scaled));
        }
      }
      first = false;
    }
  }

  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }
};

}  // namespace qtk::inline QTK_ABI::avx2
QTK_TARGET_END
#endif
