#pragma once

#include "qtk/kernels/avx512/simd.hpp"
#include "qtk/kernels/conv_plain.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512 {

/// What conv_plain does, by vectors of 16 pixels: packing and storing were a third of the time
/// where K is 32 or there are 16 filters.
struct conv_parts {
  /// Packs whole steps: kr = 1.
  static void pack(const float* image, const std::size_t* offsets, std::size_t packed_k,
                   const pixel_run* runs, std::size_t count, float* out) noexcept {
    if (count == 1) {
      const float* const from = image + runs[0].from;
      for (std::size_t k = 0; k < packed_k; ++k, out += 16) {
        _mm_prefetch(reinterpret_cast<const char*>(from + offsets[k] + 32), _MM_HINT_T0);
        _mm512_store_ps(out, _mm512_loadu_ps(from + offsets[k]));
      }
      return;
    }
    // Each run replaces the lanes from its first one on: one aligned store.
    for (std::size_t k = 0; k < packed_k; ++k, out += 16) {
      const float* const from = image + offsets[k];
      __m512 x = _mm512_loadu_ps(from + runs[0].from);
      for (std::size_t r = 1; r < count; ++r)
        x = _mm512_mask_loadu_ps(x, static_cast<__mmask16>(0xffffu << runs[r].at),
                                 from + runs[r].from - runs[r].at);
      _mm512_store_ps(out, x);
    }
  }

  /// The same for codes: kr = 4.
  static void pack(const std::uint8_t* image, const std::size_t* offsets, std::size_t packed_k,
                   const pixel_run* runs, std::size_t count, std::uint8_t* out) noexcept {
    for (std::size_t k = 0; k < packed_k; k += 4, out += 64)
      for (std::size_t r = 0; r < count; ++r) {
        const std::uint8_t* const from = image + runs[r].from;
        __m512i x = _mm512_castsi128_si512(load128(from + offsets[k]));
        x = _mm512_inserti32x4(x, load128(from + offsets[k + 1]), 1);
        x = _mm512_inserti32x4(x, load128(from + offsets[k + 2]), 2);
        x = _mm512_inserti32x4(x, load128(from + offsets[k + 3]), 3);
        // Four pixels of each k to one lane, then a pixel's four k side by side.
        x = _mm512_permutexvar_epi32(
            _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), x);
        x = _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2,
                                                                        6, 10, 14, 3, 7, 11, 15)));
        _mm512_storeu_si512(out + runs[r].at * 4, x);
      }
  }

  /// Sums of all filters of some tiles (filter_tiles::most, 16) for one pixel of a panel: the
  /// filters of a tile lie along the vector, where the microkernel would compute 16 pixels.
  static void one_pixel(const filter_tiles<float>& tiles, const float* pixel, std::size_t packed_k,
                        float* sums) noexcept {
    __m512 acc[filter_tiles<float>::most];
    QTK_UNROLL
    for (__m512& x : acc) x = _mm512_setzero_ps();
    const filter_tiles<float> t = tiles;
    for (std::size_t k = 0; k < packed_k; ++k) {
      const __m512 x = _mm512_set1_ps(pixel[k * 16]);
      QTK_UNROLL
      for (std::size_t i = 0; i < t.most; ++i) {
        const auto rows = static_cast<__mmask16>((1u << t.rows[i]) - 1);
        acc[i] = _mm512_fmadd_ps(x, _mm512_maskz_loadu_ps(rows, t.a[i] + k * t.rows[i]), acc[i]);
      }
    }
    QTK_UNROLL
    for (std::size_t i = 0; i < t.most; ++i) _mm512_storeu_ps(sums + i * 16, acc[i]);
  }

  /// Stores `columns` of a tile as gemm_finish says, which has no scales and zero points of
  /// columns, and for int32 sums scales of rows, side by side, and offsets; as codes, where there
  /// are some, of the strides of floats.
  template <class Sum>
  static void finish(const gemm_finish<Sum>& f, std::size_t columns,
                     const epilogue_codes& codes) noexcept {
    const bool plain =
        f.residual == nullptr && codes.residual == nullptr && f.out->act != activation::leaky_relu;
    if (codes.y == nullptr)
      plain ? finish_rows<Sum, true>(f, columns, codes)
            : finish_rows<Sum, false>(f, columns, codes);
    else if (codes.y_scale == 1.0f)
      plain ? finish_codes<Sum, true, true>(f, columns, codes)
            : finish_codes<Sum, false, true>(f, columns, codes);
    else
      plain ? finish_codes<Sum, true, false>(f, columns, codes)
            : finish_codes<Sum, false, false>(f, columns, codes);
  }

 private:
  static __m128i load128(const std::uint8_t* p) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }

  /// quantize() of quantize_body.inl, two rows of 32 codes at a time. `Rounds`: of scale 1.
  template <bool Rounds>
  class code_writer {
   public:
    explicit code_writer(const epilogue_codes& codes) noexcept
        : divides_(codes.y_scale < 0x1p-100f || codes.y_scale > 0x1p100f),
          scale_(simd::set1(codes.y_scale)),
          inverse_(simd::set1(1.0f / codes.y_scale)),
          zero_(_mm512_set1_epi16(static_cast<std::int16_t>(codes.y_zero_point))) {}
    /// Codes of `count` floats of each row, 32 at most and none above row_finish has them: 16 and
    /// the others.
    QTK_ALWAYS_INLINE void operator()(std::uint8_t* const (&y)[2], std::size_t count,
                                      const simd::f32 (&x)[2][2]) const noexcept {
      const simd::i32 order =
          _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
      const simd::i32 codes = _mm512_permutexvar_epi32(
          order, _mm512_packus_epi16(words(x[0][0], x[0][1]), words(x[1][0], x[1][1])));
      store(y[0], count, _mm512_castsi512_si256(codes));
      store(y[1], count, _mm512_extracti64x4_epi64(codes, 1));
    }

   private:
    simd::i32 words(simd::f32 a, simd::f32 b) const noexcept {
      return _mm512_adds_epi16(_mm512_packs_epi32(round(a), round(b)), zero_);
    }
    simd::i32 round(simd::f32 x) const noexcept {
      return simd::round(Rounds     ? x
                         : divides_ ? simd::div(x, scale_)
                                    : simd::quotient(x, scale_, inverse_));
    }
    QTK_ALWAYS_INLINE static void store(std::uint8_t* y, std::size_t count,
                                        __m256i codes) noexcept {
      if (count == 32)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(y), codes);
      else
        _mm256_mask_storeu_epi8(y, (1u << count) - 1, codes);
    }
    bool divides_;
    simd::f32 scale_, inverse_;
    simd::i32 zero_;
  };

  /// A row of sums as what is written: `Plain` without residual and leaky_relu.
  template <class Sum, bool Plain>
  class row_finish {
   public:
    row_finish(const gemm_finish<Sum>& f, const epilogue_codes& codes) noexcept
        : leaky_(f.out->act == activation::leaky_relu),
          lo_(simd::set1(clamp_of(*f.out).lo)),
          hi_(simd::min(simd::set1(clamp_of(*f.out).hi), simd::set1(most(codes)))),
          alpha_(simd::set1(f.out->alpha)),
          residual_scale_(simd::set1(codes.residual_scale)),
          residual_zero_(simd::set1(codes.residual_zero_point)) {}

    QTK_ALWAYS_INLINE void begin(const gemm_finish<Sum>& f, const epilogue_codes& codes,
                                 std::size_t i) noexcept {
      sums_ = f.sums + i * f.sums_stride;
      residual_ = f.residual == nullptr ? nullptr : f.residual + i * f.residual_stride;
      residual_codes_ =
          codes.residual == nullptr ? nullptr : codes.residual + i * f.residual_stride;
      if constexpr (std::is_same_v<Sum, std::int32_t>) {
        scale_ = simd::set1(f.a_scales[i]);
        offset_ = simd::set1(f.row_offsets[i]);
      }
      // x + -0 is x for every x.
      bias_ = simd::set1(f.row_bias == nullptr ? -0.0f : f.row_bias[i]);
    }

    QTK_ALWAYS_INLINE simd::f32 operator()(std::size_t j, __mmask16 mask) const noexcept {
      simd::f32 x;
      if constexpr (std::is_same_v<Sum, std::int32_t>)
        x = simd::rounded(
            simd::mul(simd::to_f32(simd::sub(simd::load(sums_ + j), offset_)), scale_));
      else
        x = simd::load(sums_ + j);
      x = simd::add(x, bias_);
      if (!Plain && residual_ != nullptr)
        x = simd::add(x, _mm512_maskz_loadu_ps(mask, residual_ + j));
      if (!Plain && residual_codes_ != nullptr) {
        const __m128i codes = mask == 0xffff ? load128(residual_codes_ + j)
                                             : _mm_maskz_loadu_epi8(mask, residual_codes_ + j);
        const simd::i32 centered = simd::sub(_mm512_cvtepu8_epi32(codes), residual_zero_);
        x = simd::add(x, simd::rounded(simd::mul(simd::to_f32(centered), residual_scale_)));
      }
      return simd::min(hi_, !Plain && leaky_ ? simd::select_negative(x, simd::mul(alpha_, x), x)
                                             : simd::max(lo_, x));
    }

   private:
    /// What is larger has the largest code, whatever the zero point.
    [[nodiscard]] static float most(const epilogue_codes& codes) noexcept {
      return codes.y == nullptr ? __builtin_inff() : 512.0f * codes.y_scale;
    }

    bool leaky_;
    simd::f32 lo_, hi_, alpha_, residual_scale_, scale_, bias_;
    simd::i32 residual_zero_, offset_;
    const Sum* sums_;
    const float* residual_;
    const std::uint8_t* residual_codes_;
  };

  [[nodiscard]] static __mmask16 first(std::size_t n) noexcept {
    return static_cast<__mmask16>((1u << (n < simd::width ? n : simd::width)) - 1);
  }

  // `given` is copied: a store of a vector may alias what is behind a reference.

  template <class Sum, bool Plain>
  static void finish_rows(const gemm_finish<Sum>& given, std::size_t columns,
                          const epilogue_codes& codes) noexcept {
    const gemm_finish<Sum> f = given;
    row_finish<Sum, Plain> row(f, codes);
    for (std::size_t i = 0; i < f.rows; ++i) {
      row.begin(f, codes, i);
      float* const y = f.y + i * f.y_stride;
      for (std::size_t j = 0; j < columns; j += simd::width) {
        const __mmask16 mask = first(columns - j);
        _mm512_mask_storeu_ps(y + j, mask, row(j, mask));
      }
    }
  }

  template <class Sum, bool Plain, bool Rounds>
  static void finish_codes(const gemm_finish<Sum>& given, std::size_t columns,
                           const epilogue_codes& codes) noexcept {
    const gemm_finish<Sum> f = given;
    const epilogue_codes c = codes;
    const code_writer<Rounds> write(c);
    row_finish<Sum, Plain> row(f, c), next(f, c);
    for (std::size_t i = 0; i < f.rows; i += 2) {
      const std::size_t other = i + 1 < f.rows ? i + 1 : i;  // the last one twice
      row.begin(f, c, i);
      next.begin(f, c, other);
      std::uint8_t* const y[2] = {c.y + i * f.y_stride, c.y + other * f.y_stride};
      for (std::size_t j = 0, n; j < columns; j += n) {
        n = columns - j < 32 ? columns - j : 32;
        const std::size_t half = n > simd::width ? simd::width : 0;
        const __mmask16 a = first(n), b = first(n - half);
        write({y[0] + j, y[1] + j}, n,
              {{row(j, a), row(j + half, b)}, {next(j, a), next(j + half, b)}});
      }
    }
  }
};

}  // namespace qtk::inline QTK_ABI::avx512
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
