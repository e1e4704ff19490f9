#pragma once

#include <cmath>
#include <cstring>

#include "qtk/core/half.hpp"
#include "qtk/core/int4.hpp"
#include "qtk/kernels/conv_types.hpp"

/// The specification of every product and convolution: one element at a time, in double and int64.
/// Slow on purpose; tests and `qtk selftest` compare the kernels with it.
namespace qtk::inline QTK_ABI::reference {

/// Code or value of W at (n, k), widened exactly; scales and zero points not applied.
[[nodiscard]] inline double weight_code(gemm_op op, const gemm_weights& w, std::size_t n,
                                        std::size_t k) noexcept {
  const std::size_t at = n * w.row_stride + k;
  switch (op) {
    case gemm_op::f32_f32:
      return double{static_cast<const float*>(w.data)[at]};
    case gemm_op::f32_f16:
      return double{to_float(static_cast<const half*>(w.data)[at])};
    case gemm_op::f32_bf16:
    case gemm_op::bf16_bf16:
      return double{to_float(static_cast<const bfloat16*>(w.data)[at])};
    case gemm_op::f32_s8:
    case gemm_op::u8_s8:
      return static_cast<const std::int8_t*>(w.data)[at];
    case gemm_op::f32_s4:
    case gemm_op::s8_s4_channel:
    case gemm_op::s8_s4:
      break;
  }
  const auto* row = static_cast<const std::uint8_t*>(w.data) + n * nibble::bytes_for(w.row_stride);
  return w.unsigned_codes ? nibble::load_u4(row, k) : nibble::load_s4(row, k);
}

/// Index of the scale of (n, k).
[[nodiscard]] inline std::size_t weight_group(const gemm_weights& w, std::size_t n,
                                              std::size_t k) noexcept {
  const std::size_t group = w.group_size == 0 ? w.K : w.group_size;
  return n * (w.K / group + (w.K % group != 0)) + k / group;
}

/// Code or value of A at (m, k).
[[nodiscard]] inline double row_code(gemm_op op, const gemm_args& args, std::size_t m,
                                     std::size_t k) noexcept {
  const std::size_t at = m * args.lda + k;
  if (op == gemm_op::u8_s8) return static_cast<const std::uint8_t*>(args.a)[at];
  if (is_integer(op)) return static_cast<const std::int8_t*>(args.a)[at];
  const float a = static_cast<const float*>(args.a)[at];
  return double{op == gemm_op::bf16_bf16 ? to_float(to_bfloat16(a)) : a};
}

/// u8_s8 and s8_s4_channel: sum over k of (a - a_zero_point) * (w - w_zero_point), the number that
/// c_int receives.
[[nodiscard]] inline std::int64_t integer_product(gemm_op op, const gemm_weights& w,
                                                  const gemm_args& args, std::size_t m,
                                                  std::size_t n) noexcept {
  const std::int64_t zero =
      args.a_zero_points == nullptr ? 0 : args.a_zero_points[m * args.a_scale_stride];
  const std::int64_t w_zero = w.zero_points == nullptr ? 0 : w.zero_points[weight_group(w, n, 0)];
  std::int64_t sum = 0;
  for (std::size_t k = 0; k < args.K; ++k)
    sum += (static_cast<std::int64_t>(row_code(op, args, m, k)) - zero) *
           (static_cast<std::int64_t>(weight_code(op, w, n, k)) - w_zero);
  return sum;
}

/// Element (m, n) of C, and the sum of the magnitudes that were added: the scale of its error.
struct element {
  double value = 0, magnitude = 0;

  void add(double x) noexcept {
    value += x;
    magnitude += std::abs(x);
  }
};

/// f of the epilogue, in double.
[[nodiscard]] inline element activated(element e, const epilogue& out) noexcept {
  switch (out.act) {
    case activation::none:
      break;
    case activation::relu:
      e.value = std::fmax(e.value, 0.0);
      break;
    case activation::leaky_relu:
      if (e.value < 0.0) e.value *= double{out.alpha};
      break;
    case activation::clip:
      e.value = std::fmin(std::fmax(e.value, double{out.lo}), double{out.hi});
      break;
  }
  return e;
}

/// C(m, n) = f(sum over k of A(m, k) * W(n, k) + bias[n] + residual[m, n]), all real.
[[nodiscard]] inline element product(gemm_op op, const gemm_weights& w, const gemm_args& args,
                                     std::size_t m, std::size_t n) noexcept {
  double a_scale = 1.0, a_zero = 0.0;
  if (is_integer(op)) {
    const std::size_t at = m * args.a_scale_stride;
    if (args.a_scales != nullptr) a_scale = double{args.a_scales[at]};
    if (op == gemm_op::u8_s8 && args.a_zero_points != nullptr) a_zero = args.a_zero_points[at];
  }
  element e;
  for (std::size_t k = 0; k < args.K; ++k) {
    const std::size_t group = weight_group(w, n, k);
    const double scale = w.scales == nullptr ? 1.0 : double{w.scales[group]};
    const double zero = w.zero_points == nullptr ? 0.0 : w.zero_points[group];
    e.add(a_scale * (row_code(op, args, m, k) - a_zero) * scale *
          (weight_code(op, w, n, k) - zero));
  }
  if (args.out.bias != nullptr) e.add(double{args.out.bias[n]});
  if (args.out.residual != nullptr)
    e.add(double{args.out.residual[m * args.c_row_stride + n * args.c_col_stride]});
  return activated(e, args.out);
}

/// Sum over blocks of (largest |a| * sum |w|): the scale of what a kernel that splits A rounds off.
[[nodiscard]] inline double split_magnitude(gemm_op op, const gemm_weights& w,
                                            const gemm_args& args, std::size_t m,
                                            std::size_t n) noexcept {
  const std::size_t group_size = w.group_size == 0 ? w.K : w.group_size;
  double total = 0, largest = 0, weights = 0;
  for (std::size_t k = 0; k < args.K; ++k) {
    if (k % group_size % max_split_k == 0) {
      total += largest * weights;
      largest = weights = 0;
    }
    const std::size_t group = weight_group(w, n, k);
    const double scale = w.scales == nullptr ? 1.0 : double{w.scales[group]};
    const double zero = w.zero_points == nullptr ? 0.0 : w.zero_points[group];
    largest = std::fmax(largest, std::abs(row_code(op, args, m, k)));
    weights += std::abs(scale * (weight_code(op, w, n, k) - zero));
  }
  return total + largest * weights;
}

/// The image's codes are uint8.
/// Element (o, pixel) of y = f(sum over k of W(o, k) * X(k, pixel) + bias[o] + residual[o, pixel]).
[[nodiscard]] inline element convolution(conv_op op, const conv_filters& f, const conv_args& args,
                                         const k_layout& k_of, std::size_t o,
                                         std::size_t pixel) noexcept {
  element e;
  const std::size_t from = pixel / args.out_width * args.row_step + pixel % args.out_width;
  for (std::size_t k = 0; k < f.K; ++k) {
    const std::size_t at = from + args.offsets[k_of.position(k)], w = o * f.K + k;
    if (op == conv_op::f32)
      e.add(double{static_cast<const float*>(f.data)[w]} *
            double{static_cast<const float*>(args.image)[at]});
    else
      e.add(double{f.scales[o * k_of.groups + k / k_of.group_size]} * double{args.image_scale} *
            static_cast<const std::int8_t*>(f.data)[w] *
            (static_cast<const std::uint8_t*>(args.image)[at] - args.image_zero_point));
  }
  if (args.out.bias != nullptr) e.add(double{args.out.bias[o]});
  if (args.out.residual != nullptr) e.add(double{args.out.residual[o * args.y_stride + pixel]});
  return activated(e, args.out);
}

}  // namespace qtk::inline QTK_ABI::reference
