#pragma once

#include "qtk/kernels/avx2/gemm_tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
namespace qtk::inline QTK_ABI::avx2 {

#  include "../gemm_s8s4_body.inl"

/// Sums of pairs as int32.
inline __m256i widen_pairs(__m256i sums) noexcept {
  return _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
}

/// int8 rows times 4-bit codes in int16 sums: a step of codes is 32 bytes, 4 k of 16 columns; the
/// low nibbles are columns 0..7, the high ones 8..15. vpmaddubsw can't saturate here: 2 * 15 * 128
/// = 3840 a pair, and 8 of them fit int16 (30720).
struct int4_steps {
  static constexpr std::size_t nr = 16, kr = 4, step_bytes = nr * kr / 2, most = 8;

  static constexpr std::size_t order(std::size_t j, std::size_t k) {
    return (j % 8 * kr + k) * 2 + j / 8;
  }

  /// sums = (First) or += the products of one step.
  template <std::size_t Rows, std::size_t Panels, bool First>
  QTK_ALWAYS_INLINE static void step(const std::int8_t* a, const std::byte* codes,
                                     std::size_t panel_bytes, __m256i (&sums)[Rows][2 * Panels]) {
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
        // Two by two: g++ 12 would form all products first and spill the sums (86 instead of 160
        // GOP/s).
        __m256i l = _mm256_maddubs_epi16(lo, x), h = _mm256_maddubs_epi16(hi, x);
        __asm__("" : "+x"(l), "+x"(h));
        sums[i][2 * p] = First ? l : _mm256_add_epi16(sums[i][2 * p], l);
        sums[i][2 * p + 1] = First ? h : _mm256_add_epi16(sums[i][2 * p + 1], h);
      }
    }
  }

  /// sums = the products of `count` steps, 1 to 8; a and codes move on.
  template <std::size_t Rows, std::size_t Panels>
  QTK_ALWAYS_INLINE static void run(const std::int8_t*& a, const std::byte*& codes,
                                    std::size_t panel_bytes, fetch_stream& fetch, std::size_t count,
                                    __m256i (&sums)[Rows][2 * Panels]) {
    fetch.template advance<Panels, most * step_bytes, 8>();
    step<Rows, Panels, true>(a, codes, panel_bytes, sums);
    a += kr * Rows;
    codes += step_bytes;
    for (std::size_t s = 1; s < count; ++s, a += kr * Rows, codes += step_bytes)
      step<Rows, Panels, false>(a, codes, panel_bytes, sums);
  }

  /// c (Rows, 2 * Panels registers of int32) += the products of k elements.
  template <std::size_t Rows, std::size_t Panels>
  QTK_ALWAYS_INLINE static void add(const std::int8_t* a, const std::byte* codes,
                                    std::size_t panel_bytes, fetch_stream& fetch, std::size_t k,
                                    std::int32_t* c) {
    for (std::size_t steps = k / kr; steps != 0;) {
      const std::size_t count = steps < most ? steps : most;
      steps -= count;
      __m256i sums[Rows][2 * Panels];
      run<Rows, Panels>(a, codes, panel_bytes, fetch, count, sums);
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        QTK_UNROLL
        for (std::size_t j = 0; j < 2 * Panels; ++j) {
          std::int32_t* const sum = c + (i * 2 * Panels + j) * 8;
          simd::store(sum, _mm256_add_epi32(simd::load(sum), widen_pairs(sums[i][j])));
        }
      }
    }
  }
};

/// s8 times int4 in groups.
struct gemm_s8s4f32_6x16c4 : int4_steps {
  static constexpr gemm_op op = gemm_op::s8_s4;
  static constexpr isa target = isa::avx2;
  static constexpr const char* name = "gemm_s8s4f32_6x16c4";
  static constexpr std::size_t mr = 6, mc = 144, kc = 512;
  using a_packed = std::int8_t;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }

  template <std::size_t Rows, std::size_t Panels>
  QTK_ALWAYS_INLINE static void multiply(const std::int8_t* a, const std::byte* codes,
                                         std::size_t panel_bytes, fetch_stream& fetch,
                                         std::size_t k, const std::int32_t* start,
                                         __m256i (&dots)[Rows][2 * Panels]) {
    constexpr std::size_t columns = 2 * Panels;
    if (k <= most * kr) {
      int4_steps::run<Rows, Panels>(a, codes, panel_bytes, fetch, k / kr, dots);
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        QTK_UNROLL
        for (std::size_t j = 0; j < columns; ++j)
          dots[i][j] = _mm256_add_epi32(widen_pairs(dots[i][j]), _mm256_set1_epi32(start[i]));
      }
    } else {
      alignas(32) std::int32_t sums[Rows * columns * 8];
      fetch = multiply_long<Rows, Panels>(a, codes, panel_bytes, fetch, k, start, sums);
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        QTK_UNROLL
        for (std::size_t j = 0; j < columns; ++j)
          dots[i][j] = simd::load(sums + (i * columns + j) * 8);
      }
    }
  }
  /// Groups of more than 32. A function of its own, or g++ 12 spills in the short ones.
  template <std::size_t Rows, std::size_t Panels>
  [[gnu::noinline]] static fetch_stream multiply_long(const std::int8_t* a, const std::byte* codes,
                                                      std::size_t panel_bytes, fetch_stream fetch,
                                                      std::size_t k, const std::int32_t* start,
                                                      std::int32_t* sums) {
    for (std::size_t i = 0; i < Rows; ++i)
      for (std::size_t j = 0; j < 2 * Panels; ++j)
        simd::store(sums + (i * 2 * Panels + j) * 8, _mm256_set1_epi32(start[i]));
    int4_steps::add<Rows, Panels>(a, codes, panel_bytes, fetch, k, sums);
    return fetch;
  }
  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int8_t, float>& t) {
    gemm_s8s4_run<gemm_s8s4f32_6x16c4, Rows, Panels>(t);
  }
  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }
};

/// s8 times int4 under one scale: int32 sums in memory, to which those of int16 are added every 8
/// steps.
struct gemm_s8s4s32_6x16c4 : int4_steps {
  static constexpr gemm_op op = gemm_op::s8_s4_channel;
  static constexpr isa target = isa::avx2;
  static constexpr const char* name = "gemm_s8s4s32_6x16c4";
  static constexpr std::size_t mr = 6, mc = 144, kc = 512;
  using a_packed = std::int8_t;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int8_t, std::int32_t>& t) {
    constexpr std::size_t columns = 2 * Panels;
    std::int32_t* const c = t.c;
    const std::size_t panel_bytes = t.panel_bytes;
    if (!t.accumulate) {
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows * columns; ++i)
        simd::store(c + 8 * i, _mm256_setzero_si256());
    }
    fetch_stream fetch = t.fetch;
    int4_steps::add<Rows, Panels>(t.a, t.b, panel_bytes, fetch, t.k, c);
  }
  template <class Sum>
  static void finish(const gemm_finish<Sum>& f) {
    gemm_finish_run<simd, nr>(f);
  }
};

}  // namespace qtk::inline QTK_ABI::avx2
QTK_TARGET_END
#endif
