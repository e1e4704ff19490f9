#pragma once

#include "qtk/kernels/avx2/elementwise.hpp"
#include "qtk/kernels/avx2/probe.hpp"
#include "qtk/kernels/avx512_vnni/elementwise.hpp"
#include "qtk/kernels/avx512_vnni/probe.hpp"
#include "qtk/kernels/elementwise_types.hpp"
#include "qtk/kernels/generic/elementwise.hpp"
#include "qtk/kernels/scalar/elementwise.hpp"
#include "qtk/kernels/scalar/probe.hpp"

namespace qtk::inline QTK_ABI {

QTK_KERNEL_FUNCTION const elementwise_kernels& find_elementwise(isa i) {
  static constexpr elementwise_kernels portable = scalar::make_elementwise(isa::scalar);
#if QTK_HAS_XSIMD
  static constexpr elementwise_kernels by_xsimd = generic::make_elementwise(isa::generic);
#else
  static constexpr const elementwise_kernels& by_xsimd = portable;
#endif
#if QTK_X86_64
  static constexpr elementwise_kernels by_avx2 = avx2::make_elementwise(isa::avx2);
  static constexpr elementwise_kernels by_avx512 = avx512_vnni::make_elementwise(isa::avx512_vnni);
#else
  static constexpr const elementwise_kernels &by_avx2 = by_xsimd, &by_avx512 = by_xsimd;
#endif
  switch (i) {
    case isa::avx512_vnni:
      return by_avx512;
    case isa::avx2:
      return by_avx2;
    case isa::neon:  // xsimd's AArch64 baseline is NEON
    case isa::generic:
      return by_xsimd;
    case isa::scalar:
      break;
  }
  return portable;
}

QTK_KERNEL_FUNCTION const probe_kernels& find_probe(isa i) {
#if QTK_X86_64
  if (i == isa::avx512_vnni) return avx512_vnni::probe;
  if (i == isa::avx2) return avx2::probe;
#else
  static_cast<void>(i);
#endif
  return scalar::probe;
}

}  // namespace qtk::inline QTK_ABI
