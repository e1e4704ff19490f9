#pragma once

#include <cstddef>
#include <qtk/cpu/isa.hpp>
#include <qtk/cpu/target.hpp>

/// Passes over memory that compute nothing: what elementwise kernels are held against.
namespace bench {

namespace baseline {
inline constexpr std::size_t vector_bytes = 16;
#include "stream_pass.inl"
}  // namespace baseline

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
namespace avx2 {
inline constexpr std::size_t vector_bytes = 32;
#  include "stream_pass.inl"
}  // namespace avx2
QTK_TARGET_END

QTK_TARGET_BEGIN(QTK_FEATURES_AVX512)
namespace avx512 {
inline constexpr std::size_t vector_bytes = 64;
#  include "stream_pass.inl"
}  // namespace avx512
QTK_TARGET_END
#endif

using stream_pass = void (*)(std::size_t n, const std::byte* a, const std::byte* b, std::byte* y);

/// The pass of the vectors that kernels of `target` have.
template <std::size_t In, std::size_t Out>
[[nodiscard]] stream_pass find_stream_pass([[maybe_unused]] qtk::isa target) {
#if QTK_X86_64
  if (target >= qtk::isa::avx512) return &avx512::stream<In, Out>;
  if (target >= qtk::isa::avx2) return &avx2::stream<In, Out>;
#endif
  return &baseline::stream<In, Out>;
}

}  // namespace bench
