#pragma once

#include <array>

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
  static constexpr auto table = [] {
    detail::isa_array<elementwise_kernels> t{};
    t[static_cast<std::size_t>(isa::scalar)] = &portable;
#if QTK_HAS_XSIMD
    t[static_cast<std::size_t>(isa::generic)] = &by_xsimd;  // on AArch64 that is NEON
#endif
#if QTK_X86_64
    t[static_cast<std::size_t>(isa::avx2)] = &by_avx2;
    t[static_cast<std::size_t>(isa::avx512)] = &by_avx512;
#endif
    return t;
  }();
  return detail::find_entry(table, i);
}

QTK_KERNEL_FUNCTION const probe_kernels& find_probe(isa i) {
  static constexpr auto table = [] {
    detail::isa_array<probe_kernels> t{};
    t[static_cast<std::size_t>(isa::scalar)] = &scalar::probe;
#if QTK_X86_64
    t[static_cast<std::size_t>(isa::avx2)] = &avx2::probe;
    t[static_cast<std::size_t>(isa::avx512)] = &avx512::probe;
    t[static_cast<std::size_t>(isa::avx512_vnni)] = &avx512_vnni::probe;
    t[static_cast<std::size_t>(isa::avx512_bf16)] = &avx512_bf16::probe;
#elif QTK_AARCH64
    t[static_cast<std::size_t>(isa::neon)] = &neon::probe;
    t[static_cast<std::size_t>(isa::neon_dotprod)] = &neon_dotprod::probe;
    t[static_cast<std::size_t>(isa::neon_i8mm)] = &neon_i8mm::probe;
#endif
    return t;
  }();
  return detail::find_entry(table, i);
}

}  // namespace qtk::inline QTK_ABI
