#pragma once

#include <algorithm>
#include <cstring>

#include "qtk/kernels/microkernels.hpp"
#include "qtk/kernels/winograd_types.hpp"

namespace qtk::inline QTK_ABI {

/// Winograd's convolution by a microkernel of GEMM and the transforms of its ISA.
///
///   for each block of tiles of the image:   as many as a tile of filters takes at once
///     B^T d B of all channels               (16 places, C, tiles), from rows that are arranged
///                                           shortly before, while they are in the cache
///     for each tile of filters:
///       for each of the 16 places:          the microkernel over the channels
///       A^T m A, then the epilogue
///
/// Packed filters: prefix | for each tile of filters 16 times (C, filters of the tile).
template <class Kernel, class Transforms>
class winograd_driver {
 public:
  static constexpr std::size_t mr = Kernel::mr, nr = Kernel::nr, places = 16;
  static_assert(Kernel::kr == 1);

  static std::size_t packed_bytes(std::size_t O, std::size_t C) noexcept {
    return sizeof(prefix) + round_up(places * O * C * sizeof(float), 64);
  }

  static void pack(std::size_t O, std::size_t C, const float* filters, void* packed) noexcept {
    const prefix p{O, C};
    std::memcpy(packed, &p, sizeof p);
    auto* to = reinterpret_cast<float*>(static_cast<std::byte*>(packed) + sizeof p);
    const row_tiles tiles(O, mr);
    for (std::size_t t = 0; t < tiles.count; ++t) {
      const std::size_t rows = tiles.height(t);
      for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t c = 0; c < C; ++c)
          transform(filters + ((tiles.begin(t) + i) * C + c) * 9, to + c * rows + i, C * rows);
      to += places * C * rows;
    }
  }

  static std::size_t workspace_bytes(std::size_t O, std::size_t C, std::size_t out_height,
                                     std::size_t out_width) noexcept {
    const sizes s(row_tiles(O, mr), C, out_height, out_width);
    return round_up(C * sizeof(std::size_t), 64) +
           (places * s.place + s.image + s.rows * s.block * (places + 4) + nr) * sizeof(float);
  }

  static void run(const winograd_args& args) noexcept {
    prefix p;
    std::memcpy(&p, args.filters, sizeof p);
    if (p.O != 0 && args.tile_begin < args.tile_end) winograd_driver(args, p).run_blocks();
  }

 private:
  struct alignas(64) prefix {
    std::size_t O, C;
  };
  struct sizes {
    std::size_t rows;    // filters of the highest tile
    std::size_t wide;    // tiles of a row
    std::size_t phase;   // columns of the image that are even or odd, a tile's worth more
    std::size_t plane;   // elements of a channel, arranged
    std::size_t image;   // elements of all channels, and room to read on
    std::size_t panels;  // of tiles, at once
    std::size_t block;   // tiles at once
    std::size_t place;   // elements from a place of the transformed image to the next

    sizes(const row_tiles& filters, std::size_t C, std::size_t out_height,
          std::size_t out_width) noexcept
        : rows(filters.height(0)), wide(ceil_div(out_width, 2)), phase(wide + 1) {
      const std::size_t high = ceil_div(out_height, 2);
      plane = (2 * high + 2) * 2 * phase;
      image = round_up(C * plane + nr, 16);
      panels = high * wide <= nr ? 1 : Kernel::panels(filters.count == 1 ? rows : mr);
      block = panels * nr;
      // Stores of whole vectors run over the end; an odd number of cache lines spreads the places
      // over the sets of the cache.
      place = (ceil_div(C * block + nr, 16) | 1) * 16;
    }
  };

  /// G g G^T to u[place * step].
  static void transform(const float* g, float* u, std::size_t step) noexcept {
    const auto column = [](double a, double b, double c, double(&out)[4]) {
      out[0] = a;
      out[1] = (a + b + c) / 2;
      out[2] = (a - b + c) / 2;
      out[3] = c;
    };
    double rows[3][4];  // g G^T
    for (std::size_t i = 0; i < 3; ++i)
      column(double{g[3 * i]}, double{g[3 * i + 1]}, double{g[3 * i + 2]}, rows[i]);
    for (std::size_t j = 0; j < 4; ++j) {
      double place[4];
      column(rows[0][j], rows[1][j], rows[2][j], place);
      for (std::size_t i = 0; i < 4; ++i) u[(4 * i + j) * step] = static_cast<float>(place[i]);
    }
  }

  winograd_driver(const winograd_args& args, const prefix& p) noexcept
      : args_(args),
        C_(p.C),
        filters_(p.O, mr),
        sizes_(filters_, p.C, args.out_height, args.out_width) {
    auto* const at = static_cast<std::byte*>(args.workspace);
    offsets_ = reinterpret_cast<std::size_t*>(at);
    places_ = reinterpret_cast<float*>(at + round_up(C_ * sizeof(std::size_t), 64));
    image_ = places_ + places * sizes_.place;
    sums_ = image_ + sizes_.image;
    pixels_ = sums_ + places * sizes_.rows * sizes_.block;
  }

  void run_blocks() noexcept {
    const auto* const packed = reinterpret_cast<const float*>(
        static_cast<const std::byte*>(args_.filters) + sizeof(prefix));
    std::size_t row = 2 * (args_.tile_begin / sizes_.wide);  // the first that is not arranged
    for (std::size_t begin = args_.tile_begin, end; begin < args_.tile_end; begin = end) {
      end = std::min(args_.tile_end, begin + sizes_.block);
      const std::size_t needed = 2 * ceil_div(end, sizes_.wide) + 2;
      if (row < needed) {
        // Several blocks' worth: rows of many channels are far apart.
        const std::size_t ahead =
            2 * ceil_div(std::min(args_.tile_end, begin + 4 * sizes_.block), sizes_.wide) + 2;
        arrange(row, ahead);
        row = ahead;
      }
      run_block(packed, begin, end - begin, end - begin <= nr ? 1 : sizes_.panels);
    }
  }

  /// Rows [begin, end) of all channels, with their padding: even columns, then odd ones.
  void arrange(std::size_t begin, std::size_t end) noexcept {
    const std::size_t step = 2 * sizes_.phase, height = args_.height;
    const auto inside = [&](std::size_t row) {
      return std::min(row - std::min(row, args_.pad_top), height);
    };
    const std::size_t first = inside(begin), count = inside(end) - first;
    for (std::size_t c = 0; c < C_; ++c) {
      float* const plane = image_ + c * sizes_.plane;
      std::memset(plane + begin * step, 0, (end - begin) * step * sizeof(float));
      Transforms::arrange(args_.image + c * args_.image_stride + first * args_.width, count,
                          args_.width, sizes_.phase, args_.pad_left,
                          plane + (first + args_.pad_top) * step);
    }
  }

  /// f(tile of the block, its row of tiles, its column, tiles) for each run of a row.
  template <class Function>
  void for_each_run(std::size_t begin, std::size_t count, const Function& f) const noexcept {
    const std::size_t wide = sizes_.wide;
    for (std::size_t t = 0, n; t < count; t += n) {
      const std::size_t row = (begin + t) / wide, column = (begin + t) % wide;
      n = std::min(count - t, wide - column);
      f(t, row, column, n);
    }
  }

  void run_block(const float* filters, std::size_t begin, std::size_t count,
                 std::size_t panels) noexcept {
    const std::size_t block = panels * nr;
    for (std::size_t c = 0; c < C_; ++c) offsets_[c] = c * block;
    // Vectors run over the end of a run: the next run, or the next channel, corrects that.
    for (std::size_t c = 0; c < C_; ++c)
      for_each_run(begin, count,
                   [&](std::size_t t, std::size_t row, std::size_t column, std::size_t n) {
                     Transforms::input(image_ + c * sizes_.plane + row * 4 * sizes_.phase + column,
                                       sizes_.phase, n, places_ + c * block + t, sizes_.place);
                   });
    const std::size_t last = std::min(args_.filter_end, filters_.count);
    for (std::size_t t = args_.filter_begin; t < last; ++t) {
      const std::size_t first = filters_.begin(t), rows = filters_.height(t);
      const auto microkernel =
          microkernels<unpacked_kernel<Kernel>, mr>[panels == 1          ? 0
                                                    : filters_.count > 1 ? 1
                                                                         : 2][rows - 1];
      const std::size_t step = rows * block;
      for (std::size_t p = 0; p < places; ++p)
        microkernel({.a = filters + (first * places + p * rows) * C_,
                     .b = reinterpret_cast<const std::byte*>(places_ + p * sizes_.place),
                     .offsets = offsets_,
                     .k = C_,
                     .c = sums_ + p * step});
      for (std::size_t i = 0; i < rows; ++i)
        Transforms::output(sums_ + i * block, step, block, pixels_ + i * 4 * block,
                           pixels_ + (i * 4 + 2) * block);
      for (std::size_t i = 0; i < rows; ++i) finish(first + i, i, begin, count, block);
    }
  }

  /// Pixels of filter o, row i of those that were computed.
  void finish(std::size_t o, std::size_t i, std::size_t begin, std::size_t count,
              std::size_t block) const noexcept {
    const float bias = args_.out.bias == nullptr ? -0.0f : args_.out.bias[o];
    for_each_run(
        begin, count, [&](std::size_t t, std::size_t row, std::size_t column, std::size_t n) {
          for (std::size_t h = 2 * row; h < std::min(2 * row + 2, args_.out_height); ++h) {
            const std::size_t at = o * args_.y_stride + h * args_.out_width + 2 * column;
            Transforms::finish(pixels_ + (i * 4 + h % 2 * 2) * block + 2 * t,
                               std::min(2 * n, args_.out_width - 2 * column), args_.out, bias,
                               args_.out.residual == nullptr ? nullptr : args_.out.residual + at,
                               args_.y + at);
          }
        });
  }

  const winograd_args& args_;
  const std::size_t C_;
  const row_tiles filters_;
  const sizes sizes_;
  std::size_t* offsets_;
  float *places_, *image_;  // transformed image (places, C, block), image arranged
  float *sums_, *pixels_;   // (places, rows, block), two rows of pixels for each of (rows)
};

/// The entry of `Kernel` in the table.
template <class Kernel, class Transforms>
[[nodiscard]] constexpr winograd_kernel make_winograd(const char* name) {
  using driver = winograd_driver<Kernel, Transforms>;
  return {Kernel::target,
          name,
          Kernel::mr,
          Kernel::nr,
          &driver::packed_bytes,
          &driver::pack,
          &driver::workspace_bytes,
          &driver::run};
}

}  // namespace qtk::inline QTK_ABI
