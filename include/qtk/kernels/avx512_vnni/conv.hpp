#pragma once

#include "qtk/kernels/avx512/conv.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512_VNNI)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512_vnni {

struct conv_parts : avx512::conv_parts {
  /// As avx512::conv_parts has it for floats.
  static void one_pixel(const filter_tiles<std::int8_t>& tiles, const std::uint8_t* pixel,
                        std::size_t packed_k, std::int32_t* sums) noexcept {
    __m512i acc[filter_tiles<std::int8_t>::most];
    QTK_UNROLL
    for (__m512i& x : acc) x = _mm512_setzero_si512();
    const filter_tiles<std::int8_t> t = tiles;
    for (std::size_t k = 0; k < packed_k; k += 4) {
      std::int32_t four;
      std::memcpy(&four, pixel + k * 16, sizeof four);
      const __m512i x = _mm512_set1_epi32(four);
      QTK_UNROLL
      for (std::size_t i = 0; i < t.most; ++i) {
        const auto rows = static_cast<__mmask16>((1u << t.rows[i]) - 1);
        acc[i] =
            _mm512_dpbusd_epi32(acc[i], x, _mm512_maskz_loadu_epi32(rows, t.a[i] + k * t.rows[i]));
      }
    }
    QTK_UNROLL
    for (std::size_t i = 0; i < t.most; ++i) _mm512_storeu_si512(sums + i * 16, acc[i]);
  }
};

}  // namespace qtk::inline QTK_ABI::avx512_vnni
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
