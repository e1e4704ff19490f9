#pragma once

#include "qtk/kernels/avx2/depthwise.hpp"
#include "qtk/kernels/avx512/depthwise.hpp"
#include "qtk/kernels/elementwise_table.hpp"
#include "qtk/kernels/generic/depthwise.hpp"
#include "qtk/kernels/scalar/depthwise.hpp"

namespace qtk::inline QTK_ABI {

QTK_KERNEL_FUNCTION const depthwise_kernel& find_depthwise(isa i) {
  static constexpr depthwise_kernel portable{isa::scalar, scalar::simd::width, "depthwise_f32_x1",
                                             &scalar::run_depthwise};
#if QTK_HAS_XSIMD
  static constexpr depthwise_kernel by_xsimd{isa::generic, generic::simd::width, "depthwise_f32_xn",
                                             &generic::run_depthwise};
#endif
#if QTK_X86_64
  static constexpr depthwise_kernel by_avx2{isa::avx2, avx2::simd::width, "depthwise_f32_x8",
                                            &avx2::run_depthwise};
  static constexpr depthwise_kernel by_avx512{isa::avx512, avx512::simd::width, "depthwise_f32_x16",
                                              &avx512::run_depthwise};
#endif
  static constexpr auto table = detail::by_target<depthwise_kernel>({
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

}  // namespace qtk::inline QTK_ABI
