#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "qtk/kernels/elementwise.hpp"
#include "qtk/ops/window.hpp"
#include "qtk/quantize/quantize.hpp"

namespace qtk::inline QTK_ABI {

/// How an image lies in memory for a convolution: rows with their padding written out, columns
/// sorted by their remainder modulo the stride, so that the pixels of an output row are neighbors.
struct image_arrangement {
  std::size_t height, phase, width, plane;  // rows, columns of one remainder, of all; elements

  image_arrangement(const shape& x, const window_2d& w) noexcept
      : height(x[2] + w.pad_top + w.pad_bottom),
        phase(ceil_div(x[3] + w.pad_left + w.pad_right, w.stride_w)),
        width(phase * w.stride_w),
        plane(height * width) {}

  /// Where tap (i, j) of a channel lies for output pixel 0.
  [[nodiscard]] std::size_t tap(const window_2d& w, std::size_t i, std::size_t j) const noexcept {
    const std::size_t column = j * w.dilation_w;
    return i * w.dilation_h * width + column % w.stride_w * phase + column / w.stride_w;
  }

  /// Rows that taps of output rows [begin, end) fall on.
  [[nodiscard]] row_range rows(const window_2d& w, std::size_t begin,
                               std::size_t end) const noexcept {
    return {begin * w.stride_h, (end - 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h + 1};
  }
  /// Those of the image that are among `rows`.
  [[nodiscard]] static row_range inside(const shape& x, const window_2d& w,
                                        row_range rows) noexcept {
    const auto row = [&](std::size_t r) { return std::min(r - std::min(r, w.pad_top), x[2]); };
    return {row(rows.begin), row(rows.end)};
  }

  /// Copies `rows` of image x, `padding` around it.
  template <class T>
  void fill(const shape& x, const window_2d& w, row_range rows, const T* image, T padding,
            T* to) const noexcept {
    const bool padded = width != x[3] || height != x[2];
    if (padded && rows.begin == 0 && rows.end == height)
      std::fill_n(to, x[1] * plane, padding);
    else if (padded)
      for (std::size_t c = 0; c < x[1]; ++c)
        std::fill_n(to + c * plane + rows.begin * width, (rows.end - rows.begin) * width, padding);
    const row_range given = inside(x, w, rows);
    for (std::size_t c = 0; c < x[1]; ++c) {
      const T* from = image + (c * x[2] + given.begin) * x[3];
      T* row = to + c * plane + (given.begin + w.pad_top) * width;
      for (std::size_t h = given.begin; h < given.end; ++h, from += x[3], row += width) {
        // Rows that every window passes over.
        if (w.kernel_h == 1 && (h + w.pad_top) % w.stride_h != 0) continue;
        if (w.stride_w == 1)
          copy(from, x[3], row + w.pad_left);
        else if (w.stride_w == 2)
          halve(from, x[3], row + w.pad_left % 2 * phase + w.pad_left / 2,
                row + (w.pad_left + 1) % 2 * phase + (w.pad_left + 1) / 2);
        else
          for (std::size_t r = 0; r < w.stride_w; ++r) {
            const std::size_t column = w.pad_left + r;
            T* at = row + column % w.stride_w * phase + column / w.stride_w;
            for (std::size_t i = r; i < x[3]; i += w.stride_w) *at++ = from[i];
          }
      }
    }
  }

 private:
  /// std::copy_n for rows of some dozen bytes, where the call would take longer than the copy.
  template <class T>
  static void copy(const T* from, std::size_t n, T* to) noexcept {
    constexpr std::size_t whole = 16 / sizeof(T), half = whole / 2;
    if (n >= whole) {
      for (std::size_t i = 0; i + whole <= n; i += whole) std::memcpy(to + i, from + i, 16);
      std::memcpy(to + n - whole, from + n - whole, 16);
    } else if (n >= half) {
      std::memcpy(to, from, 8);
      std::memcpy(to + n - half, from + n - half, 8);
    } else {
      for (std::size_t i = 0; i < n; ++i) to[i] = from[i];
    }
  }

  /// Elements 0, 2 ... to `even`, 1, 3 ... to `odd`.
  template <class T>
  static void halve(const T* from, std::size_t n, T* even, T* odd) noexcept {
    constexpr std::size_t lanes = 16 / sizeof(T), body_step = 2 * lanes;
    const std::size_t body = n - n % body_step;
    for (std::size_t i = 0; i < body; i += body_step)
      halve_pair(from + i, even + i / 2, odd + i / 2, std::make_index_sequence<lanes>{});
    for (std::size_t i = body; i < n; ++i) (i % 2 == 0 ? even : odd)[i / 2] = from[i];
  }
  using four_floats = float __attribute__((vector_size(16)));
  using sixteen_codes = std::uint8_t __attribute__((vector_size(16)));

  static four_floats load(const float* p) noexcept { return load_unaligned<four_floats>(p); }
  static sixteen_codes load(const std::uint8_t* p) noexcept {
    return load_unaligned<sixteen_codes>(p);
  }
  /// By vectors that every target has: g++ -O2 moves single elements in the plain loop.
  template <class T, std::size_t... I>
  static void halve_pair(const T* from, T* even, T* odd, std::index_sequence<I...>) noexcept {
    const auto a = load(from), b = load(from + sizeof...(I));
    const auto low = __builtin_shufflevector(a, b, (2 * static_cast<int>(I))...);
    const auto high = __builtin_shufflevector(a, b, (2 * static_cast<int>(I) + 1)...);
    std::memcpy(even, &low, 16);
    std::memcpy(odd, &high, 16);
  }
};

/// Codes of uint8 as those of int8, which are 128 less.
inline void signed_codes(std::size_t n, const std::uint8_t* from, std::uint8_t* to) noexcept {
  constexpr std::uint64_t top = 0x8080808080808080u;
  const std::size_t body = n - n % 8;
  for (std::size_t i = 0; i < body; i += 8) {
    std::uint64_t eight;
    std::memcpy(&eight, from + i, 8);
    eight ^= top;
    std::memcpy(to + i, &eight, 8);
  }
  for (std::size_t i = body; i < n; ++i) to[i] = from[i] ^ 0x80u;
}

/// Scale and zero point of an image that is quantized to uint8 on the way in: `fixed`, where given,
/// else by its range (ONNX DynamicQuantizeLinear).
[[nodiscard]] inline block_scale image_codes(const elementwise_kernels& k, std::size_t elements,
                                             const float* image,
                                             const std::optional<block_scale>& fixed) {
  if (fixed) return *fixed;
  value_range range;
  k.minmax(elements, image, &range.lo, &range.hi);
  return choose_params(range, codes_of<uint8>, symmetry::asymmetric);
}

}  // namespace qtk::inline QTK_ABI
