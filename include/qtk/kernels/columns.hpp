#pragma once

#include <algorithm>
#include <cstring>

#include "qtk/kernels/conv_types.hpp"

/// Packs a panel of pixels for a convolution: Nr pixels side by side, k in steps of Kr. Plain C++
/// and short vectors that every target has.
namespace qtk::inline QTK_ABI {

template <class T, std::size_t Nr, std::size_t Kr>
class column_packer {
 public:
  column_packer(const conv_args& args, std::size_t packed_k) noexcept
      : args_(args), packed_k_(packed_k) {
    for (std::size_t k = 0; k < packed_k; ++k) furthest_ = std::max(furthest_, args.offsets[k]);
  }

  /// Elements that pack() writes.
  [[nodiscard]] static constexpr std::size_t panel_elements(std::size_t packed_k) noexcept {
    return (packed_k + Kr) * Nr;  // a step more: copies of Nr pixels run over the end
  }

  /// Pixels [pixel, pixel + Nr) as far as they exist; what is beyond is anything.
  void pack(std::size_t pixel, T* out) const noexcept {
    run runs[Nr];
    std::size_t count = 0;
    const std::size_t columns = std::min(Nr, args_.pixel_end - pixel);
    const std::size_t y = pixel / args_.out_width;
    std::size_t x = pixel % args_.out_width, from = y * args_.row_step + x;
    for (std::size_t i = 0; i < columns; x = 0) {
      const std::size_t length = std::min(columns - i, args_.out_width - x);
      runs[count++] = {from, i, length};
      i += length;
      from += args_.row_step - x;
    }
    if (runs[count - 1].from + furthest_ + Nr > args_.image_size)
      pack_end(runs, count, out);
    else if (count == 1)
      pack_runs<1>(runs, count, out);
    else
      pack_runs<0>(runs, count, out);
  }

 private:
  struct run {
    std::size_t from, at, length;  // image element of its first pixel, column, pixels
  };

  [[nodiscard]] const T* image() const noexcept { return static_cast<const T*>(args_.image); }

  /// Each run is copied as if it went on to the end of the panel; the next one corrects that.
  template <std::size_t Count>
  void pack_runs(const run* runs, std::size_t count, T* out) const noexcept {
    const std::size_t n = Count == 0 ? count : Count;
    for (std::size_t k = 0; k < packed_k_; k += Kr, out += Kr * Nr)
      for (std::size_t r = 0; r < n; ++r)
        interleave(image() + runs[r].from, args_.offsets + k, out + runs[r].at * Kr);
  }

  /// Near the end of an image: steps whose copies would run over it read only what they need.
  void pack_end(const run* runs, std::size_t count, T* out) const noexcept {
    for (std::size_t k = 0; k < packed_k_; k += Kr, out += Kr * Nr) {
      const std::size_t* const offsets = args_.offsets + k;
      const std::size_t reach = *std::max_element(offsets, offsets + Kr) + Nr;
      for (std::size_t r = 0; r < count; ++r) {
        const T* const from = image() + runs[r].from;
        T* const to = out + runs[r].at * Kr;
        if (runs[r].from + reach <= args_.image_size)
          interleave(from, offsets, to);
        else
          for (std::size_t i = 0; i < runs[r].length; ++i)
            for (std::size_t q = 0; q < Kr; ++q) to[i * Kr + q] = from[offsets[q] + i];
      }
    }
  }

  /// out[i * Kr + q] = from[offsets[q] + i] for Nr pixels. By vectors, because g++ -O2 makes byte
  /// moves of the plain loop.
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

  using codes = std::uint8_t __attribute__((vector_size(16)));
  using lower = std::integral_constant<int, 0>;
  using upper = std::integral_constant<int, 8>;

  [[nodiscard]] static codes load(const T* p) noexcept {
    codes v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static void store(T* p, codes v) noexcept { std::memcpy(p, &v, sizeof v); }
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

  const conv_args& args_;
  std::size_t packed_k_;
  std::size_t furthest_ = 0;
};

}  // namespace qtk::inline QTK_ABI
