#pragma once

#include "qtk/kernels/driver.hpp"
#include "qtk/kernels/generic/gemm_f32.hpp"
#include "qtk/kernels/scalar/gemm_f32.hpp"
#include "qtk/kernels/scalar/gemm_s8s4.hpp"
#include "qtk/kernels/scalar/gemm_u8s8.hpp"
#if QTK_X86_64
#  include "qtk/kernels/avx2/gemm_f32.hpp"
#  include "qtk/kernels/avx2/gemm_s8s4.hpp"
#  include "qtk/kernels/avx2/gemm_u8s8_narrow.hpp"
#  include "qtk/kernels/avx512/gemm_bf16.hpp"
#  include "qtk/kernels/avx512/gemm_f32.hpp"
#  include "qtk/kernels/avx512_bf16/gemm_bf16.hpp"
#  include "qtk/kernels/avx512_vnni/gemm_s8s4.hpp"
#  include "qtk/kernels/avx512_vnni/gemm_u8s8.hpp"
#  include "qtk/kernels/avx_vnni/gemm_int8.hpp"
#elif QTK_AARCH64
#  include "qtk/kernels/neon/gemm_f32.hpp"
#  include "qtk/kernels/neon/gemm_s8s4.hpp"
#  include "qtk/kernels/neon/gemm_u8s8.hpp"
#  include "qtk/kernels/neon_dotprod/gemm_s8s4.hpp"
#  include "qtk/kernels/neon_dotprod/gemm_u8s8.hpp"
#  include "qtk/kernels/neon_i8mm/gemm_s8s4.hpp"
#  include "qtk/kernels/neon_i8mm/gemm_u8s8.hpp"
#endif

/// Which kernel serves an operation on an ISA.
namespace qtk::inline QTK_ABI {

namespace detail {

/// The kernels of one ISA, by gemm_op; null: the ISA that it extends serves.
using gemm_row = std::array<const gemm_kernel*, gemm_op_count>;

template <template <gemm_op> class F32>
[[nodiscard]] constexpr gemm_row make_gemm_row(const gemm_kernel* u8_s8,
                                               const gemm_kernel* s8_s4_channel,
                                               const gemm_kernel* s8_s4) {
  return {&gemm_entry<F32<gemm_op::f32_f32>>,
          &gemm_entry<F32<gemm_op::f32_f16>>,
          &gemm_entry<F32<gemm_op::f32_bf16>>,
          &gemm_entry<F32<gemm_op::f32_s8>>,
          &gemm_entry<F32<gemm_op::f32_s4>>,
          &gemm_entry<F32<gemm_op::bf16_bf16>>,
          u8_s8,
          s8_s4_channel,
          s8_s4};
}

/// One row for each ISA, in the order of qtk::isa.
inline constexpr auto gemm_table = [] {
  std::array<gemm_row, all_isas.size()> table{};
  const auto row = [&](isa i) -> gemm_row& { return table[static_cast<std::size_t>(i)]; };
  [[maybe_unused]] const auto set = [&](isa i, const gemm_kernel* k) {
    row(i)[static_cast<std::size_t>(k->op)] = k;
  };
  row(isa::scalar) = make_gemm_row<scalar::gemm_f32_4x8>(&gemm_entry<scalar::gemm_u8s8s32_4x8>,
                                                         &gemm_entry<scalar::gemm_s8s4s32_4x8>,
                                                         &gemm_entry<scalar::gemm_s8s4f32_4x8>);
#if QTK_HAS_XSIMD
  row(isa::generic) = make_gemm_row<generic::gemm_f32_4x2v>(nullptr, nullptr, nullptr);
#endif
#if QTK_X86_64
  row(isa::avx2) = make_gemm_row<avx2::gemm_f32_6x16>(
      &gemm_entry_by_rows<avx2::gemm_u8s8s32_6x16c4, avx2::gemm_u8s8s32_8x16c12, 20>,
      &gemm_entry<avx2::gemm_s8s4s32_6x16c4>, &gemm_entry<avx2::gemm_s8s4f32_6x16c4>);
  row(isa::avx512) = make_gemm_row<avx512::gemm_f32_12x32>(nullptr, nullptr, nullptr);
  set(isa::avx_vnni, &gemm_entry<avx_vnni::gemm_6x16c4<std::uint8_t>>);
  set(isa::avx_vnni, &gemm_entry<avx_vnni::gemm_s8s4s32_6x16c4>);
  set(isa::avx_vnni, &gemm_entry<avx_vnni::gemm_s8s4f32_6x16c4>);
  set(isa::avx512, &gemm_entry<avx512::gemm_bf16bf16f32_12x32c2>);
  set(isa::avx512_vnni, &gemm_entry<avx512_vnni::gemm_u8s8s32_12x32c4>);
  set(isa::avx512_vnni, &gemm_entry<avx512_vnni::gemm_s8s4s32_12x32c8>);
  set(isa::avx512_vnni, &gemm_entry<avx512_vnni::gemm_s8s4f32_12x32c8>);
  set(isa::avx512_bf16, &gemm_entry<avx512_bf16::gemm_bf16bf16f32_12x32c2>);
#elif QTK_AARCH64
  row(isa::neon) = make_gemm_row<neon::gemm_f32_6x16>(&gemm_entry<neon::gemm_u8s8s32_6x16>,
                                                      &gemm_entry<neon::gemm_s8s4s32>,
                                                      &gemm_entry<neon::gemm_s8s4f32>);
  set(isa::neon_dotprod, &gemm_entry<neon_dotprod::gemm_u8s8s32_6x16c4>);
  set(isa::neon_dotprod, &gemm_entry<neon_dotprod::gemm_s8s4s32>);
  set(isa::neon_dotprod, &gemm_entry<neon_dotprod::gemm_s8s4f32>);
  set(isa::neon_i8mm, &gemm_entry<neon_i8mm::gemm_u8s8s32_6x16c8>);
  set(isa::neon_i8mm, &gemm_entry<neon_i8mm::gemm_s8s4s32>);
  set(isa::neon_i8mm, &gemm_entry<neon_i8mm::gemm_s8s4f32>);
#endif
  return table;
}();

/// Entry `index` of ISA `i`, or of the nearest one it extends that has it; scalar has all.
template <class Table>
[[nodiscard]] const auto& find_kernel(const Table& table, std::size_t index, isa i) {
  while (table[static_cast<std::size_t>(i)][index] == nullptr) i = base_of(i);
  return *table[static_cast<std::size_t>(i)][index];
}

}  // namespace detail

QTK_KERNEL_FUNCTION const gemm_kernel& find_gemm(gemm_op op, isa i) {
  return detail::find_kernel(detail::gemm_table, static_cast<std::size_t>(op), i);
}

}  // namespace qtk::inline QTK_ABI
