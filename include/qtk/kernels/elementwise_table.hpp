#pragma once

#include <array>
#include <initializer_list>

#include "qtk/kernels/avx2/elementwise.hpp"
#include "qtk/kernels/avx2/probe.hpp"
#include "qtk/kernels/avx512/elementwise.hpp"
#include "qtk/kernels/avx512_bf16/probe.hpp"
#include "qtk/kernels/elementwise_types.hpp"
#include "qtk/kernels/generic/elementwise.hpp"
#include "qtk/kernels/neon/probe.hpp"
#include "qtk/kernels/neon_dotprod/probe.hpp"
#include "qtk/kernels/neon_i8mm/probe.hpp"
#include "qtk/kernels/scalar/elementwise.hpp"
#include "qtk/kernels/scalar/probe.hpp"

namespace qtk::inline QTK_ABI {

namespace detail {

template <class Kernels>
using isa_array = std::array<const Kernels*, all_isas.size()>;

/// A table of kernels, each at its own target.
template <class Kernels>
[[nodiscard]] constexpr isa_array<Kernels> by_target(
    std::initializer_list<const Kernels*> kernels) {
  isa_array<Kernels> table{};
  for (const Kernels* k : kernels) table[static_cast<std::size_t>(k->target)] = k;
  return table;
}

/// The entry of `i`, or of the nearest ISA it extends that has one.
template <class Kernels>
[[nodiscard]] const Kernels& find_entry(const isa_array<Kernels>& table, isa i) {
  while (table[static_cast<std::size_t>(i)] == nullptr) i = base_of(i);
  return *table[static_cast<std::size_t>(i)];
}

}  // namespace detail

QTK_KERNEL_FUNCTION const elementwise_kernels& find_elementwise(isa i) {
  static constexpr elementwise_kernels portable = scalar::make_elementwise(isa::scalar);
#if QTK_HAS_XSIMD
  static constexpr elementwise_kernels by_xsimd = generic::make_elementwise(isa::generic);
#endif
#if QTK_X86_64
  static constexpr elementwise_kernels by_avx2 = avx2::make_elementwise(isa::avx2);
  static constexpr elementwise_kernels by_avx512 = avx512::make_elementwise(isa::avx512);
#endif
  static constexpr auto table = detail::by_target<elementwise_kernels>({
    &portable,
#if QTK_HAS_XSIMD
        &by_xsimd,  // on AArch64 that is NEON
#endif
#if QTK_X86_64
        &by_avx2, &by_avx512,
#endif
  });
  return detail::find_entry(table, i);
}

QTK_KERNEL_FUNCTION const probe_kernels& find_probe(isa i) {
  static constexpr auto table = detail::by_target<probe_kernels>({
    &scalar::probe,
#if QTK_X86_64
        &avx2::probe, &avx512::probe, &avx512_vnni::probe, &avx512_bf16::probe,
#elif QTK_AARCH64
        &neon::probe, &neon_dotprod::probe, &neon_i8mm::probe,
#endif
  });
  return detail::find_entry(table, i);
}

}  // namespace qtk::inline QTK_ABI
