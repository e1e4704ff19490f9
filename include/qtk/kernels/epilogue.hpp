#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "qtk/core/abi.hpp"

namespace qtk::inline QTK_ABI {

/// The ReLU family, cheap enough to fuse into the store of a GEMM tile.
enum class activation : std::uint8_t {
  none,
  relu,        // max(x, 0)
  leaky_relu,  // x < 0 ? alpha * x : x
  clip,        // min(max(x, lo), hi): ReLU6 is lo = 0, hi = 6
};

/// What happens to an accumulator on its way to memory, in this order:
///   y = f(acc_as_real + bias[n] + residual[m, n]),   f = the activation
/// An aggregate of optional parts; the default stores the product as it is. `residual` has the
/// strides of the result and may be the result itself.
struct epilogue {
  const float* bias = nullptr;      // (N)
  const float* residual = nullptr;  // (M, N)
  activation act = activation::none;
  float alpha = 0.01f;         // leaky_relu
  float lo = 0.0f, hi = 6.0f;  // clip
};

/// Where an epilogue meets codes instead of floats: uint8, real = scale * (code - zero_point).
struct epilogue_codes {
  const std::uint8_t* residual = nullptr;  // (M, N), in the place of epilogue::residual
  float residual_scale = 1.0f;
  std::int32_t residual_zero_point = 0;
  std::uint8_t* y = nullptr;  // (M, N): quantize_code() of what would be written; may be `residual`
  float y_scale = 1.0f;       // positive and normal
  std::int32_t y_zero_point = 0;

  [[nodiscard]] constexpr bool any() const noexcept { return residual != nullptr || y != nullptr; }
  /// From element `begin` on.
  [[nodiscard]] constexpr epilogue_codes from(std::size_t begin) const noexcept {
    epilogue_codes c = *this;
    if (c.residual != nullptr) c.residual += begin;
    if (c.y != nullptr) c.y += begin;
    return c;
  }
};

/// The reference of `epilogue::act`; NaN passes through.
[[nodiscard]] constexpr float activate(const epilogue& e, float x) noexcept {
  switch (e.act) {
    case activation::relu:
      return x < 0.0f ? 0.0f : x;
    case activation::leaky_relu:
      return x < 0.0f ? e.alpha * x : x;
    case activation::clip:
      return x < e.lo ? e.lo : (x > e.hi ? e.hi : x);
    case activation::none:
      break;
  }
  return x;
}

/// The activations but leaky_relu are min(hi, max(lo, x)) with the operands in the order that lets
/// NaN pass.
struct clamp_bounds {
  float lo, hi;
};
[[nodiscard]] constexpr clamp_bounds clamp_of(const epilogue& e) noexcept {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  switch (e.act) {
    case activation::clip:
      return {e.lo, e.hi};
    case activation::relu:
      return {0.0f, infinity};
    case activation::leaky_relu:
    case activation::none:
      break;
  }
  return {-infinity, infinity};
}

}  // namespace qtk::inline QTK_ABI
