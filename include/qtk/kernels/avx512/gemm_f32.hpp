#pragma once

#include "qtk/kernels/avx512/gemm_tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512 {

/// Sixteen weights of one k as one vector of fp32.
template <gemm_op Op>
struct f32_weights {
  static constexpr std::size_t nr = 16;
  using plain = f32_weights<gemm_op::f32_f32>;
  static constexpr std::size_t step_bytes = nr * gemm_op_traits<Op>::weight_bits / 8;
  static constexpr std::size_t header_bytes = nr * gemm_op_traits<Op>::header_bytes;

  static void load(const std::byte* codes, const std::byte* header, __m512* w) {
    if constexpr (Op == gemm_op::f32_f32) {
      w[0] = _mm512_loadu_ps(codes);
    } else if constexpr (Op == gemm_op::f32_f16) {
      w[0] = _mm512_cvtph_ps(load256(codes));
    } else if constexpr (gemm_op_traits<Op>::bf16) {
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
struct f32_12x32 {
  static constexpr isa target = isa::avx512;
  static constexpr std::size_t mr = 12, nr = 16, mc = 144, kc = 512, direct_rows = 3;
  static constexpr const char* names[] = {"gemm_f32f32f32_12x32",  "gemm_f32f16f32_12x32",
                                          "gemm_f32bf16f32_12x32", "gemm_f32s8f32_12x32",
                                          "gemm_f32s4f32_12x32",   "gemm_bf16bf16f32_12x32"};
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t grouped_panels(std::size_t rows) { return panels_for(rows); }
};
template <gemm_op Op>
using gemm_f32_12x32 = gemm_f32<Op, f32_12x32, f32_weights<Op>>;

}  // namespace qtk::inline QTK_ABI::avx512
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
