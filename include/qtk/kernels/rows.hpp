#pragma once

#include "qtk/kernels/panels.hpp"

/// Packs rows of A for a tile: rows interleaved, kr codes of a row side by side. A is a matrix or
/// an image seen through a window (implicit GEMM). Plain C++ for all ISAs.
namespace qtk::inline QTK_ABI {

template <class Source, class Packed, std::size_t Mr, std::size_t Kr>
class row_packer {
 public:
  row_packer(const gemm_args& args, const k_layout& layout) noexcept
      : args_(args), layout_(layout), inside_(stays_inside(args)) {}

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
    else if (inside_)
      pack_inside<Rows>(m, n, out);
    else
      pack_window<Rows>(m, n, out);
  }

  /// Whether no window of the image reaches outside and one zero point serves all rows: conv2d pads
  /// its images, so that this is how convolutions come in.
  [[nodiscard]] static bool stays_inside(const gemm_args& args) noexcept {
    if (args.window == nullptr || (args.a_zero_points != nullptr && args.a_scale_stride != 0))
      return false;
    const conv_window& w = *args.window;
    const auto reach = [](std::size_t out, std::size_t stride, std::size_t kernel,
                          std::size_t step) { return (out - 1) * stride + (kernel - 1) * step; };
    return w.pad_top == 0 && w.pad_left == 0 && w.out_height != 0 && w.out_width != 0 &&
           reach(w.out_height, w.stride_h, w.kernel_h, w.dilation_h) < w.height &&
           reach(w.out_width, w.stride_w, w.kernel_w, w.dilation_w) < w.width;
  }

  /// Every tap of every row is an address: the row's pixel plus an offset that all rows share.
  /// Where the pixels of a tile are neighbors, a step of kr taps is kr short loads, interleaved.
  template <std::size_t Rows>
  void pack_inside(std::size_t m, std::size_t rows, Packed* out) const noexcept {
    const conv_window& w = *args_.window;
    const std::int32_t zero = zero_point(0);
    const auto* const image = static_cast<const Source*>(args_.a);
    const Source* pixel[Mr];
    std::size_t y = m / w.out_width, x = m % w.out_width;
    for (std::size_t i = 0; i < rows; ++i) {
      pixel[i] = image + y * w.stride_h * w.width + x * w.stride_w;
      if (++x == w.out_width) x = 0, ++y;
    }
    // The last tap reaches furthest; loads of `span` elements from it must stay in the image.
    const std::size_t furthest = (w.channels - 1) * w.height * w.width +
                                 (w.kernel_h - 1) * w.dilation_h * w.width +
                                 (w.kernel_w - 1) * w.dilation_w;
    const bool neighbors =
        Rows != 0 && pixel[rows - 1] - pixel[0] == static_cast<std::ptrdiff_t>(rows) - 1 &&
        static_cast<std::size_t>(pixel[0] - image) + furthest + step_span<Rows> <=
            w.channels * w.height * w.width;
    std::size_t offsets[Kr], k = 0;
    for (std::size_t c = 0; c < w.channels; ++c)
      for (std::size_t a = 0; a < w.kernel_h; ++a) {
        std::size_t offset = c * w.height * w.width + a * w.dilation_h * w.width;
        for (std::size_t b = 0; b < w.kernel_w; ++b, ++k, offset += w.dilation_w) {
          const std::size_t p = layout_.position(k), r = p % Kr;
          offsets[r] = offset;
          Packed* const to = out + (p - r) * rows;
          if (r + 1 == Kr && neighbors) {
            if constexpr (Rows != 0) interleave<Rows>(pixel[0], offsets, zero, to);
          } else if (r + 1 == Kr) {
            for (std::size_t i = 0; i < rows; ++i)
              for (std::size_t q = 0; q < Kr; ++q)
                to[i * Kr + q] = convert(pixel[i][offsets[q]], zero);
          } else if (k + 1 == args_.K || layout_.position(k + 1) != p + 1) {  // the group ends
            for (std::size_t i = 0; i < rows; ++i)
              for (std::size_t q = 0; q <= r; ++q)
                to[i * Kr + q] = convert(pixel[i][offsets[q]], zero);
          }
        }
      }
  }

  /// Elements that interleave() reads from each tap.
  template <std::size_t Rows>
  static constexpr std::size_t step_span = Kr == 1     ? Rows
                                           : Rows <= 8 ? 8
                                                       : 16;

  /// to[i * Kr + q] = from[offsets[q] + i]: short vectors that every target has, because g++ -O2
  /// makes byte moves of the plain loop (7 cycles instead of 2 for six pairs).
  template <std::size_t Rows>
  static void interleave(const Source* from, const std::size_t* offsets, std::int32_t zero,
                         Packed* to) noexcept {
    if constexpr (Kr == 1 && !subtracts) {
      std::memcpy(to, from + offsets[0], Rows * sizeof(Packed));
    } else if constexpr (Kr == 2 && Rows <= 8 && std::is_same_v<Source, std::uint8_t> &&
                         std::is_same_v<Packed, std::int16_t>) {
      using bytes = std::uint8_t __attribute__((vector_size(8)));
      using words = std::int16_t __attribute__((vector_size(16)));
      bytes a, b;
      std::memcpy(&a, from + offsets[0], sizeof a);
      std::memcpy(&b, from + offsets[1], sizeof b);
      const words x = __builtin_convertvector(a, words) - static_cast<std::int16_t>(zero);
      const words z = __builtin_convertvector(b, words) - static_cast<std::int16_t>(zero);
      const words low = __builtin_shufflevector(x, z, 0, 8, 1, 9, 2, 10, 3, 11);
      const words high = __builtin_shufflevector(x, z, 4, 12, 5, 13, 6, 14, 7, 15);
      constexpr std::size_t size = Rows * Kr * sizeof(Packed);
      std::memcpy(to, &low, std::min<std::size_t>(size, 16));
      if constexpr (size > 16) std::memcpy(to + 8, &high, size - 16);
    } else if constexpr (Kr == 4 && Rows <= 16 && sizeof(Source) == 1 && sizeof(Packed) == 1) {
      using half_line = std::uint8_t __attribute__((vector_size(16)));
      half_line v[4] = {};
      for (std::size_t q = 0; q < 4; ++q) std::memcpy(&v[q], from + offsets[q], step_span<Rows>);
      const auto pairs = [](half_line p, half_line q, auto high) {
        constexpr int h = decltype(high)::value ? 8 : 0;
        return static_cast<half_line>(
            __builtin_shufflevector(p, q, h, 16 + h, h + 1, 17 + h, h + 2, 18 + h, h + 3, 19 + h,
                                    h + 4, 20 + h, h + 5, 21 + h, h + 6, 22 + h, h + 7, 23 + h));
      };
      const auto quads = [](half_line p, half_line q, auto high) {
        constexpr int h = decltype(high)::value ? 8 : 0;
        return static_cast<half_line>(
            __builtin_shufflevector(p, q, h, h + 1, 16 + h, 17 + h, h + 2, h + 3, 18 + h, 19 + h,
                                    h + 4, h + 5, 20 + h, 21 + h, h + 6, h + 7, 22 + h, 23 + h));
      };
      constexpr std::false_type lower{};
      constexpr std::true_type upper{};
      const half_line p0 = pairs(v[0], v[1], lower), p1 = pairs(v[2], v[3], lower);
      const half_line p2 = pairs(v[0], v[1], upper), p3 = pairs(v[2], v[3], upper);
      const half_line lines[4] = {quads(p0, p1, lower), quads(p0, p1, upper), quads(p2, p3, lower),
                                  quads(p2, p3, upper)};
      std::memcpy(to, lines, Rows * Kr);
    } else {
      for (std::size_t i = 0; i < Rows; ++i)
        for (std::size_t q = 0; q < Kr; ++q) to[i * Kr + q] = convert(from[offsets[q] + i], zero);
    }
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
  bool inside_;
};

}  // namespace qtk::inline QTK_ABI
