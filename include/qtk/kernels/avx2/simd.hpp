#pragma once

#include <cstddef>
#include <cstdint>

#include "qtk/core/half.hpp"
#include "qtk/cpu/target.hpp"

#if QTK_X86_64
#  include <immintrin.h>

QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
namespace qtk::inline QTK_ABI::avx2 {

/// The `simd` policy of eight lanes; see scalar/simd.hpp for what each member means.
struct simd {
  static constexpr std::size_t width = 8;
  using f32 = __m256;
  using i32 = __m256i;

  static f32 zero() noexcept { return _mm256_setzero_ps(); }
  static f32 set1(float x) noexcept { return _mm256_set1_ps(x); }
  static f32 load(const float* p) noexcept { return _mm256_loadu_ps(p); }
  static void store(float* p, f32 x) noexcept { _mm256_storeu_ps(p, x); }
  static f32 add(f32 a, f32 b) noexcept { return _mm256_add_ps(a, b); }
  static f32 sub(f32 a, f32 b) noexcept { return _mm256_sub_ps(a, b); }
  static f32 mul(f32 a, f32 b) noexcept { return _mm256_mul_ps(a, b); }
  static f32 div(f32 a, f32 b) noexcept { return _mm256_div_ps(a, b); }
  static f32 sqrt(f32 a) noexcept { return _mm256_sqrt_ps(a); }
  static f32 min(f32 a, f32 b) noexcept { return _mm256_min_ps(a, b); }
  static f32 max(f32 a, f32 b) noexcept { return _mm256_max_ps(a, b); }
  static f32 mul_add(f32 a, f32 b, f32 c) noexcept { return _mm256_fmadd_ps(a, b, c); }
  static f32 fused(f32 a, f32 b, f32 c) noexcept { return _mm256_fmadd_ps(a, b, c); }
  static f32 select_negative(f32 x, f32 a, f32 b) noexcept {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, zero(), _CMP_LT_OQ));
  }
  static f32 select_nan(f32 x, f32 a, f32 b) noexcept {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  }
  /// clang calls what holds assembly where the caller has more features.
  QTK_ALWAYS_INLINE static f32 rounded(f32 x) noexcept {
    __asm__("" : "+x"(x));
    return x;
  }
  static f32 abs(f32 x) noexcept { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
  static i32 round(f32 x) noexcept { return _mm256_cvtps_epi32(x); }
  static f32 to_f32(i32 x) noexcept { return _mm256_cvtepi32_ps(x); }
  static i32 set1(std::int32_t x) noexcept { return _mm256_set1_epi32(x); }
  static i32 load(const std::int32_t* p) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void store(std::int32_t* p, i32 x) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x);
  }
  static i32 add(i32 a, i32 b) noexcept { return _mm256_add_epi32(a, b); }
  static i32 sub(i32 a, i32 b) noexcept { return _mm256_sub_epi32(a, b); }
  static i32 mul(i32 a, i32 b) noexcept { return _mm256_mullo_epi32(a, b); }
  static f32 exp2_integer(i32 n) noexcept {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, set1(127)), 23));
  }
  static f32 scale(f32 p, f32 n) noexcept {
    const i32 all = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(all, 1);
    return mul(mul(p, exp2_integer(half)), exp2_integer(sub(all, half)));
  }
  static f32 scale_or_zero(f32 p, f32 shifted) noexcept {
    const i32 exponent = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);  // of NaN: 0
    const i32 bits = _mm256_sub_epi32(_mm256_castps_si256(p), exponent);
    return _mm256_castsi256_ps(_mm256_max_epi32(bits, _mm256_setzero_si256()));
  }
  static f32 select_sign(f32 x, f32 a, f32 b) noexcept { return _mm256_blendv_ps(b, a, x); }
  static f32 copy_sign(f32 magnitude, f32 x) noexcept {
    return _mm256_or_ps(magnitude, _mm256_and_ps(_mm256_set1_ps(-0.0f), x));
  }
  static i32 load_u8(const std::uint8_t* p) noexcept {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  static i32 load_s8(const std::int8_t* p) noexcept {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  /// A quotient with a remainder, exact as a division is: tried for all s and all x near half a
  /// step. A division takes three cycles on Zen 4, this one and a half.
  static f32 quotient(f32 x, f32 s, f32 inverse) noexcept {
    const f32 q = mul(x, inverse);
    return mul_add(_mm256_fnmadd_ps(q, s, x), inverse, q);
  }
  /// What is no int32, NaN as well, becomes the least one; packing saturates.
  template <class Code>
  static void store_codes(Code* p, f32 a, f32 b, f32 c, f32 d, std::int32_t zero_point) noexcept {
    const i32 zero = _mm256_set1_epi16(static_cast<std::int16_t>(zero_point));
    const i32 ab = _mm256_adds_epi16(_mm256_packs_epi32(round(a), round(b)), zero);
    const i32 cd = _mm256_adds_epi16(_mm256_packs_epi32(round(c), round(d)), zero);
    const i32 codes = Code(-1) < Code(0) ? _mm256_packs_epi16(ab, cd) : _mm256_packus_epi16(ab, cd);
    const i32 order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permutevar8x32_epi32(codes, order));
  }
  static f32 load_f16(const half* p) noexcept {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static void store_f16(half* p, f32 x) noexcept {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static f32 load_bf16(const bfloat16* p) noexcept {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static void store_bf16(bfloat16* p, f32 x) noexcept {
    const __m256i u = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), set1(1));
    const __m256i rounded = _mm256_add_epi32(u, _mm256_add_epi32(odd, set1(0x7fff)));
    const __m256i quiet = _mm256_or_si256(u, set1(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i bits = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(p),
        _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1)));
  }
  static f32 load_first(const float* p, std::size_t n) noexcept {
    return _mm256_maskload_ps(p, first(n));
  }
  static void store_first(float* p, f32 x, std::size_t n) noexcept {
    _mm256_maskstore_ps(p, first(n), x);
  }

  static constexpr std::size_t f64_width = 4;
  using f64 = __m256d;
  static f64 zero_f64() noexcept { return _mm256_setzero_pd(); }
  static f64 load_f64(const float* p) noexcept { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
  static void store(double* p, f64 x) noexcept { _mm256_storeu_pd(p, x); }
  static f64 add(f64 a, f64 b) noexcept { return _mm256_add_pd(a, b); }
  static f64 mul_add(f64 a, f64 b, f64 c) noexcept { return _mm256_fmadd_pd(a, b, c); }

 private:
  static i32 first(std::size_t n) noexcept {
    return _mm256_cmpgt_epi32(set1(static_cast<std::int32_t>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

}  // namespace qtk::inline QTK_ABI::avx2
QTK_TARGET_END
#endif
