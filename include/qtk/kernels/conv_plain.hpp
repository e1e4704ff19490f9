#pragma once

#include <cstring>

#include "qtk/kernels/tile.hpp"

namespace qtk::inline QTK_ABI {

/// Output pixels that are neighbors in the image.
struct pixel_run {
  std::size_t from, at, length;  // image element of its first pixel, column, pixels
};

/// Tiles of filters for one pixel; where there are fewer, one of them again.
template <class A>
struct filter_tiles {
  static constexpr std::size_t most = 4;  // hides the latency of a multiply-add
  const A* a[most];
  std::size_t rows[most];  // 16 at most
};

/// The parts of a convolution around its microkernel, in plain C++ and short vectors that every
/// target has: for kernels without their own.
template <std::size_t Nr, std::size_t Kr>
struct conv_plain {
  /// Each run is copied as if it went on to the end of the panel; the next one corrects that.
  template <class T>
  static void pack(const T* image, const std::size_t* offsets, std::size_t packed_k,
                   const pixel_run* runs, std::size_t count, T* out) noexcept {
    for (std::size_t k = 0; k < packed_k; k += Kr, out += Kr * Nr)
      for (std::size_t r = 0; r < count; ++r)
        interleave(image + runs[r].from, offsets + k, out + runs[r].at * Kr);
  }

  /// out[i * Kr + q] = from[offsets[q] + i] for Nr pixels. By vectors, because g++ -O2 makes byte
  /// moves of the plain loop.
  template <class T>
  static void interleave(const T* from, const std::size_t* offsets, T* out) noexcept {
    if constexpr (Kr == 1) {
      std::memcpy(out, from + offsets[0], Nr * sizeof(T));
    } else if constexpr (Kr == 2 && sizeof(T) == 1 && Nr % 16 == 0) {
      for (std::size_t i = 0; i < Nr; i += 16) {
        const codes a = load(from + offsets[0] + i), b = load(from + offsets[1] + i);
        store(out + 2 * i, pairs(a, b, lower{}));
        store(out + 2 * i + 16, pairs(a, b, upper{}));
      }
    } else if constexpr (Kr == 4 && sizeof(T) == 1 && Nr % 16 == 0) {
      for (std::size_t i = 0; i < Nr; i += 16) {
        const codes a = load(from + offsets[0] + i), b = load(from + offsets[1] + i);
        const codes c = load(from + offsets[2] + i), d = load(from + offsets[3] + i);
        const codes ab = pairs(a, b, lower{}), cd = pairs(c, d, lower{});
        const codes ef = pairs(a, b, upper{}), gh = pairs(c, d, upper{});
        store(out + 4 * i, quads(ab, cd, lower{}));
        store(out + 4 * i + 16, quads(ab, cd, upper{}));
        store(out + 4 * i + 32, quads(ef, gh, lower{}));
        store(out + 4 * i + 48, quads(ef, gh, upper{}));
      }
    } else {
      for (std::size_t i = 0; i < Nr; ++i)
        for (std::size_t q = 0; q < Kr; ++q) out[i * Kr + q] = from[offsets[q] + i];
    }
  }

 private:
  using codes = std::uint8_t __attribute__((vector_size(16)));
  using lower = std::integral_constant<int, 0>;
  using upper = std::integral_constant<int, 8>;

  template <class T>
  [[nodiscard]] static codes load(const T* p) noexcept {
    codes v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  template <class T>
  static void store(T* p, codes v) noexcept {
    std::memcpy(p, &v, sizeof v);
  }
  /// Elements of one half of a and b, in turns: singly, or two by two.
  template <int H>
  [[nodiscard]] static codes pairs(codes a, codes b, std::integral_constant<int, H>) noexcept {
    return __builtin_shufflevector(a, b, H, H + 16, H + 1, H + 17, H + 2, H + 18, H + 3, H + 19,
                                   H + 4, H + 20, H + 5, H + 21, H + 6, H + 22, H + 7, H + 23);
  }
  template <int H>
  [[nodiscard]] static codes quads(codes a, codes b, std::integral_constant<int, H>) noexcept {
    return __builtin_shufflevector(a, b, H, H + 1, H + 16, H + 17, H + 2, H + 3, H + 18, H + 19,
                                   H + 4, H + 5, H + 20, H + 21, H + 6, H + 7, H + 22, H + 23);
  }
};

}  // namespace qtk::inline QTK_ABI
