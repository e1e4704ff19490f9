#pragma once

#include <immintrin.h>

#include "qtk/cpu/target.hpp"
#include "qtk/kernels/tile.hpp"

QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
namespace qtk::inline QTK_ABI::avx2 {

/// Eight floats: the vocabulary of the shared bodies.
struct gemm_simd {
  static constexpr std::size_t width = 8;
  using vec = __m256;
  using integers = __m256i;

  static vec load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, vec x) { _mm256_storeu_ps(p, x); }
  static vec set1(float x) { return _mm256_set1_ps(x); }
  static vec zero() { return _mm256_setzero_ps(); }
  static vec add(vec a, vec b) { return _mm256_add_ps(a, b); }
  static vec mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
  static vec fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
  static vec max(vec a, vec b) { return _mm256_max_ps(a, b); }  // b where unordered
  static vec min(vec a, vec b) { return _mm256_min_ps(a, b); }
  static vec if_negative(vec x, vec y) {
    return _mm256_blendv_ps(x, y, _mm256_cmp_ps(x, zero(), _CMP_LT_OQ));
  }

  static integers load_integers(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  static integers subtract_product(integers s, std::int32_t a, integers b) {
    return _mm256_sub_epi32(s, _mm256_mullo_epi32(_mm256_set1_epi32(a), b));
  }
  static vec to_float(integers s) { return _mm256_cvtepi32_ps(s); }

  /// See scalar::gemm_simd: g++ contracts intrinsics as well.
  static vec rounded(vec x) {
    __asm__("" : "+x"(x));
    return x;
  }
};

#include "../gemm_finish_body.inl"

}  // namespace qtk::inline QTK_ABI::avx2
QTK_TARGET_END
