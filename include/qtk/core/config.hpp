#pragma once

#include <bit>
#include <cassert>

#include "qtk/core/abi.hpp"

/// Compiler and platform facts, each in one place.

static_assert(std::endian::native == std::endian::little,
              "qtk reads little-endian files in place and packs nibbles low first");

#if defined(__FAST_MATH__)
#  error "qtk needs IEEE arithmetic: -ffast-math folds its rounding away and changes codes silently"
#endif

/// Fixed-trip loops over registers: g++ -O2 keeps accumulator arrays in memory without it
/// (fp32 6x16: 36 instead of 111 GFLOP/s). A literal, because g++ 12 rejects a template parameter.
#define QTK_UNROLL _Pragma("GCC unroll 64")

/// Parts of microkernels whose arguments are arrays of registers: in memory, were they ever called.
#define QTK_ALWAYS_INLINE [[gnu::always_inline]] inline

/// Precondition of a kernel: checked in debug builds only, kernels never throw.
#define QTK_ASSERT(condition) assert(condition)

#if defined(__cpp_exceptions)
#  define QTK_HAS_EXCEPTIONS 1
#else
#  define QTK_HAS_EXCEPTIONS 0
#endif

/// xsimd is the floor for architectures without a hand-written kernel folder; without it the
/// scalar policy takes its place.
#if !defined(QTK_HAS_XSIMD)
#  if !defined(QTK_NO_XSIMD) && __has_include(<xsimd/xsimd.hpp>)
#    define QTK_HAS_XSIMD 1
#  else
#    define QTK_HAS_XSIMD 0
#  endif
#endif

#if defined(__x86_64__) || defined(_M_X64)
#  define QTK_X86_64 1
#else
#  define QTK_X86_64 0
#endif

#if defined(__aarch64__)
#  define QTK_AARCH64 1
#else
#  define QTK_AARCH64 0
#endif
