#pragma once

#include "qtk/kernels/avx512_vnni/simd.hpp"
#include "qtk/kernels/elementwise_types.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512_VNNI)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512_vnni {
#  include "../elementwise_body.inl"
}  // namespace qtk::inline QTK_ABI::avx512_vnni
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
