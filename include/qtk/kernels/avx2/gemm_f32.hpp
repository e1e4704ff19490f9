#pragma once

#include "qtk/kernels/avx2/gemm_tile.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
namespace qtk::inline QTK_ABI::avx2 {

/// Sixteen weights of one k as two vectors of fp32.
template <gemm_op Op>
struct f32_weights {
  static constexpr std::size_t nr = 16;
  using plain = f32_weights<gemm_op::f32_f32>;
  static constexpr std::size_t step_bytes = nr * gemm_op_traits<Op>::weight_bits / 8;
  static constexpr std::size_t header_bytes = nr * gemm_op_traits<Op>::header_bytes;

  static void load(const std::byte* codes, const std::byte* header, __m256* w) {
    if constexpr (Op == gemm_op::f32_f32) {
      w[0] = _mm256_loadu_ps(reinterpret_cast<const float*>(codes));
      w[1] = _mm256_loadu_ps(reinterpret_cast<const float*>(codes) + 8);
    } else if constexpr (Op == gemm_op::f32_f16) {
      w[0] = _mm256_cvtph_ps(load128(codes));
      w[1] = _mm256_cvtph_ps(load128(codes + 16));
    } else if constexpr (gemm_op_traits<Op>::bf16) {
      w[0] = widen_bf16(load128(codes));
      w[1] = widen_bf16(load128(codes + 16));
    } else if constexpr (Op == gemm_op::f32_s8) {
      w[0] = dequantize(_mm256_cvtepi8_epi32(load64(codes)), header, 0);
      w[1] = dequantize(_mm256_cvtepi8_epi32(load64(codes + 8)), header, 8);
    } else {
      const __m256i both = _mm256_cvtepu8_epi32(load64(codes));  // columns j and j + 8 in byte j
      w[0] = dequantize(_mm256_and_si256(both, _mm256_set1_epi32(15)), header, 0);
      w[1] = dequantize(_mm256_srli_epi32(both, 4), header, 8);
    }
  }
  static constexpr std::size_t order(std::size_t j) {
    return Op == gemm_op::f32_s4 ? j % 8 * 2 + j / 8 : j;
  }

 private:
  static __m128i load128(const std::byte* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  static __m128i load64(const std::byte* p) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  }
  static __m256 widen_bf16(__m128i x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
  }
  /// scale * (code - zero_point) for columns [j, j + 8): the same float as dequantize() gives.
  static __m256 dequantize(__m256i codes, const std::byte* header, std::size_t j) {
    const __m256i zero_points = _mm256_cvtepi8_epi32(load64(header + nr * sizeof(float) + j));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(codes, zero_points)),
                         _mm256_loadu_ps(reinterpret_cast<const float*>(header) + j));
  }
};

#  include "../gemm_f32_body.inl"

/// 6 x 16: 12 accumulators, 2 vectors of weights and a broadcast fill 15 of the 16 registers.
struct f32_6x16 {
  static constexpr isa target = isa::avx2;
  static constexpr std::size_t mr = 6, nr = 16, mc = 144, kc = 256, direct_rows = 3;
  static constexpr const char* names[] = {"gemm_f32f32f32_6x16",  "gemm_f32f16f32_6x16",
                                          "gemm_f32bf16f32_6x16", "gemm_f32s8f32_6x16",
                                          "gemm_f32s4f32_6x16",   "gemm_bf16bf16f32_6x16"};
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t grouped_panels(std::size_t rows) { return rows == 1 ? 2 : 1; }
};
template <gemm_op Op>
using gemm_f32_6x16 = gemm_f32<Op, f32_6x16, f32_weights<Op>>;

}  // namespace qtk::inline QTK_ABI::avx2
QTK_TARGET_END
#endif
