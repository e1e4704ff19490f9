#pragma once

#include "qtk/kernels/avx512/plane.hpp"
#include "qtk/kernels/conv_types.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512)
QTK_IGNORE_UNINITIALIZED_BEGIN
namespace qtk::inline QTK_ABI::avx512 {
#  include "../conv_rows_body.inl"
}  // namespace qtk::inline QTK_ABI::avx512
QTK_IGNORE_UNINITIALIZED_END
QTK_TARGET_END
#endif
