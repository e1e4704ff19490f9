#pragma once

#include "qtk/kernels/conv_driver.hpp"
#include "qtk/kernels/gemm_table.hpp"

/// Which kernel serves a convolution on an ISA.
namespace qtk::inline QTK_ABI {

namespace detail {

/// The kernels of one ISA, by conv_op; null: the ISA below serves.
using conv_row = std::array<const conv_kernel*, conv_op_count>;

inline constexpr conv_row scalar_conv{&conv_entry<scalar::gemm_f32_4x8<gemm_op::f32_f32>>,
                                      &conv_entry<scalar::gemm_u8s8s32_4x8>};
#if QTK_HAS_XSIMD
inline constexpr conv_row generic_conv{&conv_entry<generic::gemm_f32_4x2v<gemm_op::f32_f32>>,
                                       nullptr};
#else
inline constexpr conv_row generic_conv{};
#endif
#if QTK_AARCH64
inline constexpr conv_row neon_conv{&conv_entry<neon::gemm_f32_6x16<gemm_op::f32_f32>>,
                                    &conv_entry<neon::gemm_u8s8s32_6x16>};
#else
inline constexpr conv_row neon_conv{};
#endif
#if QTK_X86_64
inline constexpr conv_row avx2_conv{&conv_entry<avx2::gemm_f32_6x16<gemm_op::f32_f32>>,
                                    &conv_entry<avx2::gemm_u8s8s32_6x16c2>};
inline constexpr conv_row avx512_vnni_conv{
    &conv_entry<avx512_vnni::gemm_f32_12x32<gemm_op::f32_f32>>,
    &conv_entry<avx512_vnni::gemm_s8u8s32_12x32c4>};
#else
inline constexpr conv_row avx2_conv{}, avx512_vnni_conv{};
#endif

/// In the order of qtk::isa.
inline constexpr std::array<const conv_row*, all_isas.size()> conv_table{
    &scalar_conv, &generic_conv, &neon_conv, &avx2_conv, &avx512_vnni_conv};

}  // namespace detail

QTK_KERNEL_FUNCTION const conv_kernel& find_conv(conv_op op, isa i) {
  return detail::find_kernel(detail::conv_table, static_cast<std::size_t>(op), i);
}

}  // namespace qtk::inline QTK_ABI
