#pragma once

#include <cstddef>
#include <cstdint>

#include "qtk/core/half.hpp"
#include "qtk/cpu/target.hpp"

#if QTK_X86_64
#  include <immintrin.h>

QTK_TARGET_BEGIN(QTK_FEATURES_AVX512)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512 {

/// The `simd` policy of sixteen lanes; see scalar/simd.hpp for what each member means.
struct simd {
  static constexpr std::size_t width = 16;
  using f32 = __m512;
  using i32 = __m512i;

  static f32 zero() noexcept { return _mm512_setzero_ps(); }
  static f32 set1(float x) noexcept { return _mm512_set1_ps(x); }
  static f32 load(const float* p) noexcept { return _mm512_loadu_ps(p); }
  static void store(float* p, f32 x) noexcept { _mm512_storeu_ps(p, x); }
  static f32 add(f32 a, f32 b) noexcept { return _mm512_add_ps(a, b); }
  static f32 sub(f32 a, f32 b) noexcept { return _mm512_sub_ps(a, b); }
  static f32 mul(f32 a, f32 b) noexcept { return _mm512_mul_ps(a, b); }
  static f32 div(f32 a, f32 b) noexcept { return _mm512_div_ps(a, b); }
  static f32 sqrt(f32 a) noexcept { return _mm512_sqrt_ps(a); }
  static f32 min(f32 a, f32 b) noexcept { return _mm512_min_ps(a, b); }
  static f32 max(f32 a, f32 b) noexcept { return _mm512_max_ps(a, b); }
  static f32 mul_add(f32 a, f32 b, f32 c) noexcept { return _mm512_fmadd_ps(a, b, c); }
  static f32 fused(f32 a, f32 b, f32 c) noexcept { return _mm512_fmadd_ps(a, b, c); }
  static f32 select_negative(f32 x, f32 a, f32 b) noexcept {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, zero(), _CMP_LT_OQ), b, a);
  }
  static f32 select_nan(f32 x, f32 a, f32 b) noexcept {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), b, a);
  }
  /// clang calls what holds assembly where the caller has more features.
  QTK_ALWAYS_INLINE static f32 rounded(f32 x) noexcept {
    __asm__("" : "+v"(x));
    return x;
  }
  static f32 abs(f32 x) noexcept { return _mm512_abs_ps(x); }
  static i32 round(f32 x) noexcept {
    return _mm512_cvt_roundps_epi32(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static f32 to_f32(i32 x) noexcept { return _mm512_cvtepi32_ps(x); }
  static i32 set1(std::int32_t x) noexcept { return _mm512_set1_epi32(x); }
  static i32 load(const std::int32_t* p) noexcept { return _mm512_loadu_si512(p); }
  static void store(std::int32_t* p, i32 x) noexcept { _mm512_storeu_si512(p, x); }
  static i32 add(i32 a, i32 b) noexcept { return _mm512_add_epi32(a, b); }
  static i32 sub(i32 a, i32 b) noexcept { return _mm512_sub_epi32(a, b); }
  static i32 mul(i32 a, i32 b) noexcept { return _mm512_mullo_epi32(a, b); }
  static f32 exp2_integer(i32 n) noexcept {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, set1(127)), 23));
  }
  static f32 scale(f32 p, f32 n) noexcept { return _mm512_scalef_ps(p, n); }
  static f32 scale_or_zero(f32 p, f32 shifted) noexcept {
    const i32 exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);  // of NaN: 0
    const i32 bits = _mm512_sub_epi32(_mm512_castps_si512(p), exponent);
    return _mm512_castsi512_ps(_mm512_max_epi32(bits, _mm512_setzero_si512()));
  }
  static f32 select_sign(f32 x, f32 a, f32 b) noexcept {
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(x)), b, a);
  }
  static f32 copy_sign(f32 magnitude, f32 x) noexcept {
    return _mm512_or_ps(magnitude, _mm512_and_ps(_mm512_set1_ps(-0.0f), x));
  }
  static i32 load_u8(const std::uint8_t* p) noexcept {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static i32 load_s8(const std::int8_t* p) noexcept {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  /// As avx2::simd has it.
  static f32 quotient(f32 x, f32 s, f32 inverse) noexcept {
    const f32 q = mul(x, inverse);
    return mul_add(_mm512_fnmadd_ps(q, s, x), inverse, q);
  }
  template <class Code>
  static void store_codes(Code* p, f32 a, f32 b, f32 c, f32 d, std::int32_t zero_point) noexcept {
    const i32 zero = _mm512_set1_epi16(static_cast<std::int16_t>(zero_point));
    const i32 ab = _mm512_adds_epi16(_mm512_packs_epi32(round(a), round(b)), zero);
    const i32 cd = _mm512_adds_epi16(_mm512_packs_epi32(round(c), round(d)), zero);
    const i32 codes = Code(-1) < Code(0) ? _mm512_packs_epi16(ab, cd) : _mm512_packus_epi16(ab, cd);
    const i32 order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(p, _mm512_permutexvar_epi32(order, codes));
  }
  static f32 load_f16(const half* p) noexcept {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static void store_f16(half* p, f32 x) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static f32 load_bf16(const bfloat16* p) noexcept {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static void store_bf16(bfloat16* p, f32 x) noexcept {
    // Not vcvtneps2bf16: that flushes denormals, and needs AVX512-BF16.
    const __m512i u = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), set1(1));
    const __m512i rounded = _mm512_add_epi32(u, _mm512_add_epi32(odd, set1(0x7fff)));
    const __m512i quiet = _mm512_or_si512(u, set1(0x400000));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m512i bits = _mm512_srli_epi32(_mm512_mask_blend_epi32(nan, rounded, quiet), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(bits));
  }

  static constexpr std::size_t f64_width = 8;
  using f64 = __m512d;
  static f64 zero_f64() noexcept { return _mm512_setzero_pd(); }
  static f64 load_f64(const float* p) noexcept { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
  static void store(double* p, f64 x) noexcept { _mm512_storeu_pd(p, x); }
  static f64 add(f64 a, f64 b) noexcept { return _mm512_add_pd(a, b); }
  static f64 mul_add(f64 a, f64 b, f64 c) noexcept { return _mm512_fmadd_pd(a, b, c); }

  static f32 load_first(const float* p, std::size_t n) noexcept {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
  }
  static void store_first(float* p, f32 x, std::size_t n) noexcept {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), x);
  }
};

}  // namespace qtk::inline QTK_ABI::avx512
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
