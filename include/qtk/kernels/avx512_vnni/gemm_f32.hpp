#pragma once

#include <algorithm>
#include <bit>
#include <limits>

#include "qtk/kernels/avx512_vnni/gemm_s8s4.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512_VNNI)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512_vnni {

/// int8 rows times int8 codes, stored plus 128: vpdpbusd's unsigned operand. A step of codes is 64
/// bytes, 4 k of 16 columns.
struct int8_steps {
  static constexpr std::size_t nr = 16, kr = 4, step_bytes = nr * kr;

  static constexpr std::size_t order(std::size_t j, std::size_t k) { return j * kr + k; }

  /// dots += the products of k elements.
  template <std::size_t Rows, std::size_t Panels>
  QTK_ALWAYS_INLINE static void run(const std::int8_t* a, const std::byte* codes,
                                    std::size_t panel_bytes, fetch_stream& fetch, std::size_t k,
                                    __m512i (&dots)[Rows][Panels]) {
    for (; k != 0; k -= kr, a += kr * Rows, codes += step_bytes) {
      // Every line, also of eight panels: three products for each leave the time (M = 1: 92 instead
      // of 84 % of the bandwidth).
      fetch.template advance<Panels, step_bytes, 16>();
      __m512i w[Panels];
      QTK_UNROLL
      for (std::size_t j = 0; j < Panels; ++j) w[j] = _mm512_loadu_si512(codes + j * panel_bytes);
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        const __m512i x = broadcast4(a + i * kr);
        QTK_UNROLL
        for (std::size_t j = 0; j < Panels; ++j)
          dots[i][j] = _mm512_dpbusd_epi32(dots[i][j], w[j], x);
      }
    }
  }
};

/// fp32 rows as three digits to the base 256 times codes, whose products are exact integers:
/// vpdpbusd multiplies four times as much as an FMA, so that three digits take 3/4 of its time and
/// codes needn't be widened. Within a block of k of one row
///
///   a = unit * v,  v = rint(a / unit) = 65536 d0 + 256 d1 + d2,  -128 <= d <= 127
///   sum of a * code = unit * (65536 * sum of d0 * code + (256 * sum of d1 * code + ...))
///
/// with the power of two as unit that |v| <= 0x7f7f7f takes. `Steps` multiplies digits and codes.
template <gemm_op Op, class Steps>
struct gemm_f32_digits : Steps {
  using Steps::kr, Steps::nr, Steps::step_bytes;
  static constexpr gemm_op op = Op;
  static constexpr isa target = isa::avx512_vnni;
  static constexpr const char* name =
      Op == gemm_op::f32_s8 ? "gemm_f32s8f32_4x32c4" : "gemm_f32s4f32_4x32c8";
  static constexpr std::size_t mr = 4, mc = 96;
  /// A row waits for memory, which brings whole rows of panels faster than parts of them (M = 2,
  /// int8: 94 instead of 73 % of the FMA peak with kc = 1024); many rows don't mind.
  static constexpr std::size_t kc = 4096;
  using a_packed = std::int8_t;
  /// The digits of a row are rows of packed A, and those of a block have one unit. Blocks of 256 at
  /// most: 256 * sum of d1 * (code - zero_point) and the same of d2 fit int32 together.
  static constexpr std::size_t digits = 3, block = max_split_k;
  /// A row of int8 waits for memory, and more panels have more of it under way (95 instead of 77 %
  /// of the bandwidth); two registers each, those of int4 are better four (83 instead of 79 %).
  static constexpr std::size_t panels(std::size_t rows) {
    return rows == 1 && Op == gemm_op::f32_s8 ? 8 : rows <= 2 ? 4 : 2;
  }

  /// Digits of n <= block floats, step s of kr at out + s * stride: kr of each digit. NaN as unit
  /// where a float is not finite.
  static digit_block split(std::size_t n, const float* x, std::int8_t* out, std::size_t stride) {
    __m512i most = _mm512_setzero_si512();
    for (std::size_t i = 0; i < n; i += 16)
      most = _mm512_max_epi32(most, _mm512_castps_si512(_mm512_abs_ps(load(x + i, n - i))));
    const auto bits = static_cast<std::uint32_t>(_mm512_reduce_max_epi32(most));
    // Carries where v would pass 0x7f7f7f. Below 2^-100 the unit stays what it is there.
    const std::uint32_t exponent = std::max((bits + 0x10101) >> 23, 27u);
    const float inverse = std::bit_cast<float>((276 - exponent) << 23);
    const __m512i halves = _mm512_set1_epi32(0x808080);
    // In each lane d0 of four floats, d1, d2: for steps of 8, pairs of lanes side by side.
    const __m512i bytes =
        _mm512_broadcast_i32x4(_mm_setr_epi8(2, 6, 10, 14, 1, 5, 9, 13, 0, 4, 8, 12, 3, 7, 11, 15));
    const __m512i pairs = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    __m512i total = _mm512_setzero_si512();
    for (std::size_t i = 0; i < n; i += 16) {
      const __m512i v = simd::round(_mm512_mul_ps(load(x + i, n - i), _mm512_set1_ps(inverse)));
      // Bytes of v + 0x808080, less 128 each, are the digits.
      const __m512i d =
          _mm512_shuffle_epi8(_mm512_xor_si512(_mm512_add_epi32(v, halves), halves), bytes);
      total = _mm512_dpbusd_epi32(total, _mm512_set1_epi8(1), d);
      store_steps(kr == 8 ? _mm512_permutexvar_epi32(pairs, d) : d, n - i, out + i / kr * stride,
                  stride);
    }
    const __m256i two =
        _mm256_add_epi32(_mm512_castsi512_si256(total), _mm512_extracti64x4_epi64(total, 1));
    const __m128i one =
        _mm_add_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
    constexpr std::int32_t middle = 1 << (gemm_op_traits<Op>::weight_bits - 1);
    return {bits >= 0x7f800000 ? std::numeric_limits<float>::quiet_NaN()
                               : std::bit_cast<float>((exponent - 22) << 23),
            -middle * _mm_cvtsi128_si32(one),
            -middle * (256 * _mm_extract_epi32(one, 1) + _mm_extract_epi32(one, 2))};
  }

  /// Blocks: c += unit * (sum of v * (code - zero_point)) * scale, in ascending order.
  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int8_t, float>& t) {
    constexpr std::size_t header_bytes = nr * gemm_op_traits<Op>::header_bytes;
    if (!t.accumulate)
      for (std::size_t i = 0; i < Rows * Panels; ++i) _mm512_storeu_ps(t.c + i * nr, simd::zero());
    const std::int8_t* a = t.a;
    const digit_block* row = t.a_blocks;
    const std::byte* group = t.b;
    float* c = t.c;
    fetch_stream fetch = t.fetch;
    std::size_t skip = t.skip;
    for (std::size_t left = t.k; left != 0; group += t.group_bytes, skip = 0) {
      std::size_t in_group = left < t.group_k - skip ? left : t.group_k - skip;
      left -= in_group;
      const std::byte* codes = group + header_bytes + skip / kr * step_bytes;
      fetch.template advance<Panels, header_bytes>();
      while (in_group != 0) {
        std::size_t length = in_group < block ? in_group : block;
        in_group -= length;
        // g++ 12 keeps c in registers, and spills those; and the dots, where it knows that there is
        // a step (as from std::min).
        __asm__("" : "+r"(c), "+r"(length));
        __m512i dots[digits * Rows][Panels];
        QTK_UNROLL
        for (std::size_t i = 0; i < digits * Rows; ++i) {
          QTK_UNROLL
          for (std::size_t j = 0; j < Panels; ++j) dots[i][j] = _mm512_setzero_si512();
        }
        Steps::template run<digits * Rows, Panels>(a, codes, t.panel_bytes, fetch, length, dots);
        QTK_UNROLL
        for (std::size_t i = 0; i < digits * Rows; ++i) {
          QTK_UNROLL
          for (std::size_t j = 0; j < Panels; ++j) __asm__("" : "+v"(dots[i][j]));
        }
        if (!t.symmetric) subtract_zero_points(row, group, t.panel_bytes, dots);
        QTK_UNROLL
        for (std::size_t j = 0; j < Panels; ++j) {
          const __m512 scale = _mm512_loadu_ps(group + j * t.panel_bytes);
          QTK_UNROLL
          for (std::size_t i = 0; i < Rows; ++i) {
            const std::size_t d = digits * i;
            const __m512i high = simd::add(dots[d][j], simd::set1(row[i].high));
            const __m512i low = simd::add(_mm512_slli_epi32(dots[d + 1][j], 8),
                                          simd::add(dots[d + 2][j], simd::set1(row[i].low)));
            const __m512 sum =
                simd::mul_add(simd::to_f32(high), simd::set1(65536.0f), simd::to_f32(low));
            float* const to = c + (i * Panels + j) * nr;
            simd::store(
                to, simd::mul_add(simd::mul(sum, simd::set1(row[i].unit)), scale, simd::load(to)));
          }
        }
        a += digits * Rows * length;
        codes += length / kr * step_bytes;
        row += Rows;
      }
    }
  }
  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }

 private:
  static __m512 load(const float* x, std::size_t n) {
    return n >= 16 ? simd::load(x) : simd::load_first(x, n);
  }
  /// Steps of n floats, 16 at most: three words of each lane, or six of each pair.
  static void store_steps(__m512i d, std::size_t n, std::int8_t* out, std::size_t stride) {
    if constexpr (kr == 8) {
      _mm256_mask_storeu_epi32(out, 0x3f, _mm512_castsi512_si256(d));
      if (n > 8) _mm256_mask_storeu_epi32(out + stride, 0x3f, _mm512_extracti64x4_epi64(d, 1));
    } else {
      _mm_mask_storeu_epi32(out, 7, _mm512_castsi512_si128(d));
      if (n > 4) _mm_mask_storeu_epi32(out + stride, 7, _mm512_extracti32x4_epi32(d, 1));
      if (n > 8) _mm_mask_storeu_epi32(out + 2 * stride, 7, _mm512_extracti32x4_epi32(d, 2));
      if (n > 12) _mm_mask_storeu_epi32(out + 3 * stride, 7, _mm512_extracti32x4_epi32(d, 3));
    }
  }

  /// What zero points differ from the middle of the stored codes.
  template <std::size_t Rows, std::size_t Panels>
  QTK_ALWAYS_INLINE static void subtract_zero_points(const digit_block* row, const std::byte* group,
                                                     std::size_t panel_bytes,
                                                     __m512i (&dots)[Rows][Panels]) {
    constexpr std::int32_t middle = 1 << (gemm_op_traits<Op>::weight_bits - 1);
    QTK_UNROLL
    for (std::size_t j = 0; j < Panels; ++j) {
      const auto* const stored =
          reinterpret_cast<const std::int8_t*>(group + j * panel_bytes + nr * sizeof(float));
      const __m512i beyond = simd::sub(
          simd::load_s8(stored), simd::set1(std::int32_t{Op == gemm_op::f32_s4 ? middle : 0}));
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows / digits; ++i) {
        const auto subtract = [&](__m512i& dot, std::int32_t sum) {
          dot = simd::add(dot, simd::mul(simd::set1(sum / middle), beyond));
        };
        subtract(dots[digits * i][j], row[i].high);
        subtract(dots[digits * i + 2][j], row[i].low);
      }
    }
  }
};

using gemm_f32s8f32_4x32c4 = gemm_f32_digits<gemm_op::f32_s8, int8_steps>;
using gemm_f32s4f32_4x32c8 = gemm_f32_digits<gemm_op::f32_s4, int4_steps>;

}  // namespace qtk::inline QTK_ABI::avx512_vnni
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
