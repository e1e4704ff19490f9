#pragma once

#include <cstring>
#include <utility>

#include "qtk/kernels/avx2/simd.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
namespace qtk::inline QTK_ABI::avx2 {
#  include "../plane_body.inl"
}  // namespace qtk::inline QTK_ABI::avx2
QTK_TARGET_END
#endif
