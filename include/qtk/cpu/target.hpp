#pragma once

#include "qtk/core/config.hpp"

/// Target regions: the only file that knows how a compiler spells "these functions may use AVX2".
///
///     #include <immintrin.h>
///     QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
///     namespace qtk::inline QTK_ABI::avx2 { ... }
///     QTK_TARGET_END
///
/// Every include stands above BEGIN: inside, the standard library's templates would be compiled for
/// AVX2 as well, and the linker might keep those. Only "*.inl" bodies are included inside a region
/// (cmake/check_layers.cmake enforces it).

#define QTK_TARGET_STRING_(...) #__VA_ARGS__
#define QTK_TARGET_STRING(...) QTK_TARGET_STRING_(__VA_ARGS__)

#if defined(__clang__)
#  define QTK_TARGET_BEGIN(features) \
    _Pragma(QTK_TARGET_STRING(       \
        clang attribute push(__attribute__((target(features))), apply_to = function)))
#  define QTK_TARGET_END _Pragma("clang attribute pop")
#elif defined(__GNUC__)
#  define QTK_TARGET_BEGIN(features) \
    _Pragma("GCC push_options") _Pragma(QTK_TARGET_STRING(GCC target(features)))
#  define QTK_TARGET_END _Pragma("GCC pop_options")
#else
#  define QTK_TARGET_BEGIN(features)
#  define QTK_TARGET_END
#endif

#define QTK_FEATURES_AVX2 "avx2,fma,f16c"
#define QTK_FEATURES_AVX_VNNI "avx2,fma,f16c,avxvnni"
#define QTK_FEATURES_AVX512 "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"
#define QTK_FEATURES_AVX512_VNNI QTK_FEATURES_AVX512 ",avx512vnni"
#define QTK_FEATURES_AVX512_BF16 QTK_FEATURES_AVX512_VNNI ",avx512bf16"

/// g++ 12's own AVX-512 headers read an undefined register on purpose and warn about it under
/// -Wall.
#if defined(__GNUC__) && !defined(__clang__)
#  define QTK_IGNORE_UNINITIALIZED_BEGIN                                                 \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wuninitialized\"") \
        _Pragma("GCC diagnostic ignored \"-Wmaybe-uninitialized\"")
#  define QTK_IGNORE_UNINITIALIZED_END _Pragma("GCC diagnostic pop")
#else
#  define QTK_IGNORE_UNINITIALIZED_BEGIN
#  define QTK_IGNORE_UNINITIALIZED_END
#endif
