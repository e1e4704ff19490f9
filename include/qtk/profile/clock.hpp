#pragma once

#include <chrono>
#include <cstdint>

#include "qtk/core/config.hpp"

#if QTK_X86_64
#  include <cpuid.h>
#endif

/// A clock cheap enough to read twice per kernel call: the CPU's own counter where it is steady
/// (x86 with an invariant TSC: about 10 ns; AArch64's virtual counter), else
/// std::chrono::steady_clock.
namespace qtk::inline QTK_ABI::profile {

using ticks = std::uint64_t;

namespace detail {

[[nodiscard]] inline ticks steady_ns() noexcept {
  return static_cast<ticks>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                std::chrono::steady_clock::now().time_since_epoch())
                                .count());
}

/// Whether the time-stamp counter runs at one rate in every power state (cpuid 0x80000007 edx bit
/// 8).
[[nodiscard]] inline bool counter_is_steady() noexcept {
#if QTK_X86_64
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x80000007u, &a, &b, &c, &d) != 0 && ((d >> 8) & 1u) != 0;
#else
  return QTK_AARCH64 != 0;
#endif
}

[[nodiscard]] inline bool use_counter() noexcept {
  static const bool steady = counter_is_steady();
  return steady;
}

[[nodiscard]] inline ticks counter() noexcept {
#if QTK_X86_64
  return __builtin_ia32_rdtsc();
#elif QTK_AARCH64
  ticks t;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
  return t;
#else
  return 0;
#endif
}

/// One moment in both times.
struct moment {
  ticks counter, ns;
};
[[nodiscard]] inline const moment& first_moment() noexcept {
  static const moment first{counter(), steady_ns()};
  return first;
}

}  // namespace detail

/// Now, in ticks of unknown length.
[[nodiscard]] inline ticks now() noexcept {
  return detail::use_counter() ? detail::counter() : detail::steady_ns();
}

/// Length of a tick. The counter is compared with the steady clock over the time since the first
/// call of this process, at least a millisecond: the longer, the better.
[[nodiscard]] inline double ns_per_tick() noexcept {
  if (!detail::use_counter()) return 1.0;
  const detail::moment& first = detail::first_moment();
  ticks ns = detail::steady_ns(), count = detail::counter();
  while (ns - first.ns < 1000000) ns = detail::steady_ns(), count = detail::counter();
  return static_cast<double>(ns - first.ns) / static_cast<double>(count - first.counter);
}

}  // namespace qtk::inline QTK_ABI::profile
