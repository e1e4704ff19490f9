#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "qtk/core/numeric.hpp"
#include "qtk/ops/window.hpp"

namespace qtk::inline QTK_ABI::detail {

/// The largest code of each 2-D window, some output rows at a time: of the rows of the image first,
/// then of neighbors in those, at every column, of which the stride picks some. Padding is the
/// least code. By vectors that every target has (64 planes of 112 x 112 by 3 x 3, stride 2: 90 us
/// instead of 1200).
class code_pool {
 public:
  code_pool(const window_2d& w, std::size_t height, std::size_t width, std::size_t out_width)
      : w_(w),
        height_(height),
        width_(width),
        out_width_(out_width),
        pitch_(std::max(w.pad_left + width,
                        (out_width - 1) * w.stride_w + (w.kernel_w - 1) * w.dilation_w + 1)) {}

  /// Whether a row has room, and not much more columns than outputs: all are looked at.
  [[nodiscard]] bool serves() const noexcept {
    return pitch_ <= room && pitch_ <= lanes * out_width_;
  }

  void run(std::size_t planes, std::size_t out_height, const std::uint8_t* x,
           std::uint8_t* y) noexcept {
    for (std::size_t p = 0; p < planes; ++p, x += height_ * width_)
      for (std::size_t i = 0, n; i < out_height; i += n, y += n * out_width_) {
        n = std::min(rows_at_once(), out_height - i);
        for (std::size_t r = 0; r < n; ++r)
          over_rows(x, i + r, columns_ + r * pitch_ + w_.pad_left);
        for (std::size_t at = 0; at < n * pitch_; at += lanes) {
          codes most = load_unaligned<codes>(columns_ + at);
          for (std::size_t b = 1; b < w_.kernel_w; ++b)
            most = larger(most, load_unaligned<codes>(columns_ + at + b * w_.dilation_w));
          store_unaligned(largest_ + at, most);
        }
        for (std::size_t r = 0; r < n; ++r) pick(largest_ + r * pitch_, y + r * out_width_);
      }
  }

 private:
  [[nodiscard]] std::size_t rows_at_once() const noexcept { return room / pitch_; }

  static constexpr std::size_t room = 2048, lanes = 16;
  using codes = std::uint8_t __attribute__((vector_size(lanes)));
  using half = std::uint8_t __attribute__((vector_size(lanes / 2)));

  template <class V>
  [[nodiscard]] static V larger(V a, V b) noexcept {
    return a > b ? a : b;
  }

  /// Of the rows of the image that output row i sees.
  void over_rows(const std::uint8_t* plane, std::size_t i, std::uint8_t* to) const noexcept {
    const tap_range taps =
        taps_inside(i, w_.stride_h, w_.dilation_h, w_.kernel_h, w_.pad_top, height_);
    if (taps.first == taps.last) return static_cast<void>(std::fill_n(to, width_, 0));
    const std::uint8_t* const from =
        plane + (i * w_.stride_h + taps.first * w_.dilation_h - w_.pad_top) * width_;
    const std::size_t step = w_.dilation_h * width_, count = taps.last - taps.first;
    const auto vector = [&]<class V>(V, std::size_t at) {
      V most = load_unaligned<V>(from + at);
      for (std::size_t a = 1; a < count; ++a)
        most = larger(most, load_unaligned<V>(from + a * step + at));
      store_unaligned(to + at, most);
    };
    if (width_ >= lanes) {
      for (std::size_t at = 0; at + lanes <= width_; at += lanes) vector(codes{}, at);
      vector(codes{}, width_ - lanes);
    } else if (width_ >= lanes / 2) {
      vector(half{}, 0);
      vector(half{}, width_ - lanes / 2);
    } else {
      for (std::size_t at = 0; at < width_; ++at) {
        to[at] = 0;
        for (std::size_t a = 0; a < count; ++a) to[at] = std::max(to[at], from[a * step + at]);
      }
    }
  }

  /// Those of every stride-th column.
  void pick(const std::uint8_t* from, std::uint8_t* to) const noexcept {
    if (w_.stride_w == 1) {
      std::memcpy(to, from, out_width_);
    } else if (w_.stride_w == 2) {
      const std::size_t body = out_width_ - out_width_ % lanes;
      for (std::size_t j = 0; j < body; j += lanes) store_unaligned(to + j, even(from + 2 * j));
      const codes rest = even(from + 2 * body);
      std::memcpy(to + body, &rest, out_width_ - body);
    } else {
      for (std::size_t j = 0; j < out_width_; ++j) to[j] = from[j * w_.stride_w];
    }
  }
  [[nodiscard]] static codes even(const std::uint8_t* from) noexcept {
    return __builtin_shufflevector(load_unaligned<codes>(from), load_unaligned<codes>(from + lanes),
                                   0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  }

  window_2d w_;
  std::size_t height_, width_, out_width_;
  std::size_t pitch_;  // columns of a row with its padding
  // Reads run over the end: by the reach of a window, and by vectors.
  std::uint8_t columns_[2 * room + lanes] = {}, largest_[room + 4 * lanes] = {};
};

}  // namespace qtk::inline QTK_ABI::detail
