#pragma once

#include "qtk/kernels/tile.hpp"

namespace qtk::inline QTK_ABI::scalar {

/// One float at a time: the vocabulary of the shared bodies in plain C++.
struct gemm_simd {
  static constexpr std::size_t width = 1;
  using vec = float;
  using integers = std::int32_t;

  static vec load(const float* p) { return *p; }
  static void store(float* p, vec x) { *p = x; }
  static vec set1(float x) { return x; }
  static vec zero() { return 0.0f; }
  static vec add(vec a, vec b) { return a + b; }
  static vec mul(vec a, vec b) { return a * b; }
  static vec max(vec a, vec b) { return a > b ? a : b; }  // b where unordered, as in SSE
  static vec min(vec a, vec b) { return a < b ? a : b; }
  static vec if_negative(vec x, vec y) { return x < 0.0f ? y : x; }  // x < 0 ? y : x

  static integers load_integers(const std::int32_t* p) { return *p; }
  static integers subtract_product(integers s, std::int32_t a, integers b) { return s - a * b; }
  static vec to_float(integers s) { return static_cast<float>(s); }

  /// x, with how it was computed hidden from the optimizer: a product can't be fused with the
  /// addition that follows.
  static vec rounded(vec x) {
#if QTK_X86_64
    __asm__("" : "+x"(x));
#elif QTK_AARCH64
    __asm__("" : "+w"(x));
#else
    volatile float stored = x;
    x = stored;
#endif
    return x;
  }
};

#include "../gemm_finish_body.inl"

}  // namespace qtk::inline QTK_ABI::scalar
