#pragma once

#include <bit>

#include "qtk/kernels/avx512/conv_rows.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512_VNNI)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512_vnni {

using avx512::plane_columns, avx512::plane_rows, avx512::simd;

/// conv_kernel::spread of codes: four channels side by side first, then their pixels are moved as
/// those of fp32 are.
struct conv_rows {
  static void spread(const conv_spread& s) noexcept {
    const std::size_t high = (s.rows - 1) * s.stride_h + s.phases, plane = s.image_stride;
    const plane_columns columns{s.stride_w, s.phase, s.pad_left};
    float* const pixels = s.scratch;
    conv_spread arranged = s;
    arranged.scratch += high * s.width + 4 * lanes;
    const auto fill = [&](std::size_t c, std::size_t row, std::size_t count, float* to) {
      interleave(s.codes + 4 * c * plane + row * s.width, plane, count * s.width, pixels);
      if (s.stride_w == 1)
        copy_rows(pixels, count, s.width, to + s.pad_left, s.phase);
      else
        plane_rows(pixels, count, s.width, columns, to);
    };
    avx512::conv_rows::spread_planes(arranged, std::bit_cast<float>(0x01010101u * s.padding), fill);
  }

 private:
  static constexpr std::size_t lanes = 16;

  /// n pixels of four channels, `plane` apart, and up to 63 more of anything.
  static void interleave(const std::uint8_t* from, std::size_t plane, std::size_t n,
                         float* to) noexcept {
    // Dword i of lane l to lane i, dword l.
    const __m512i across = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (std::size_t i = 0; i < n; i += 64, to += 64) {
      const __mmask64 mask = n - i < 64 ? (std::uint64_t{1} << (n - i)) - 1 : ~std::uint64_t{0};
      const auto load = [&](std::size_t c) {
        return _mm512_permutexvar_epi32(across,
                                        _mm512_maskz_loadu_epi8(mask, from + c * plane + i));
      };
      const __m512i a = load(0), b = load(1), c = load(2), d = load(3);
      const __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
      const __m512i ef = _mm512_unpackhi_epi8(a, b), gh = _mm512_unpackhi_epi8(c, d);
      _mm512_storeu_si512(to, _mm512_unpacklo_epi16(ab, cd));
      _mm512_storeu_si512(to + 16, _mm512_unpackhi_epi16(ab, cd));
      _mm512_storeu_si512(to + 32, _mm512_unpacklo_epi16(ef, gh));
      _mm512_storeu_si512(to + 48, _mm512_unpackhi_epi16(ef, gh));
    }
  }

  /// plane_copy, but the padding behind a row isn't zeros.
  static void copy_rows(const float* from, std::size_t height, std::size_t width, float* to,
                        std::size_t step) noexcept {
    const std::size_t rest = width % lanes, body = width - rest;
    for (; height != 0; --height, from += width, to += step) {
      for (std::size_t i = 0; i < body; i += lanes) simd::store(to + i, simd::load(from + i));
      if (rest != 0) simd::store_first(to + body, simd::load(from + body), rest);
    }
  }
};

}  // namespace qtk::inline QTK_ABI::avx512_vnni
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
