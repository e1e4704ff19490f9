#pragma once

#include <bit>
#include <cstdint>

#include "qtk/core/config.hpp"

namespace qtk::inline QTK_ABI::detail {

/// x, with its making hidden from the optimizer: a product is never fused with the addition that
/// follows. Doubles that decide a range must come out the same on every CPU and compiler.
[[nodiscard]] inline double rounded(double x) noexcept {
#if QTK_X86_64
  __asm__("" : "+x"(x));
#elif QTK_AARCH64
  __asm__("" : "+w"(x));
#else
  volatile double stored = x;
  x = stored;
#endif
  return x;
}

/// The natural logarithm of a positive normal number, within 2^-50 * (1 + |log x|): the C library's
/// is another one on every system.
///   x = 2^e m, m in [sqrt(1/2), sqrt(2)];  log m = 2 atanh z = 2 (z + z^3/3 + ...), z =
///   (m-1)/(m+1)
[[nodiscard]] inline double portable_log(double x) noexcept {
  constexpr double sqrt2 = 1.4142135623730951, ln2 = 0.6931471805599453;
  const auto bits = std::bit_cast<std::uint64_t>(x);
  double e = static_cast<double>(static_cast<std::int64_t>(bits >> 52) - 1023);
  double m = std::bit_cast<double>((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);
  if (m > sqrt2) {
    m *= 0.5;
    e += 1.0;
  }
  const double z = (m - 1.0) / (m + 1.0), zz = rounded(z * z);  // zz < 0.0295: 11 terms
  double sum = 1.0 / 21.0;
  for (int n = 19; n >= 1; n -= 2) sum = rounded(sum * zz) + 1.0 / n;
  return rounded(e * ln2) + rounded(2.0 * z * sum);
}

}  // namespace qtk::inline QTK_ABI::detail
