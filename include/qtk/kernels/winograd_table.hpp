#pragma once

#include "qtk/kernels/avx2/winograd.hpp"
#include "qtk/kernels/avx512/winograd.hpp"
#include "qtk/kernels/elementwise_table.hpp"
#include "qtk/kernels/gemm_table.hpp"
#include "qtk/kernels/generic/winograd.hpp"
#include "qtk/kernels/scalar/winograd.hpp"
#include "qtk/kernels/winograd_driver.hpp"

namespace qtk::inline QTK_ABI {

QTK_KERNEL_FUNCTION const winograd_kernel& find_winograd(isa i) {
  static constexpr winograd_kernel portable =
      make_winograd<scalar::gemm_f32_4x8<gemm_op::f32_f32>, scalar::winograd_transforms>(
          "winograd_f32_4x8");
#if QTK_HAS_XSIMD
  static constexpr winograd_kernel by_xsimd =
      make_winograd<generic::gemm_f32_4x2v<gemm_op::f32_f32>, generic::winograd_transforms>(
          "winograd_f32_4x2v");
#endif
#if QTK_X86_64
  static constexpr winograd_kernel by_avx2 =
      make_winograd<avx2::gemm_f32_6x16<gemm_op::f32_f32>, avx2::winograd_transforms>(
          "winograd_f32_6x16");
  static constexpr winograd_kernel by_avx512 =
      make_winograd<avx512::gemm_f32_12x32<gemm_op::f32_f32>, avx512::winograd_transforms>(
          "winograd_f32_12x32");
#endif
  static constexpr auto table = detail::by_target<winograd_kernel>({
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
