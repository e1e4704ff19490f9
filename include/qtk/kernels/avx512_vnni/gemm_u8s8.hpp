#pragma once

#include "qtk/kernels/avx512/gemm_tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512_VNNI)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512_vnni {

using avx512::broadcast4, avx512::gemm_finish_run, avx512::panels_for, avx512::simd;

/// int32 sums of u8 * s8 by vpdpbusd, which neither saturates nor rounds. Zero points are taken off
/// in the epilogue, by the sums of the weights.
/// 12 x 32: two panels at a time, 24 accumulators. A step is 4 k of 16 columns, one register.
/// `A` is what is broadcast: activations in a product of matrices, weights in a convolution.
template <class A>
struct gemm_12x32c4 {
  static constexpr bool signed_rows = std::is_signed_v<A>;
  static constexpr gemm_op op = gemm_op::u8_s8;
  static constexpr isa target = isa::avx512_vnni;
  static constexpr const char* name = signed_rows ? "gemm_s8u8s32_12x32c4" : "gemm_u8s8s32_12x32c4";
  static constexpr std::size_t mr = 12, nr = 16, kr = 4, mc = 144, kc = 2048;
  using a_packed = A;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t order(std::size_t j, std::size_t k) { return j * kr + k; }

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<A, std::int32_t>& t) {
    __m512i acc[Rows][Panels];
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < Panels; ++j)
        acc[i][j] =
            t.accumulate ? _mm512_loadu_si512(t.c + (i * Panels + j) * nr) : _mm512_setzero_si512();
    }
    const A* a = t.a;
    const std::byte* b = t.b;
    fetch_stream fetch = t.fetch;
    for (std::size_t k = 0; k < t.k; k += kr, a += kr * Rows, b += kr * nr) {
      fetch.template advance<Panels, kr * nr>();
      step<Rows, Panels>(a, b, t.panel_bytes, acc);
    }
    store<Rows, Panels>(acc, t.c);
  }

  /// The same where nothing is packed: step k of panel 0 is the image, in pixels of kr codes, from
  /// t.offsets[k / kr] on, and the panels are neighbors in it.
  template <std::size_t Rows, std::size_t Panels>
  static void run_rows(const gemm_tile<A, std::int32_t>& t) {
    __m512i acc[Rows][Panels];
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < Panels; ++j) acc[i][j] = _mm512_setzero_si512();
    }
    const A* a = t.a;
    const std::size_t* offset = t.offsets;
    for (std::size_t k = 0; k < t.k; k += kr, a += kr * Rows, ++offset)
      step<Rows, Panels>(a, t.b + *offset * kr, kr * nr, acc);
    store<Rows, Panels>(acc, t.c);
  }

  template <class Sum>
  static void finish(const gemm_finish<Sum>& f) {
    gemm_finish_run<simd, nr>(f);
  }

 private:
  template <std::size_t Rows, std::size_t Panels>
  QTK_ALWAYS_INLINE static void step(const A* a, const std::byte* b, std::size_t panel_bytes,
                                     __m512i (&acc)[Rows][Panels]) {
    __m512i w[Panels];
    QTK_UNROLL
    for (std::size_t j = 0; j < Panels; ++j) w[j] = _mm512_loadu_si512(b + j * panel_bytes);
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      const __m512i x = broadcast4(a + i * kr);
      QTK_UNROLL
      for (std::size_t j = 0; j < Panels; ++j)
        acc[i][j] = signed_rows ? _mm512_dpbusd_epi32(acc[i][j], w[j], x)
                                : _mm512_dpbusd_epi32(acc[i][j], x, w[j]);
    }
  }
  template <std::size_t Rows, std::size_t Panels>
  QTK_ALWAYS_INLINE static void store(const __m512i (&acc)[Rows][Panels], std::int32_t* c) {
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < Panels; ++j)
        _mm512_storeu_si512(c + (i * Panels + j) * nr, acc[i][j]);
    }
  }
};

using gemm_u8s8s32_12x32c4 = gemm_12x32c4<std::uint8_t>;
using gemm_s8u8s32_12x32c4 = gemm_12x32c4<std::int8_t>;

}  // namespace qtk::inline QTK_ABI::avx512_vnni
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
