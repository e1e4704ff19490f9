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
  /// columns; as codes, where there are some, of the strides of floats.
  template <class Sum>
  static void finish(const gemm_finish<Sum>& f, std::size_t columns,
                     const epilogue_codes& codes) noexcept {
    const bool plain =
        f.residual == nullptr && codes.residual == nullptr && f.out->act != activation::leaky_relu;
    if (codes.y != nullptr)
      plain ? finish_rows<Sum, true, true>(f, columns, codes)
            : finish_rows<Sum, false, true>(f, columns, codes);
    else
      plain ? finish_rows<Sum, true, false>(f, columns, codes)
            : finish_rows<Sum, false, false>(f, columns, codes);
  }

 private:
  static __m128i load128(const std::uint8_t* p) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }

  /// quantize() of elementwise_body.inl, on sixteen floats.
  class code_writer {
   public:
    explicit code_writer(const epilogue_codes& codes) noexcept
        : divides_(codes.y_scale < 0x1p-100f || codes.y_scale > 0x1p100f),
          scale_(simd::set1(codes.y_scale)),
          inverse_(simd::set1(1.0f / codes.y_scale)),
          most_(simd::set1(512.0f * codes.y_scale)),
          zero_(simd::set1(codes.y_zero_point)) {}
    void operator()(std::uint8_t* y, __mmask16 mask, simd::f32 x) const noexcept {
      const simd::f32 q = divides_ ? simd::min(simd::set1(512.0f), simd::div(x, scale_))
                                   : simd::quotient(simd::min(most_, x), scale_, inverse_);
      const simd::i32 code = _mm512_max_epi32(simd::add(simd::round(q), zero_), simd::set1(0));
      _mm_mask_storeu_epi8(y, mask, _mm512_cvtusepi32_epi8(code));
    }

   private:
    bool divides_;
    simd::f32 scale_, inverse_, most_;
    simd::i32 zero_;
  };

  template <class Sum, bool Plain, bool Codes>
  static void finish_rows(const gemm_finish<Sum>& given, std::size_t columns,
                          const epilogue_codes& codes) noexcept {
    const gemm_finish<Sum> f = given;  // a store of a vector may alias what is behind a reference
    const epilogue_codes c = codes;
    const code_writer write(c);
    const simd::f32 residual_scale = simd::set1(c.residual_scale);
    const simd::i32 residual_zero = simd::set1(c.residual_zero_point);
    const clamp_bounds clamp = clamp_of(*f.out);
    const bool leaky = f.out->act == activation::leaky_relu;
    const simd::f32 lo = simd::set1(clamp.lo), hi = simd::set1(clamp.hi);
    const simd::f32 alpha = simd::set1(f.out->alpha);
    for (std::size_t i = 0; i < f.rows; ++i) {
      const Sum* const sums = f.sums + i * f.sums_stride;
      float* const y = f.y + i * f.y_stride;
      const float* const residual =
          Plain || f.residual == nullptr ? nullptr : f.residual + i * f.residual_stride;
      const std::uint8_t* const residual_codes =
          Plain || c.residual == nullptr ? nullptr : c.residual + i * f.residual_stride;
      const simd::f32 scale =
          simd::set1(f.a_scales == nullptr ? 1.0f : f.a_scales[i * f.a_scale_stride]);
      // x + -0 is x for every x.
      const simd::f32 bias = simd::set1(f.row_bias == nullptr ? -0.0f : f.row_bias[i]);
      const simd::i32 offset = simd::set1(f.row_offsets == nullptr ? 0 : f.row_offsets[i]);
      for (std::size_t j = 0; j < columns; j += simd::width) {
        const std::size_t left = columns - j;
        const auto mask = static_cast<__mmask16>((1u << (left < simd::width ? left : 16)) - 1);
        simd::f32 x;
        if constexpr (std::is_same_v<Sum, std::int32_t>)
          x = simd::to_f32(simd::sub(simd::load(sums + j), offset));
        else
          x = simd::load(sums + j);
        x = simd::add(simd::rounded(simd::mul(x, scale)), bias);
        if (!Plain && residual != nullptr)
          x = simd::add(x, _mm512_maskz_loadu_ps(mask, residual + j));
        if (!Plain && residual_codes != nullptr) {
          const __m128i r = _mm_maskz_loadu_epi8(mask, residual_codes + j);
          const simd::i32 centered = simd::sub(_mm512_cvtepu8_epi32(r), residual_zero);
          x = simd::add(x, simd::rounded(simd::mul(simd::to_f32(centered), residual_scale)));
        }
        x = !Plain && leaky ? simd::select_negative(x, simd::mul(alpha, x), x)
                            : simd::min(hi, simd::max(lo, x));
        if constexpr (Codes)
          write(c.y + i * f.y_stride + j, mask, x);
        else
          _mm512_mask_storeu_ps(y + j, mask, x);
      }
    }
  }
};

}  // namespace qtk::inline QTK_ABI::avx512
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
