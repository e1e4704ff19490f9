#pragma once

#include <cstring>

#include "qtk/kernels/avx512_vnni/gemm_tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512_VNNI)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512_vnni {

/// Per group: int32 sum of s8 * (u4 - zero point), times the group's scale, added up in fp32. The
/// codes are vpdpbusd's unsigned operand, A its signed one.
/// A step of codes is 64 bytes, 8 k of 16 columns: the low nibbles are k 0..3, the high ones 4..7.
struct gemm_s8s4f32_12x32c8 {
  static constexpr gemm_op op = gemm_op::s8_s4;
  static constexpr isa target = isa::avx512_vnni;
  static constexpr const char* name = "gemm_s8s4f32_12x32c8";
  static constexpr std::size_t mr = 12, nr = 16, kr = 8, mc = 144, kc = 1024;
  using a_packed = std::int8_t;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t order(std::size_t j, std::size_t k) {
    return (j * 4 + k % 4) * 2 + k / 4;
  }

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int8_t, float>& t) {
    constexpr std::size_t header_bytes = nr * 5, step_bytes = nr * kr / 2;
    const std::int8_t* a = t.a;
    const std::int32_t* a_sums = t.a_sums;
    const std::byte* group = t.b;
    bool first = !t.accumulate;
    if (t.k == 0 && first) std::fill_n(t.c, Rows * nr * Panels, 0.0f);
    for (std::size_t left = t.k; left != 0; group += t.group_bytes, a_sums += Rows) {
      const std::size_t length = left < t.group_k ? left : t.group_k;
      left -= length;
      __m512i sums[Rows][Panels];
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        QTK_UNROLL
        for (std::size_t j = 0; j < Panels; ++j) sums[i][j] = _mm512_setzero_si512();
      }
      const std::byte* codes = group + header_bytes;
      for (std::size_t k = 0; k < length; k += kr, a += kr * Rows, codes += step_bytes) {
        const __m512i mask = _mm512_set1_epi8(15);
        __m512i lo[Panels], hi[Panels];
        QTK_UNROLL
        for (std::size_t j = 0; j < Panels; ++j) {
          const __m512i both = _mm512_loadu_si512(codes + j * t.panel_bytes);
          lo[j] = _mm512_and_si512(both, mask);
          hi[j] = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
        }
        QTK_UNROLL
        for (std::size_t i = 0; i < Rows; ++i) {
          std::int32_t four[2];
          std::memcpy(four, a + i * kr, sizeof four);
          QTK_UNROLL
          for (std::size_t j = 0; j < Panels; ++j) {
            sums[i][j] = _mm512_dpbusd_epi32(sums[i][j], lo[j], _mm512_set1_epi32(four[0]));
            sums[i][j] = _mm512_dpbusd_epi32(sums[i][j], hi[j], _mm512_set1_epi32(four[1]));
          }
        }
      }
      QTK_UNROLL
      for (std::size_t j = 0; j < Panels; ++j) {
        const std::byte* const header = group + j * t.panel_bytes;
        const __m512 scale = _mm512_loadu_ps(header);
        const __m512i zero_point = _mm512_cvtepi8_epi32(
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(header + nr * sizeof(float))));
        QTK_UNROLL
        for (std::size_t i = 0; i < Rows; ++i) {
          float* const c = t.c + (i * Panels + j) * nr;
          const __m512i sum = simd::sub(sums[i][j], simd::mul(simd::set1(a_sums[i]), zero_point));
          const __m512 scaled = simd::rounded(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale));
          _mm512_storeu_ps(c,
                           _mm512_add_ps(first ? _mm512_setzero_ps() : _mm512_loadu_ps(c), scaled));
        }
      }
      first = false;
    }
  }

  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }
};

}  // namespace qtk::inline QTK_ABI::avx512_vnni
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
