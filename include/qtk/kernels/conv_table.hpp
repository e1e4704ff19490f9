#pragma once

#include "qtk/kernels/avx2/conv_rows.hpp"
#include "qtk/kernels/avx512/conv_rows.hpp"
#include "qtk/kernels/avx512_vnni/conv.hpp"
#include "qtk/kernels/avx512_vnni/conv_rows.hpp"
#include "qtk/kernels/conv_driver.hpp"
#include "qtk/kernels/elementwise_table.hpp"
#include "qtk/kernels/gemm_table.hpp"
#include "qtk/kernels/generic/conv_rows.hpp"
#include "qtk/kernels/scalar/conv_rows.hpp"

/// Which kernel serves a convolution on an ISA.
namespace qtk::inline QTK_ABI {

namespace detail {

/// The kernels of one ISA, by conv_op; null: the ISA that it extends serves.
using conv_row = std::array<const conv_kernel*, conv_op_count>;

/// The entry of a kernel that reads pixels in place.
template <class Kernel, class Rows, class Parts = conv_plain<Kernel::nr, Kernel::kr>>
inline constexpr const conv_kernel* in_place_entry = &conv_entry<Kernel, Parts, Rows>;

/// The entry of a kernel that multiplies two signed bytes.
template <class Kernel>
inline constexpr conv_kernel signed_image_entry = [] {
  conv_kernel k = conv_entry<Kernel>;
  k.signed_image = true;
  return k;
}();

/// One row for each ISA, in the order of qtk::isa.
inline constexpr auto conv_table = [] {
  std::array<conv_row, all_isas.size()> table{};
  const auto row = [&](isa i) -> conv_row& { return table[static_cast<std::size_t>(i)]; };
  row(isa::scalar) = {in_place_entry<scalar::gemm_f32_4x8<gemm_op::f32_f32>, scalar::conv_rows>,
                      &conv_entry<scalar::gemm_u8s8s32_4x8>};
#if QTK_HAS_XSIMD
  row(isa::generic) = {in_place_entry<generic::gemm_f32_4x2v<gemm_op::f32_f32>, generic::conv_rows>,
                       nullptr};
#endif
#if QTK_X86_64
  row(isa::avx2) = {in_place_entry<avx2::gemm_f32_6x16<gemm_op::f32_f32>, avx2::conv_rows>,
                    &conv_entry<avx2::gemm_u8s8s32_6x16c2>};
  row(isa::avx_vnni) = {nullptr, &conv_entry<avx_vnni::gemm_6x16c4<std::int8_t>>};
  row(isa::avx512) = {in_place_entry<avx512::gemm_f32_12x32<gemm_op::f32_f32>, avx512::conv_rows,
                                     avx512::conv_parts>,
                      nullptr};
  row(isa::avx512_vnni) = {nullptr,
                           in_place_entry<avx512_vnni::gemm_s8u8s32_12x32c4, avx512_vnni::conv_rows,
                                          avx512_vnni::conv_parts>};
#elif QTK_AARCH64
  row(isa::neon) = {&conv_entry<neon::gemm_f32_6x16<gemm_op::f32_f32>>,
                    &conv_entry<neon::gemm_u8s8s32_6x16>};
  row(isa::neon_dotprod) = {nullptr, &signed_image_entry<neon_dotprod::gemm_s8s8s32_6x16c4>};
#endif
  return table;
}();

}  // namespace detail

QTK_KERNEL_FUNCTION const conv_kernel& find_conv(conv_op op, isa i) {
  return detail::find_kernel(detail::conv_table, static_cast<std::size_t>(op), i);
}

}  // namespace qtk::inline QTK_ABI
