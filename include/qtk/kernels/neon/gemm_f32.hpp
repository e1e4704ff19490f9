#pragma once

#include "qtk/kernels/neon/gemm_tile.hpp"

#if QTK_AARCH64
namespace qtk::inline QTK_ABI::neon {

/// Sixteen weights of one k as four vectors of fp32.
template <gemm_op Op>
struct f32_weights {
  static constexpr std::size_t nr = 16;
  using plain = f32_weights<gemm_op::f32_f32>;
  static constexpr std::size_t step_bytes = nr * gemm_op_traits<Op>::weight_bits / 8;
  static constexpr std::size_t header_bytes = nr * gemm_op_traits<Op>::header_bytes;

  static void load(const std::byte* codes, const std::byte* header, float32x4_t* w) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(codes);
    if constexpr (Op == gemm_op::f32_f32) {
      QTK_UNROLL
      for (std::size_t v = 0; v < 4; ++v) w[v] = vreinterpretq_f32_u8(vld1q_u8(bytes + 16 * v));
    } else if constexpr (Op == gemm_op::f32_f16) {
      QTK_UNROLL
      for (std::size_t v = 0; v < 4; ++v)
        w[v] = vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(bytes + 8 * v)));
    } else if constexpr (gemm_op_traits<Op>::bf16) {
      QTK_UNROLL
      for (std::size_t v = 0; v < 4; ++v)
        w[v] = vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(bytes + 8 * v)), 16));
    } else if constexpr (Op == gemm_op::f32_s8) {
      dequantize(vreinterpretq_s8_u8(vld1q_u8(bytes)), header, w);
    } else {
      const uint8x8_t both = vld1_u8(bytes);
      dequantize(vreinterpretq_s8_u8(vcombine_u8(vand_u8(both, vdup_n_u8(15)), vshr_n_u8(both, 4))),
                 header, w);
    }
  }
  static constexpr std::size_t order(std::size_t j) {
    return Op == gemm_op::f32_s4 ? j % 8 * 2 + j / 8 : j;
  }

 private:
  /// scale * (code - zero_point): the same floats as dequantize() gives.
  static void dequantize(int8x16_t codes, const std::byte* header, float32x4_t* w) {
    const int8x16_t zero_points =
        vld1q_s8(reinterpret_cast<const std::int8_t*>(header + nr * sizeof(float)));
    const int16x8_t lo = vsubl_s8(vget_low_s8(codes), vget_low_s8(zero_points));
    const int16x8_t hi = vsubl_s8(vget_high_s8(codes), vget_high_s8(zero_points));
    const auto* scales = reinterpret_cast<const float*>(header);
    w[0] = vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(lo))), vld1q_f32(scales));
    w[1] = vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(lo))), vld1q_f32(scales + 4));
    w[2] = vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(hi))), vld1q_f32(scales + 8));
    w[3] = vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(hi))), vld1q_f32(scales + 12));
  }
};

#  include "../gemm_f32_body.inl"

/// 6 x 16: 24 accumulators, 4 vectors of weights and a broadcast of 32 registers.
struct f32_6x16 {
  static constexpr isa target = isa::neon;
  static constexpr std::size_t mr = 6, nr = 16, mc = 144, kc = 256, direct_rows = 3;
  static constexpr const char* names[] = {"gemm_f32f32f32_6x16",  "gemm_f32f16f32_6x16",
                                          "gemm_f32bf16f32_6x16", "gemm_f32s8f32_6x16",
                                          "gemm_f32s4f32_6x16",   "gemm_bf16bf16f32_6x16"};
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t grouped_panels(std::size_t) { return 1; }
};

/// The rows are multiplied by lane, four of them to a register: the shared body's broadcasts take a
/// register each, and g++ 12 then spills accumulators.
template <gemm_op Op>
struct gemm_f32_6x16 : gemm_f32<Op, f32_6x16, f32_weights<Op>> {
  using weights = f32_weights<Op>;
  using widened = gemm_f32_6x16<gemm_op::f32_f32>;

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<float, float>& t) {
    constexpr std::size_t columns = 4 * Panels, at_once = whole_steps(Rows, sizeof(float));
    float32x4_t acc[Rows][columns];
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j)
        acc[i][j] = t.accumulate ? vld1q_f32(t.c + (i * columns + j) * 4) : vdupq_n_f32(0.0f);
    }
    const float* a = t.a;
    const std::byte* group = t.b;
    std::size_t skip = t.skip;
    for (std::size_t left = t.k; left != 0; group += t.group_bytes, skip = 0) {
      std::size_t length = left;
      if constexpr (weights::header_bytes != 0)
        length = left < t.group_k - skip ? left : t.group_k - skip;
      left -= length;
      const std::byte* codes = group + weights::header_bytes + skip * weights::step_bytes;
      for (; length >= at_once; length -= at_once) {
        add_steps(acc, a, codes, group, t.panel_bytes, std::make_index_sequence<at_once>{});
        a += at_once * Rows;
        codes += at_once * weights::step_bytes;
      }
      for (; length != 0; --length, a += Rows, codes += weights::step_bytes)
        add_steps(acc, a, codes, group, t.panel_bytes, std::index_sequence<0>{});
    }
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j) vst1q_f32(t.c + (i * columns + j) * 4, acc[i][j]);
    }
  }

 private:
  // Inlined at any price, or clang leaves `acc` in memory.
  template <std::size_t Rows, std::size_t Columns, std::size_t... Step>
  [[gnu::always_inline]] static void add_steps(float32x4_t (&acc)[Rows][Columns], const float* a,
                                               const std::byte* codes, const std::byte* group,
                                               std::size_t panel_bytes,
                                               std::index_sequence<Step...>) {
    int8x16_t x[ceil_div(sizeof...(Step) * Rows, 4)];  // fp32
    load_step<4 * sizeof...(Step) * Rows>(a, x);
    (add_step<Step * Rows>(acc, codes + Step * weights::step_bytes, group, panel_bytes, x), ...);
  }
  /// One k, whose rows' values begin with the one numbered `First` in `x`.
  template <std::size_t First, std::size_t Rows, std::size_t Columns>
  [[gnu::always_inline]] static void add_step(float32x4_t (&acc)[Rows][Columns],
                                              const std::byte* codes, const std::byte* group,
                                              std::size_t panel_bytes, const int8x16_t* x) {
    QTK_UNROLL
    for (std::size_t j = 0; j < Columns; j += 4) {
      float32x4_t w[4];
      weights::load(codes + j / 4 * panel_bytes, group + j / 4 * panel_bytes, w);
      add_products<First>(acc, j, w, x, std::make_index_sequence<4 * Rows>{});
    }
  }
  /// Four vectors of columns of all rows.
  template <std::size_t First, std::size_t Rows, std::size_t Columns, std::size_t... I>
  [[gnu::always_inline]] static void add_products(float32x4_t (&acc)[Rows][Columns], std::size_t j,
                                                  const float32x4_t* w, const int8x16_t* x,
                                                  std::index_sequence<I...>) {
    ((acc[I % Rows][j + I / Rows] = mul_add<(First + I % Rows) % 4>(
          acc[I % Rows][j + I / Rows], w[I / Rows], x[(First + I % Rows) / 4])),
     ...);
  }
  /// Volatile, or g++ 12 loads so far ahead that accumulators have to be spilled.
  template <std::size_t Lane>
  static float32x4_t mul_add(float32x4_t sum, float32x4_t w, int8x16_t x) {
    __asm__ volatile("fmla %0.4s, %1.4s, %2.s[%3]" : "+w"(sum) : "w"(w), "w"(x), "i"(Lane));
    return sum;
  }
};

}  // namespace qtk::inline QTK_ABI::neon
#endif
