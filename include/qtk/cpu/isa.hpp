#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "qtk/core/error.hpp"

#if QTK_X86_64
#  include <cpuid.h>
#elif QTK_AARCH64 && defined(__linux__)
#  include <sys/auxv.h>
#endif

namespace qtk::inline QTK_ABI {

/// A set of instructions with kernels of its own, best last.
enum class isa : std::uint8_t {
  scalar,
  generic,       // xsimd's default for the compiler's target
  neon,          // the AArch64 baseline
  neon_dotprod,  // + udot, sdot
  neon_i8mm,     // + smmla, usmmla
  avx2,          // + FMA, F16C
  avx_vnni,      // vpdpbusd of 256 bits
  avx512,        // F, BW, DQ, VL
  avx512_vnni,
  avx512_bf16,
};

inline constexpr std::array all_isas{
    isa::scalar, isa::generic,  isa::neon,   isa::neon_dotprod, isa::neon_i8mm,
    isa::avx2,   isa::avx_vnni, isa::avx512, isa::avx512_vnni,  isa::avx512_bf16};

/// The ISA that `i` extends, whose kernels serve where it has none of its own; scalar's is scalar.
[[nodiscard]] constexpr isa base_of(isa i) noexcept {
  switch (i) {
    case isa::scalar:
    case isa::generic:
      return isa::scalar;
    case isa::neon:
    case isa::avx2:
      return isa::generic;
    case isa::avx_vnni:
    case isa::avx512:
      return isa::avx2;
    case isa::neon_dotprod:
      return isa::neon;
    case isa::neon_i8mm:
      return isa::neon_dotprod;
    case isa::avx512_vnni:
      return isa::avx512;
    case isa::avx512_bf16:
      return isa::avx512_vnni;
  }
  return isa::scalar;
}

[[nodiscard]] constexpr std::string_view name(isa i) noexcept {
  constexpr std::string_view names[] = {"scalar",      "generic",    "neon",     "neon_dotprod",
                                        "neon_i8mm",   "avx2",       "avx_vnni", "avx512",
                                        "avx512_vnni", "avx512_bf16"};
  return names[static_cast<std::size_t>(i)];
}
[[nodiscard]] inline std::string_view to_string(isa i) noexcept { return name(i); }

/// What the CPU can do *and* the operating system saves: AVX state needs XCR0 bits 1-2, AVX-512
/// also 5-7. Libraries that skip the second question die on hypervisors that mask it.
struct cpu_features {
  bool avx2 = false, fma = false, f16c = false;
  bool avx512f = false, avx512bw = false, avx512dq = false, avx512vl = false;
  bool avx512_vnni = false, avx512_bf16 = false, avx_vnni = false;
  bool neon_dotprod = false, neon_i8mm = false;
};

[[nodiscard]] inline cpu_features detect_cpu_features() noexcept {
  cpu_features f;
#if QTK_X86_64
  unsigned a = 0, b = 0, c = 0, d = 0;
  const auto bit = [](unsigned word, int i) { return ((word >> i) & 1u) != 0; };
  if (__get_cpuid_count(1, 0, &a, &b, &c, &d) == 0 || !bit(c, 27) /* OSXSAVE */) return f;
  const unsigned leaf1_c = c;
  unsigned xcr0 = 0, xcr0_high = 0;
  __asm__("xgetbv" : "=a"(xcr0), "=d"(xcr0_high) : "c"(0));
  const bool os_avx = (xcr0 & 0x6u) == 0x6u;
  const bool os_avx512 = (xcr0 & 0xe6u) == 0xe6u;
  if (!os_avx || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return f;
  f.fma = bit(leaf1_c, 12);
  f.f16c = bit(leaf1_c, 29);
  f.avx2 = bit(b, 5);
  f.avx512f = os_avx512 && bit(b, 16);
  f.avx512dq = f.avx512f && bit(b, 17);
  f.avx512bw = f.avx512f && bit(b, 30);
  f.avx512vl = f.avx512f && bit(b, 31);
  f.avx512_vnni = f.avx512f && bit(c, 11);
  const unsigned subleaves = a;
  if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) {
    f.avx_vnni = bit(a, 4);
    f.avx512_bf16 = f.avx512f && bit(a, 5);
  }
#elif QTK_AARCH64 && defined(__linux__)
  const auto bit = [](unsigned long word, int i) { return ((word >> i) & 1u) != 0; };
  f.neon_dotprod = bit(getauxval(AT_HWCAP), 20);  // HWCAP_ASIMDDP
  f.neon_i8mm = bit(getauxval(AT_HWCAP2), 13);    // HWCAP2_I8MM
#endif
  return f;
}

[[nodiscard]] inline const cpu_features& cpu() noexcept {
  static const cpu_features features = detect_cpu_features();
  return features;
}

/// Whether this CPU and operating system run the kernels of `i`.
[[nodiscard]] inline bool supported(isa i) noexcept {
  const cpu_features& f = cpu();
  const bool avx2 = f.avx2 && f.fma && f.f16c;
  const bool avx512 = avx2 && f.avx512bw && f.avx512dq && f.avx512vl;
  switch (i) {
    case isa::scalar:
    case isa::generic:
      return true;
    case isa::neon:
      return QTK_AARCH64 != 0;
    case isa::neon_dotprod:
      return f.neon_dotprod;
    case isa::neon_i8mm:
      return f.neon_dotprod && f.neon_i8mm;
    case isa::avx2:
      return avx2;
    case isa::avx_vnni:
      return avx2 && f.avx_vnni;
    case isa::avx512:
      return avx512;
    case isa::avx512_vnni:
      return avx512 && f.avx512_vnni;
    case isa::avx512_bf16:
      return avx512 && f.avx512_vnni && f.avx512_bf16;
  }
  return false;
}

[[nodiscard]] inline isa best_isa() noexcept {
  isa best = isa::scalar;
  for (const isa i : all_isas)
    if (supported(i)) best = i;
  return best;
}

/// The ISA of a name such as "avx2"; qtk::error where unknown or not supported here.
[[nodiscard]] inline isa parse_isa(std::string_view text) {
  for (const isa i : all_isas)
    if (name(i) == text) {
      QTK_CHECK(supported(i), "isa", "this CPU does not support ", text);
      return i;
    }
  std::string known;
  for (const isa i : all_isas) known += cat(known.empty() ? "" : ", ", name(i));
  fail(cat("unknown ISA '", text, "' (", known, ")"), "isa");
}

namespace detail {
inline std::atomic<isa>& active_isa_slot() {
  static std::atomic<isa> active = [] {
    const char* forced = std::getenv("QTK_ISA");
    return forced != nullptr && *forced != '\0' ? parse_isa(forced) : best_isa();
  }();
  return active;
}
}  // namespace detail

/// The ISA whose kernels are chosen from now on: the environment's QTK_ISA, else the best
/// supported. Weights packed earlier keep the kernel they were packed for.
[[nodiscard]] inline isa active_isa() {
  return detail::active_isa_slot().load(std::memory_order_relaxed);
}

/// For tests and comparisons; qtk::error where this CPU does not support it.
inline void set_active_isa(isa i) {
  QTK_CHECK(supported(i), "isa", "this CPU does not support ", name(i));
  detail::active_isa_slot().store(i, std::memory_order_relaxed);
}

}  // namespace qtk::inline QTK_ABI
