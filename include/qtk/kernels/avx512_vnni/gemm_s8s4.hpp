#pragma once

#include "qtk/kernels/avx512/gemm_tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512_VNNI)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512_vnni {

using avx512::broadcast4, avx512::gemm_finish_run, avx512::simd;

#  include "../gemm_s8s4_body.inl"

/// int8 rows times 4-bit codes, which are vpdpbusd's unsigned operand. A step of codes is 64 bytes,
/// 8 k of 16 columns: the low nibbles are k 0..3, the high ones 4..7.
struct int4_steps {
  static constexpr std::size_t nr = 16, kr = 8, step_bytes = nr * kr / 2;

  /// As panels_for has it, but weights take two registers each (3 rows of 8 panels: 68 instead of
  /// 79 % of the bandwidth).
  static constexpr std::size_t panels(std::size_t rows) {
    return rows <= 2 ? 8 : rows <= 5 ? 4 : 2;
  }
  static constexpr std::size_t order(std::size_t j, std::size_t k) {
    return (j * 4 + k % 4) * 2 + k / 4;
  }

  /// dots += the products of k elements.
  template <std::size_t Rows, std::size_t Panels>
  QTK_ALWAYS_INLINE static void run(const std::int8_t* a, const std::byte* codes,
                                    std::size_t panel_bytes, fetch_stream& fetch, std::size_t k,
                                    __m512i (&dots)[Rows][Panels]) {
    const __m512i mask = _mm512_set1_epi8(15);
    for (; k != 0; k -= kr, a += kr * Rows, codes += step_bytes) {
      fetch.template advance<Panels, step_bytes, 8>();
      __m512i lo[Panels], hi[Panels];
      QTK_UNROLL
      for (std::size_t j = 0; j < Panels; ++j) {
        const __m512i both = _mm512_loadu_si512(codes + j * panel_bytes);
        lo[j] = _mm512_and_si512(both, mask);
        hi[j] = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
      }
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        const __m512i x = broadcast4(a + i * kr), y = broadcast4(a + i * kr + 4);
        QTK_UNROLL
        for (std::size_t j = 0; j < Panels; ++j)
          dots[i][j] = _mm512_dpbusd_epi32(dots[i][j], lo[j], x);
        QTK_UNROLL
        for (std::size_t j = 0; j < Panels; ++j)
          dots[i][j] = _mm512_dpbusd_epi32(dots[i][j], hi[j], y);
      }
    }
  }
};

/// s8 times int4 in groups.
struct gemm_s8s4f32_12x32c8 : int4_steps {
  static constexpr gemm_op op = gemm_op::s8_s4;
  static constexpr isa target = isa::avx512_vnni;
  static constexpr const char* name = "gemm_s8s4f32_12x32c8";
  static constexpr std::size_t mr = 12, mc = 144, kc = 1024;
  using a_packed = std::int8_t;

  template <std::size_t Rows, std::size_t Panels>
  QTK_ALWAYS_INLINE static void multiply(const std::int8_t* a, const std::byte* codes,
                                         std::size_t panel_bytes, fetch_stream& fetch,
                                         std::size_t k, const std::int32_t* start,
                                         __m512i (&dots)[Rows][Panels]) {
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < Panels; ++j) dots[i][j] = _mm512_set1_epi32(start[i]);
    }
    int4_steps::run<Rows, Panels>(a, codes, panel_bytes, fetch, k, dots);
    // Or g++ 12 -O3 forms parts of what follows before there were any steps, and spills (52 instead
    // of 78 % of the peak).
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < Panels; ++j) __asm__("" : "+v"(dots[i][j]));
    }
  }
  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int8_t, float>& t) {
    gemm_s8s4_run<gemm_s8s4f32_12x32c8, Rows, Panels>(t);
  }
  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }
};

/// s8 times int4 under one scale.
struct gemm_s8s4s32_12x32c8 : int4_steps {
  static constexpr gemm_op op = gemm_op::s8_s4_channel;
  static constexpr isa target = isa::avx512_vnni;
  static constexpr const char* name = "gemm_s8s4s32_12x32c8";
  static constexpr std::size_t mr = 12, mc = 144, kc = 1024;
  using a_packed = std::int8_t;

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int8_t, std::int32_t>& t) {
    __m512i sums[Rows][Panels];
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < Panels; ++j)
        sums[i][j] =
            t.accumulate ? _mm512_loadu_si512(t.c + (i * Panels + j) * nr) : _mm512_setzero_si512();
    }
    fetch_stream fetch = t.fetch;
    int4_steps::run<Rows, Panels>(t.a, t.b, t.panel_bytes, fetch, t.k, sums);
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < Panels; ++j)
        _mm512_storeu_si512(t.c + (i * Panels + j) * nr, sums[i][j]);
    }
  }
  template <class Sum>
  static void finish(const gemm_finish<Sum>& f) {
    gemm_finish_run<simd, nr>(f);
  }
};

}  // namespace qtk::inline QTK_ABI::avx512_vnni
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
