#pragma once

#include "qtk/kernels/avx2/plane.hpp"
#include "qtk/kernels/conv_types.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
namespace qtk::inline QTK_ABI::avx2 {
#  include "../conv_rows_body.inl"
}  // namespace qtk::inline QTK_ABI::avx2
QTK_TARGET_END
#endif
