#pragma once

#include "qtk/kernels/panels.hpp"

/// Packs rows of A for a tile: rows interleaved, kr codes of a row side by side. A is a matrix or
/// an image seen through a window (implicit GEMM). Plain C++ for all ISAs.
namespace qtk::inline QTK_ABI {

template <class Source, class Packed, std::size_t Mr, std::size_t Kr>
class row_packer {
 public:
  row_packer(const gemm_args& args, const k_layout& layout) noexcept
      : args_(args), layout_(layout) {}

  /// Packs rows [m, m + rows) of A to `out`: layout.packed_k * rows elements. Padding is zero.
  void pack(std::size_t m, std::size_t rows, Packed* out) const noexcept {
    // The full height as a constant: copies of a known length become single instructions.
    if (rows == Mr)
      pack_rows<Mr>(m, rows, out);
    else
      pack_rows<0>(m, rows, out);
  }

  /// Sums of the packed codes over each group: (groups, rows).
  void sum_groups(const Packed* packed, std::size_t rows, std::int32_t* sums) const noexcept {
    for (std::size_t g = 0; g < layout_.groups; ++g, sums += rows) {
      const std::size_t begin = g * layout_.group_k;
      const std::size_t end = std::min(begin + layout_.group_k, layout_.packed_k);
      std::fill_n(sums, rows, 0);
      for (std::size_t k = begin; k < end; k += Kr)
        for (std::size_t i = 0; i < rows; ++i)
          for (std::size_t r = 0; r < Kr; ++r) sums[i] += packed[k * rows + i * Kr + r];
    }
  }

 private:
  [[nodiscard]] std::int32_t zero_point(std::size_t m) const noexcept {
    if constexpr (std::is_same_v<Source, std::uint8_t>)
      return args_.a_zero_points == nullptr ? 0 : args_.a_zero_points[m * args_.a_scale_stride];
    else
      return 0;
  }
  /// int16 kernels take the zero point off here; padding then is zero.
  static constexpr bool subtracts = sizeof(Packed) > sizeof(Source);
  [[nodiscard]] static Packed convert(Source x, std::int32_t zero) noexcept {
    if constexpr (subtracts)
      return static_cast<Packed>(x - zero);
    else
      return x;
  }

  template <std::size_t Rows>
  void pack_rows(std::size_t m, std::size_t rows, Packed* out) const noexcept {
    const std::size_t n = Rows == 0 ? rows : Rows;
    if (layout_.packed_k != args_.K) std::fill_n(out, layout_.packed_k * n, Packed{});
    if (args_.window == nullptr)
      pack_matrix(m, n, out);
    else
      pack_window<Rows>(m, n, out);
  }

  void pack_matrix(std::size_t m, std::size_t rows, Packed* out) const noexcept {
    // 64 columns of all rows at a time: both sides stay in the first-level cache.
    constexpr std::size_t chunk = 64;
    for (std::size_t g = 0; g < layout_.groups; ++g) {
      const std::size_t group_begin = g * layout_.group_size;
      const std::size_t group_end = std::min(args_.K, group_begin + layout_.group_size);
      Packed* const group = out + g * layout_.group_k * rows;
      for (std::size_t k0 = group_begin; k0 < group_end; k0 += chunk) {
        const std::size_t length = std::min(chunk, group_end - k0);
        Packed* const to = group + (k0 - group_begin) * rows;
        for (std::size_t i = 0; i < rows; ++i) {
          const auto* row = static_cast<const Source*>(args_.a) + (m + i) * args_.lda + k0;
          const std::int32_t zero = zero_point(m + i);
          const std::size_t body = length - length % Kr;
          for (std::size_t k = 0; k < body; k += Kr)
            for (std::size_t r = 0; r < Kr; ++r)
              to[k * rows + i * Kr + r] = convert(row[k + r], zero);
          for (std::size_t k = body; k < length; ++k)
            to[body * rows + i * Kr + k - body] = convert(row[k], zero);
        }
      }
    }
  }

  /// Rows are cut where the output row ends: within a piece, neighbors differ by stride_w alone.
  template <std::size_t Rows>
  void pack_window(std::size_t m, std::size_t rows, Packed* out) const noexcept {
    const conv_window& w = *args_.window;
    std::size_t y = m / w.out_width, x = m % w.out_width;
    for (std::size_t i = 0; i < rows; x = 0, ++y) {
      const std::size_t length = std::min(rows - i, w.out_width - x);
      if (Rows != 0 && length == Rows)
        pack_piece<Rows>(m, y, x, i, length, rows, out);
      else
        pack_piece<0>(m, y, x, i, length, rows, out);
      i += length;
    }
  }

  /// Rows [i, i + length) of the tile: pixels (y, x), (y, x + 1) ... For each tap it is known once
  /// for all channels which of them fall outside of the image.
  template <std::size_t Length>
  void pack_piece(std::size_t m, std::size_t y, std::size_t x, std::size_t i, std::size_t length,
                  std::size_t rows, Packed* out) const noexcept {
    using signed_size = std::ptrdiff_t;
    const conv_window& w = *args_.window;
    const std::size_t taps = w.kernel_h * w.kernel_w, plane = w.height * w.width;
    const auto* image = static_cast<const Source*>(args_.a);
    for (std::size_t t = 0; t < taps; ++t) {
      const auto iy = static_cast<signed_size>(y * w.stride_h + t / w.kernel_w * w.dilation_h) -
                      static_cast<signed_size>(w.pad_top);
      const auto ix = static_cast<signed_size>(x * w.stride_w + t % w.kernel_w * w.dilation_w) -
                      static_cast<signed_size>(w.pad_left);
      const bool row_inside = iy >= 0 && iy < static_cast<signed_size>(w.height);
      // Pixels [first, last) of the piece lie inside: ix + j * stride_w in [0, width).
      const auto reach = [&](signed_size limit) {  // pixels with ix + j * stride_w < limit
        if (ix >= limit) return std::size_t{0};
        return std::min(length, ceil_div(static_cast<std::size_t>(limit - ix), w.stride_w));
      };
      const std::size_t last = row_inside ? reach(static_cast<signed_size>(w.width)) : 0;
      const std::size_t first = row_inside ? std::min(reach(0), last) : 0;
      const bool run = w.stride_w == 1 && first == 0 && last == length;
      // Only formed where something is inside, so that it never points out of the image.
      const Source* source = first < last ? image + (iy * static_cast<signed_size>(w.width) + ix +
                                                     static_cast<signed_size>(first * w.stride_w))
                                          : image;
      for (std::size_t c = 0, k = t; c < w.channels; ++c, k += taps) {
        const std::size_t p = layout_.position(k);
        Packed* const to = out + (p / Kr * rows + i) * Kr + p % Kr;
        if (run) {
          const std::size_t n = Length == 0 ? length : Length;
          for (std::size_t j = 0; j < n; ++j)
            to[j * Kr] = convert(source[j], zero_point(m + i + j));
        } else {
          for (std::size_t j = 0; j < length; ++j) {
            const bool inside = j >= first && j < last;
            const std::int32_t zero = zero_point(m + i + j);
            to[j * Kr] = inside ? convert(source[(j - first) * w.stride_w], zero)
                                : convert(static_cast<Source>(zero), zero);
          }
        }
        if (first < last && c + 1 < w.channels) source += plane;
      }
    }
  }

  const gemm_args& args_;
  const k_layout& layout_;
};

}  // namespace qtk::inline QTK_ABI
