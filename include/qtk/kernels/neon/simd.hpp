#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qtk/core/config.hpp"
#include "qtk/core/half.hpp"

#if QTK_AARCH64
#  include <arm_neon.h>

namespace qtk::inline QTK_ABI::neon {

/// The part of the `simd` policy that the GEMM bodies use (elementwise kernels come from xsimd);
/// see scalar/simd.hpp for what each member means. AArch64 baseline.
struct simd {
  static constexpr std::size_t width = 4;
  using f32 = float32x4_t;
  using i32 = int32x4_t;

  static f32 zero() noexcept { return vdupq_n_f32(0.0f); }
  static f32 set1(float x) noexcept { return vdupq_n_f32(x); }
  static f32 load(const float* p) noexcept { return vld1q_f32(p); }
  static void store(float* p, f32 x) noexcept { vst1q_f32(p, x); }
  static f32 add(f32 a, f32 b) noexcept { return vaddq_f32(a, b); }
  static f32 mul(f32 a, f32 b) noexcept { return vmulq_f32(a, b); }
  static f32 mul_add(f32 a, f32 b, f32 c) noexcept { return vfmaq_f32(c, a, b); }
  // Not vminq and vmaxq: NaN in either operand is their result.
  static f32 min(f32 a, f32 b) noexcept { return vbslq_f32(vcltq_f32(a, b), a, b); }
  static f32 max(f32 a, f32 b) noexcept { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static f32 select_negative(f32 x, f32 a, f32 b) noexcept {
    return vbslq_f32(vcltq_f32(x, zero()), a, b);
  }
  QTK_ALWAYS_INLINE static f32 rounded(f32 x) noexcept {
    __asm__("" : "+w"(x));
    return x;
  }
  static f32 to_f32(i32 x) noexcept { return vcvtq_f32_s32(x); }
  static i32 set1(std::int32_t x) noexcept { return vdupq_n_s32(x); }
  static i32 load(const std::int32_t* p) noexcept { return vld1q_s32(p); }
  static void store(std::int32_t* p, i32 x) noexcept { vst1q_s32(p, x); }
  static i32 load_s8(const std::int8_t* p) noexcept {
    std::int32_t four;
    std::memcpy(&four, p, sizeof four);
    return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)))));
  }
  static i32 add(i32 a, i32 b) noexcept { return vaddq_s32(a, b); }
  static i32 sub(i32 a, i32 b) noexcept { return vsubq_s32(a, b); }
  static i32 mul(i32 a, i32 b) noexcept { return vmulq_s32(a, b); }
  static f32 load_bf16(const bfloat16* p) noexcept {
    uint16x4_t bits;
    std::memcpy(&bits, p, sizeof bits);
    return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
  }
  static void store_bf16(bfloat16* p, f32 x) noexcept {
    const uint32x4_t u = vreinterpretq_u32_f32(x);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    const uint32x4_t quiet = vorrq_u32(u, vdupq_n_u32(0x400000));
    const uint16x4_t bits = vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), rounded, quiet), 16);
    std::memcpy(static_cast<void*>(p), &bits, sizeof bits);
  }
};

}  // namespace qtk::inline QTK_ABI::neon
#endif
