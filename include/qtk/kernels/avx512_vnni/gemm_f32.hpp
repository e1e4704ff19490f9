#pragma once

#include "qtk/kernels/avx512_vnni/gemm_tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512_VNNI)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512_vnni {

/// Sixteen weights of one k as one vector of fp32.
template <gemm_op Op>
struct f32_weights {
  static constexpr std::size_t nr = 16;
  static constexpr std::size_t step_bytes = nr * gemm_op_traits<Op>::weight_bits / 8;
  static constexpr std::size_t header_bytes = nr * gemm_op_traits<Op>::header_bytes;

  static void load(const std::byte* codes, const std::byte* header, __m512* w) {
    if constexpr (Op == gemm_op::f32_f32) {
      w[0] = _mm512_loadu_ps(codes);
    } else if constexpr (Op == gemm_op::f32_f16) {
      w[0] = _mm512_cvtph_ps(load256(codes));
    } else if constexpr (Op == gemm_op::f32_bf16) {
      w[0] = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load256(codes)), 16));
    } else if constexpr (Op == gemm_op::f32_s8) {
      w[0] = dequantize(_mm512_cvtepi8_epi32(load128(codes)), header);
    } else {
      const __m128i both = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes));
      const __m128i columns = _mm_unpacklo_epi64(both, _mm_srli_epi16(both, 4));
      w[0] = dequantize(_mm512_cvtepu8_epi32(_mm_and_si128(columns, _mm_set1_epi8(15))), header);
    }
  }
  static constexpr std::size_t order(std::size_t j) {
    return Op == gemm_op::f32_s4 ? j % 8 * 2 + j / 8 : j;
  }

 private:
  static __m256i load256(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static __m128i load128(const std::byte* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  /// scale * (code - zero_point): the same float as dequantize() gives.
  static __m512 dequantize(__m512i codes, const std::byte* header) {
    const __m512i zero_points = _mm512_cvtepi8_epi32(load128(header + nr * sizeof(float)));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(codes, zero_points)),
                         _mm512_loadu_ps(header));
  }
};

#  include "../gemm_f32_body.inl"

/// 12 x 32: two panels at a time, 24 accumulators.
template <gemm_op Op>
struct gemm_f32_12x32 {
  static constexpr gemm_op op = Op;
  static constexpr isa target = isa::avx512_vnni;
  static constexpr std::size_t mr = 12, nr = 16, kr = 1, mc = 144, kc = 192;
  static constexpr const char* name = Op == gemm_op::f32_f32    ? "gemm_f32f32f32_12x32"
                                      : Op == gemm_op::f32_f16  ? "gemm_f32f16f32_12x32"
                                      : Op == gemm_op::f32_bf16 ? "gemm_f32bf16f32_12x32"
                                      : Op == gemm_op::f32_s8   ? "gemm_f32s8f32_12x32"
                                                                : "gemm_f32s4f32_12x32";
  using a_packed = float;
  static constexpr std::size_t direct_rows = Op == gemm_op::f32_f32 ? mr : 3;
  using widened = gemm_f32_12x32<gemm_op::f32_f32>;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t order(std::size_t j, std::size_t) {
    return f32_weights<Op>::order(j);
  }
  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<float, float>& t) {
    gemm_f32_run<f32_weights<Op>, Rows, Panels>(t);
  }
  static void widen(const gemm_tile<float, float>& t, std::size_t panels, float* out) {
    gemm_f32_widen<f32_weights<Op>>(t, panels, out);
  }
  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }
};

}  // namespace qtk::inline QTK_ABI::avx512_vnni
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
