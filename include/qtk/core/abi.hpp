#pragma once

/// Version and ABI namespace.
///
/// Every public name lives in `namespace qtk::inline QTK_ABI`. The tag depends on what changes the
/// code that headers generate (the translation unit's own `-m` flags, exceptions, profiling), so
/// that mixing such units gives two distinct symbols or a link error, never one surviving copy with
/// instructions that the CPU lacks.

#define QTK_VERSION_MAJOR 0
#define QTK_VERSION_MINOR 1
#define QTK_VERSION_PATCH 0

#if defined(__AVX512F__)
#  define QTK_ABI_ISA avx512
#elif defined(__AVX2__)
#  define QTK_ABI_ISA avx2
#elif defined(__AVX__)
#  define QTK_ABI_ISA avx
#elif defined(__ARM_FEATURE_DOTPROD)
#  define QTK_ABI_ISA dotprod
#else
#  define QTK_ABI_ISA base
#endif

#if defined(__cpp_exceptions)
#  define QTK_ABI_EXCEPTIONS x
#else
#  define QTK_ABI_EXCEPTIONS nox
#endif

#if defined(QTK_NO_PROFILE)
#  define QTK_ABI_PROFILE noprof
#else
#  define QTK_ABI_PROFILE prof
#endif

#define QTK_ABI_JOIN_(a, b, c) v0_##a##_##b##_##c
#define QTK_ABI_JOIN(a, b, c) QTK_ABI_JOIN_(a, b, c)
#define QTK_ABI QTK_ABI_JOIN(QTK_ABI_ISA, QTK_ABI_EXCEPTIONS, QTK_ABI_PROFILE)

namespace qtk::inline QTK_ABI {
inline constexpr int version_major = QTK_VERSION_MAJOR;
inline constexpr int version_minor = QTK_VERSION_MINOR;
inline constexpr int version_patch = QTK_VERSION_PATCH;
}  // namespace qtk::inline QTK_ABI
