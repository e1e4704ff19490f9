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

/// AArch64. To g++ an extension counts from the architecture that introduced it, and naming that
/// one replaces the unit's own: what the unit's flags have already is left as it is ("+simd"), or
/// is named again, or functions from outside of the region could no longer be inlined into it.
#if defined(__clang__)
#  define QTK_FEATURES_NEON_DOTPROD "dotprod"
#  define QTK_FEATURES_NEON_I8MM "dotprod,i8mm"
#elif defined(__aarch64__)
#  if defined(__ARM_FEATURE_AES)
#    define QTK_UNIT_CRYPTO_ "+crypto"
#  else
#    define QTK_UNIT_CRYPTO_ ""
#  endif
#  if defined(__ARM_FEATURE_FP16_SCALAR_ARITHMETIC)
#    define QTK_UNIT_FP16_ "+fp16"
#  else
#    define QTK_UNIT_FP16_ ""
#  endif
#  if defined(__ARM_FEATURE_SVE)
#    define QTK_UNIT_SVE_ "+sve"
#  else
#    define QTK_UNIT_SVE_ ""
#  endif
#  define QTK_DOTPROD_ "arch=armv8.2-a+dotprod" QTK_UNIT_CRYPTO_ QTK_UNIT_FP16_ QTK_UNIT_SVE_
#  if defined(__ARM_FEATURE_DOTPROD)
#    define QTK_FEATURES_NEON_DOTPROD "+simd"
#  else
#    define QTK_FEATURES_NEON_DOTPROD QTK_DOTPROD_
#  endif
#  if defined(__ARM_FEATURE_MATMUL_INT8)
#    define QTK_FEATURES_NEON_I8MM QTK_FEATURES_NEON_DOTPROD
#  elif defined(__ARM_FEATURE_DOTPROD)
#    define QTK_FEATURES_NEON_I8MM "+i8mm"
#  else
#    define QTK_FEATURES_NEON_I8MM QTK_DOTPROD_ "+i8mm"
#  endif
#endif

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
