// No include guard: included once per ISA, inside that ISA's namespace and target region.
// Needs `simd` in scope (scalar/simd.hpp says what it has).
// Every loop runs over whole vectors, then once more over the tail, copied to a full vector's
// length on the stack: one code path, and nothing is read or written past the end.

/// y[i] = f(x[i]), for anything that loads and stores `Step` elements.
template <std::size_t Step = simd::width, class In, class Out, class Function>
inline void map(std::size_t n, const In* x, Out* y, const Function& f) noexcept {
  const std::size_t body = n - n % Step;
  for (std::size_t i = 0; i < body; i += Step) f(x + i, y + i);
  if (body == n) return;
  In in[Step] = {};
  Out out[Step];
  std::memcpy(in, x + body, (n - body) * sizeof(In));
  f(in, out);
  std::memcpy(y + body, out, (n - body) * sizeof(Out));
}

/// y[i] = f(a[i], b[i]).
template <class Function>
inline void map2(std::size_t n, const float* a, const float* b, float* y,
                 const Function& f) noexcept {
  const std::size_t body = n - n % simd::width;
  for (std::size_t i = 0; i < body; i += simd::width)
    simd::store(y + i, f(simd::load(a + i), simd::load(b + i)));
  if (body == n) return;
  float left[simd::width] = {}, right[simd::width] = {}, out[simd::width];
  for (std::size_t i = body; i < n; ++i) left[i - body] = a[i], right[i - body] = b[i];
  simd::store(out, f(simd::load(left), simd::load(right)));
  for (std::size_t i = body; i < n; ++i) y[i] = out[i - body];
}

#include "math_body.inl"
#include "quantize_body.inl"

using enclosing_simd = simd;
namespace paired {
#include "pair_body.inl"
}  // namespace paired

#include "rows_body.inl"

inline void f16_to_f32(std::size_t n, const half* x, float* y) noexcept {
  map(n, x, y, [](const half* in, float* out) { simd::store(out, simd::load_f16(in)); });
}
inline void f32_to_f16(std::size_t n, const float* x, half* y) noexcept {
  map(n, x, y, [](const float* in, half* out) { simd::store_f16(out, simd::load(in)); });
}
inline void bf16_to_f32(std::size_t n, const bfloat16* x, float* y) noexcept {
  map(n, x, y, [](const bfloat16* in, float* out) { simd::store(out, simd::load_bf16(in)); });
}
inline void f32_to_bf16(std::size_t n, const float* x, bfloat16* y) noexcept {
  map(n, x, y, [](const float* in, bfloat16* out) { simd::store_bf16(out, simd::load(in)); });
}

inline simd::f32 relu_vector(simd::f32 x) noexcept {
  return simd::select_negative(x, simd::zero(), x);
}

/// A function of kernels/math_body.inl, in pairs of vectors as far as they go.
template <class Pair, class One>
inline void map_pairs(std::size_t n, const float* x, float* y, const Pair& pair,
                      const One& one) noexcept {
  const std::size_t body = n - n % paired::simd::width;
  for (std::size_t i = 0; i < body; i += paired::simd::width)
    paired::simd::store(y + i, pair(paired::simd::load(x + i)));
  map(n - body, x + body, y + body,
      [&](const float* in, float* out) { simd::store(out, one(simd::load(in))); });
}

template <unary_op Op>
inline void unary(std::size_t n, const float* x, float* y) noexcept {
  const auto in_pairs = [&](const auto& pair, const auto& one) { map_pairs(n, x, y, pair, one); };
  using pair = paired::simd::f32;
  if constexpr (Op == unary_op::exp)
    in_pairs([&](pair v) { return paired::exp_vector(v); },
             [&](simd::f32 v) { return exp_vector(v); });
  if constexpr (Op == unary_op::tanh)
    in_pairs([&](pair v) { return paired::tanh_vector(v); },
             [&](simd::f32 v) { return tanh_vector(v); });
  if constexpr (Op == unary_op::sigmoid)
    in_pairs([&](pair v) { return paired::sigmoid_vector(v); },
             [&](simd::f32 v) { return sigmoid_vector(v); });
  if constexpr (Op == unary_op::erf)
    in_pairs([&](pair v) { return paired::erf_vector(v); },
             [&](simd::f32 v) { return erf_vector(v); });
  if constexpr (Op == unary_op::gelu)
    in_pairs([&](pair v) { return paired::gelu_vector(v); },
             [&](simd::f32 v) { return gelu_vector(v); });
  if constexpr (Op == unary_op::silu)
    in_pairs([&](pair v) { return paired::silu_vector(v); },
             [&](simd::f32 v) { return silu_vector(v); });
  const auto each = [&](const auto& one) {
    map(n, x, y, [&](const float* in, float* out) { simd::store(out, one(simd::load(in))); });
  };
  if constexpr (Op == unary_op::relu) each([&](simd::f32 v) { return relu_vector(v); });
  if constexpr (Op == unary_op::abs) each([&](simd::f32 v) { return simd::abs(v); });
  if constexpr (Op == unary_op::negate)
    each([&](simd::f32 v) { return simd::mul(v, simd::set1(-1.0f)); });
  if constexpr (Op == unary_op::sqrt) each([&](simd::f32 v) { return simd::sqrt(v); });
}

template <binary_op Op>
inline simd::f32 binary_vector(simd::f32 a, simd::f32 b) noexcept {
  if constexpr (Op == binary_op::add) return simd::add(a, b);
  if constexpr (Op == binary_op::subtract) return simd::sub(a, b);
  if constexpr (Op == binary_op::multiply) return simd::mul(a, b);
  if constexpr (Op == binary_op::divide) return simd::div(a, b);
  // NaN in either operand wins, as in ONNX.
  if constexpr (Op == binary_op::minimum) return simd::select_nan(a, a, simd::min(a, b));
  if constexpr (Op == binary_op::maximum) return simd::select_nan(a, a, simd::max(a, b));
}

template <binary_op Op>
inline void binary(std::size_t n, const float* a, const float* b, float* y) noexcept {
  // [&]: the function pointer of a captureless lambda would return a vector outside the region.
  map2(n, a, b, y, [&](simd::f32 left, simd::f32 right) { return binary_vector<Op>(left, right); });
}

template <binary_op Op>
inline void binary_scalar(std::size_t n, const float* a, float b, float* y) noexcept {
  const simd::f32 right = simd::set1(b);
  map(n, a, y, [&](const float* in, float* out) {
    simd::store(out, binary_vector<Op>(simd::load(in), right));
  });
}

/// activate() of core's epilogue, NaN passing through.
inline simd::f32 activate_vector(const epilogue& e, simd::f32 x) noexcept {
  switch (e.act) {
    case activation::relu:
      return relu_vector(x);
    case activation::leaky_relu:
      return simd::select_negative(x, simd::mul(x, simd::set1(e.alpha)), x);
    case activation::clip:
      return simd::select_nan(x, x, simd::min(simd::max(x, simd::set1(e.lo)), simd::set1(e.hi)));
    case activation::none:
      break;
  }
  return x;
}

inline void activate(std::size_t n, const float* x, const epilogue& e, float* y) noexcept {
  if (e.residual != nullptr)
    map2(n, x, e.residual, y,
         [&](simd::f32 a, simd::f32 b) { return activate_vector(e, simd::add(a, b)); });
  else
    map(n, x, y,
        [&](const float* in, float* out) { simd::store(out, activate_vector(e, simd::load(in))); });
}

inline constexpr elementwise_kernels make_elementwise(isa target) noexcept {
  return {
      .target = target,
      .minmax = &minmax,
      .quantize_u8 = &quantize_u8,
      .quantize_s8 = &quantize_s8,
      .dequantize_u8 = &dequantize_u8,
      .dequantize_s8 = &dequantize_s8,
      .f16_to_f32 = &f16_to_f32,
      .f32_to_f16 = &f32_to_f16,
      .bf16_to_f32 = &bf16_to_f32,
      .f32_to_bf16 = &f32_to_bf16,
      .unary = {&unary<unary_op::exp>, &unary<unary_op::tanh>, &unary<unary_op::sigmoid>,
                &unary<unary_op::erf>, &unary<unary_op::gelu>, &unary<unary_op::silu>,
                &unary<unary_op::relu>, &unary<unary_op::abs>, &unary<unary_op::negate>,
                &unary<unary_op::sqrt>},
      .binary = {&binary<binary_op::add>, &binary<binary_op::subtract>,
                 &binary<binary_op::multiply>, &binary<binary_op::divide>,
                 &binary<binary_op::minimum>, &binary<binary_op::maximum>},
      .binary_scalar = {&binary_scalar<binary_op::add>, &binary_scalar<binary_op::subtract>,
                        &binary_scalar<binary_op::multiply>, &binary_scalar<binary_op::divide>,
                        &binary_scalar<binary_op::minimum>, &binary_scalar<binary_op::maximum>},
      .activate = &activate,
      .softmax = &softmax,
      .layer_norm = &layer_norm,
      .rms_norm = &rms_norm,
      .sum = &sum,
  };
}
