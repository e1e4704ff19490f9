#pragma once

#include "qtk/kernels/columns.hpp"
#include "qtk/kernels/elementwise_types.hpp"
#include "qtk/kernels/microkernels.hpp"

namespace qtk::inline QTK_ABI {

/// Packed filters of one kernel:
///   prefix | scales (O, groups) | sums (O, groups) | tiles      the middle two for codes only
/// A tile is up to mr filters, interleaved as the rows of A are. `sums` are those of the weights of
/// each group: they take the image's zero point off in the epilogue.
template <class Kernel>
struct filter_layout : k_layout {
  static constexpr bool integer = gemm_op_traits<Kernel::op>::integer;
  struct alignas(64) prefix {
    std::size_t O, K, group_size;
  };

  row_tiles tiles;

  constexpr filter_layout(std::size_t O, std::size_t k, std::size_t group) noexcept
      : k_layout(k, integer ? group : k, Kernel::kr), tiles(O, Kernel::mr) {}
  explicit filter_layout(const prefix& p) noexcept : filter_layout(p.O, p.K, p.group_size) {}

  [[nodiscard]] constexpr std::size_t numbers_bytes() const noexcept {
    return integer ? round_up(tiles.rows * groups * sizeof(float), 64) : 0;
  }
  [[nodiscard]] constexpr std::size_t tiles_offset() const noexcept {
    return sizeof(prefix) + 2 * numbers_bytes();
  }
  [[nodiscard]] constexpr std::size_t codes_bytes() const noexcept {
    return tiles.rows * packed_k * sizeof(typename Kernel::a_packed);
  }
};

/// Convolution by the microkernels of GEMM: filters are the rows, broadcast; pixels the columns.
///
///   for each block of panels of pixels:     packed; fits the L2 cache with a tile of filters
///     for each tile of filters:
///       for each panel of the block:        the microkernel over all of K, then the epilogue
///
/// A kernel is what gemm_driver takes, for f32_f32 or u8_s8. Its rows hold int16 and its panels
/// int8, or its rows int8 and its panels uint8: which of them decides `signed_image`.
/// `Parts` pack pixels and, if they have finish(), store tiles: see conv_plain.
/// `Rows`, where the kernel has run_rows (and, of fp32, finish_rows), spreads images that needn't
/// be packed; void: it hasn't.
template <class Kernel, class Parts = conv_plain<Kernel::nr, Kernel::kr>, class Rows = void>
class conv_driver {
 public:
  using layout_type = filter_layout<Kernel>;
  using a_packed = typename Kernel::a_packed;
  using sum_type = typename gemm_op_traits<Kernel::op>::sum_type;
  static constexpr bool integer = layout_type::integer;
  static constexpr std::size_t mr = Kernel::mr, nr = Kernel::nr, kr = Kernel::kr;
  static constexpr bool signed_image = integer && sizeof(a_packed) == 2;
  using pixel_type = std::conditional_t<integer, std::uint8_t, float>;
  using packer_type = column_packer<pixel_type, nr, kr, Parts>;
  /// Of an image of steps: kr codes are moved as a float.
  using step_packer = column_packer<float, nr, 1, Parts>;
  /// Whether the last few pixels are taken one by one.
  static constexpr bool by_pixel =
      requires(filter_tiles<a_packed> t, const pixel_type* x, sum_type* s) {
    Parts::one_pixel(t, x, std::size_t{}, s);
  };
  static constexpr std::size_t few_pixels = 4;
  static constexpr bool unpacked = !std::is_void_v<Rows>;
  static_assert(!(integer && unpacked) || kr == sizeof(float), "steps are moved as floats");
  static_assert(Kernel::order(1, 0) == kr && (kr == 1 || Kernel::order(0, 1) == 1));

  static std::size_t packed_bytes(std::size_t O, std::size_t K, std::size_t group_size) noexcept {
    const layout_type layout(O, K, group_size);
    return round_up(layout.tiles_offset() + layout.codes_bytes(), 64);
  }

  static void pack(const conv_filters& f, void* packed) noexcept {
    using weight_type = std::conditional_t<integer, std::int8_t, float>;
    const layout_type layout(f.O, f.K, f.group_size);
    std::memset(packed, 0, packed_bytes(f.O, f.K, f.group_size));
    auto* const base = static_cast<std::byte*>(packed);
    const typename layout_type::prefix prefix{f.O, f.K, layout.group_size};
    std::memcpy(base, &prefix, sizeof prefix);
    auto* const scales = reinterpret_cast<float*>(base + sizeof prefix);
    auto* const sums =
        reinterpret_cast<std::int32_t*>(base + sizeof prefix + layout.numbers_bytes());
    auto* const tiles = reinterpret_cast<a_packed*>(base + layout.tiles_offset());
    if constexpr (integer) std::copy_n(f.scales, f.O * layout.groups, scales);
    for (std::size_t t = 0; t < layout.tiles.count; ++t) {
      const std::size_t begin = layout.tiles.begin(t), rows = layout.tiles.height(t);
      a_packed* const tile = tiles + begin * layout.packed_k;
      for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t k = 0; k < f.K; ++k) {
          const auto w = static_cast<const weight_type*>(f.data)[(begin + i) * f.K + k];
          const std::size_t at = layout.position(k);
          tile[(at / kr * rows + i) * kr + at % kr] = w;
          if constexpr (integer) sums[(begin + i) * layout.groups + k / layout.group_size] += w;
        }
    }
  }

  static void unpack(const void* packed, float* weights, float* scales) noexcept {
    const auto* const base = static_cast<const std::byte*>(packed);
    typename layout_type::prefix prefix;
    std::memcpy(&prefix, base, sizeof prefix);
    const layout_type layout(prefix);
    const auto* const tiles = reinterpret_cast<const a_packed*>(base + layout.tiles_offset());
    if constexpr (integer)
      std::memcpy(scales, base + sizeof prefix, prefix.O * layout.groups * sizeof(float));
    for (std::size_t t = 0; t < layout.tiles.count; ++t) {
      const std::size_t begin = layout.tiles.begin(t), rows = layout.tiles.height(t);
      for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t k = 0; k < prefix.K; ++k) {
          const std::size_t at = layout.position(k);
          weights[(begin + i) * prefix.K + k] =
              tiles[begin * layout.packed_k + (at / kr * rows + i) * kr + at % kr];
        }
    }
  }

  static std::size_t workspace_bytes(std::size_t O, std::size_t K, std::size_t group_size,
                                     std::size_t pixels) noexcept {
    const layout_type layout(O, K, group_size);
    const std::size_t panels = std::min(block_panels(layout), ceil_div(pixels, nr));
    return 2 * layout.numbers_bytes() + panels * panel_bytes(layout);
  }

  static void run(const conv_args& args) noexcept {
    typename layout_type::prefix prefix;
    std::memcpy(&prefix, args.filters, sizeof prefix);
    if (prefix.O != 0) conv_driver(args, layout_type(prefix)).run_blocks();
  }

 private:
  conv_driver(const conv_args& args, const layout_type& layout) noexcept
      : args_(args), layout_(layout), last_tile_(std::min(args.tile_end, layout.tiles.count)) {
    const auto* const base = static_cast<const std::byte*>(args.filters);
    tiles_ = reinterpret_cast<const a_packed*>(base + layout.tiles_offset());
    panels_ = static_cast<std::byte*>(args.workspace) + 2 * layout.numbers_bytes();
    tile_.offsets = args.offsets;
    tile_.panel_bytes = panel_bytes(layout);
    tile_.c = sums_;
    tile_.finish = &finish_;
    if constexpr (integer) set_numbers(base + sizeof(typename layout_type::prefix));
  }

  /// What the sums of (filter, group) are multiplied with, and what the zero point added to them.
  void set_numbers(const std::byte* packed) noexcept {
    const std::size_t bytes = layout_.numbers_bytes(), O = layout_.tiles.rows;
    const auto* const weight_scales = reinterpret_cast<const float*>(packed);
    const auto* const weight_sums = reinterpret_cast<const std::int32_t*>(packed + bytes);
    auto* const workspace = static_cast<std::byte*>(args_.workspace);
    auto* const scales = reinterpret_cast<float*>(workspace);
    auto* const offsets = reinterpret_cast<std::int32_t*>(workspace + bytes);
    for (std::size_t o = 0; o < O; ++o)
      for (std::size_t g = 0; g < layout_.groups; ++g) {
        const std::size_t from = o * layout_.groups + g, to = g * O + o;
        scales[to] = weight_scales[from] * args_.image_scale;
        offsets[to] = weight_sums[from] * args_.image_zero_point;
      }
    scales_ = scales;
    offsets_ = offsets;
  }

  [[nodiscard]] static std::size_t panel_bytes(const layout_type& layout) noexcept {
    return round_up(packer_type::panel_elements(layout.packed_k) * sizeof(pixel_type), 64);
  }
  /// Panels that a tile of filters takes at once.
  [[nodiscard]] static std::size_t wide_panels(const layout_type& layout) noexcept {
    return Kernel::panels(layout.tiles.count == 1 ? layout.tiles.rows : mr);
  }
  [[nodiscard]] static std::size_t block_panels(const layout_type& layout) noexcept {
    // As many as that even where all filters would fit the cache: results leave in long rows
    // (Zen 4, 1x1 of 32 to 192 channels, batch 32: 9.2 ms for two panels at a time, 4.6 for these).
    constexpr std::size_t block = 128 << 10;
    const std::size_t wide = wide_panels(layout);
    return wide * std::max<std::size_t>(1, block / (wide * panel_bytes(layout)));
  }

  /// Of `count` panels from `pixel` on, those at the beginning that may be read where they are.
  template <class Packer>
  [[nodiscard]] std::size_t in_place(const Packer& packer, std::size_t pixel,
                                     std::size_t count) const noexcept {
    constexpr bool served = unpacked && std::is_same_v<typename Packer::element, float>;
    const std::size_t taken = packer.furthest() + pixel;
    if (!served || args_.out_width < args_.pixel_end || taken >= args_.image_size) return 0;
    return std::min(count, (args_.image_size - taken) / nr);
  }

  void run_blocks() noexcept {
    if constexpr (integer && unpacked)
      if (args_.steps) return run_blocks(step_packer(args_, layout_.packed_k / kr));
    run_blocks(packer_type(args_, layout_.packed_k));
  }

  template <class Packer>
  void run_blocks(const Packer& packer) noexcept {
    const std::size_t block = block_panels(layout_), bytes = panel_bytes(layout_);
    for (std::size_t pixel = args_.pixel_begin; pixel < args_.pixel_end; pixel += block * nr) {
      std::size_t count = std::min(block, ceil_div(args_.pixel_end - pixel, nr));
      std::size_t unpacked_count = in_place(packer, pixel, count);
      const std::size_t last = pixel + (count - 1) * nr, rest = args_.pixel_end - last;
      const bool one_by_one = by_pixel && layout_.groups == 1 && takes_pixels(rest);
      if (one_by_one) unpacked_count = std::min(unpacked_count, count - 1);
      for (std::size_t p = unpacked_count; p < count; ++p)
        packer.pack(pixel + p * nr,
                    reinterpret_cast<typename Packer::element*>(panels_ + p * bytes));
      const std::size_t wide = wide_panels(layout_);
      if constexpr (by_pixel)
        if (one_by_one) run_pixels(panels_ + --count * bytes, last, rest);
      for (std::size_t t = args_.tile_begin; t < last_tile_; ++t)
        for (std::size_t p = 0, n; p < count; p += n) {
          const bool in_place = p < unpacked_count;
          n = p + wide <= (in_place ? unpacked_count : count) ? wide : 1;
          run_tile(t, in_place ? nullptr : panels_ + p * bytes, n, pixel + p * nr);
        }
    }
  }

  /// Whether so many last pixels are taken one by one. A step of K waits for its multiply-add, 4
  /// cycles, for some tiles at once; in a panel it takes 6 for each tile of 12 filters (256
  /// channels of 4 x 5 to 6 by 3 x 3: 37 us one by one, now 17).
  [[nodiscard]] bool takes_pixels(std::size_t count) const noexcept {
    const std::size_t tiles = last_tile_ - args_.tile_begin;
    return count <= few_pixels &&
           4 * count * ceil_div(tiles, filter_tiles<a_packed>::most) < 6 * tiles;
  }

  /// The last pixels, so few that a panel of them would be mostly empty.
  void run_pixels(const std::byte* panel, std::size_t pixel, std::size_t count) noexcept {
    using tiles_type = filter_tiles<a_packed>;
    constexpr std::size_t most = tiles_type::most, lanes = 16;
    alignas(64) sum_type sums[(most + 1) * lanes];  // as columns of one pixel: read beyond them
    for (std::size_t begin = args_.tile_begin; begin < last_tile_; begin += most) {
      const std::size_t end = std::min(begin + most, last_tile_);
      tiles_type tiles;
      for (std::size_t i = 0; i < most; ++i) {
        const std::size_t t = std::min(begin + i, end - 1);
        tiles.a[i] = tiles_ + layout_.tiles.begin(t) * layout_.packed_k;
        tiles.rows[i] = layout_.tiles.height(t);
      }
      for (std::size_t j = 0; j < count; ++j) {
        Parts::one_pixel(tiles, reinterpret_cast<const pixel_type*>(panel) + j * kr,
                         layout_.packed_k, sums);
        for (std::size_t t = begin; t < end; ++t) {
          const std::size_t first = layout_.tiles.begin(t);
          finish_.rows = layout_.tiles.height(t);
          finish_.sums = sums + (t - begin) * lanes;
          finish_.sums_stride = 1;
          if constexpr (integer) set_group(finish_, first);
          store(finish_, first, pixel + j, 1);
        }
      }
    }
  }

  /// `panels`: null where pixels are read in place.
  void run_tile(std::size_t t, const std::byte* panels, std::size_t count,
                std::size_t pixel) noexcept {
    const std::size_t first = layout_.tiles.begin(t), rows = layout_.tiles.height(t);
    const std::size_t columns = std::min(count * nr, args_.pixel_end - pixel);
    const a_packed* const a = tiles_ + first * layout_.packed_k;
    const std::size_t width = count == 1 ? 0 : layout_.tiles.count > 1 ? 1 : 2;
    auto microkernel = microkernels<Kernel, mr>[width][rows - 1];
    set_rows(finish_, sums_, rows, count);
    tile_.a = a;
    tile_.b = panels;
    tile_.k = layout_.packed_k;
    if constexpr (unpacked)
      if (panels == nullptr) {
        tile_.b = static_cast<const std::byte*>(args_.image) + pixel * kr * sizeof(pixel_type);
        if constexpr (!integer)
          if (columns == count * nr && !args_.codes.any()) {
            set_place(finish_, first, pixel);
            return microkernels<finishing_kernel<Kernel>, mr>[width][rows - 1](tile_);
          }
        microkernel = microkernels<unpacked_kernel<Kernel>, mr>[width][rows - 1];
      }
    for (std::size_t i = 0; i < rows; ++i) {
      // What is stored last may be far away: fetched while the tile is computed.
      const std::size_t at = (first + i) * args_.y_stride + pixel;
      if (args_.codes.y != nullptr)
        for (std::size_t j = 0; j < count * nr; j += 64)
          __builtin_prefetch(args_.codes.y + at + j, 1);
      else
        for (std::size_t j = 0; j < count * nr; j += 16) __builtin_prefetch(args_.y + at + j, 1);
    }
    if (layout_.groups == 1) {
      microkernel(tile_);
      if constexpr (integer) set_group(finish_, first);
      store(finish_, first, pixel, columns);
    } else if constexpr (integer) {
      alignas(64) float total[max_tile_sums<Kernel>];
      for (std::size_t g = 0; g < layout_.groups; ++g) {
        const std::size_t k = g * layout_.group_k;
        tile_.a = a + k * rows;
        tile_.b = panels + k * nr;
        tile_.k = std::min(layout_.group_k, layout_.packed_k - k);
        microkernel(tile_);
        set_rows(finish_, sums_, rows, count);
        set_group(finish_, g * layout_.tiles.rows + first);
        static constexpr epilogue add_only{};
        finish_.out = &add_only;
        finish_.residual_stride = finish_.y_stride = count * nr;
        for (std::size_t p = 0; p < count; ++p, finish_.sums += nr) {
          finish_.y = total + p * nr;
          finish_.residual = g == 0 ? nullptr : finish_.y;
          Kernel::finish(finish_);
        }
      }
      set_rows(finish_total_, total, rows, count);
      store(finish_total_, first, pixel, columns);
    }
  }

  template <class Sum>
  static void set_rows(gemm_finish<Sum>& f, const Sum* sums, std::size_t rows,
                       std::size_t panels) noexcept {
    f.rows = rows;
    f.sums = sums;
    f.sums_stride = panels * nr;
  }
  /// `at`: index of the first row's scale and offset.
  void set_group(gemm_finish<std::int32_t>& f, std::size_t at) const noexcept {
    f.a_scales = scales_ + at;
    f.a_scale_stride = 1;
    f.row_offsets = offsets_ + at;
  }

  template <class Sum>
  void set_place(gemm_finish<Sum>& f, std::size_t first, std::size_t pixel) const noexcept {
    const std::size_t at = first * args_.y_stride + pixel;
    f.out = &args_.out;
    f.row_bias = args_.out.bias == nullptr ? nullptr : args_.out.bias + first;
    f.residual = args_.out.residual == nullptr ? nullptr : args_.out.residual + at;
    f.residual_stride = f.y_stride = args_.y_stride;
    f.y = args_.codes.y != nullptr ? nullptr : args_.y + at;
  }

  template <class Sum>
  void store(gemm_finish<Sum>& f, std::size_t first, std::size_t pixel,
             std::size_t columns) const noexcept {
    const std::size_t at = first * args_.y_stride + pixel;
    set_place(f, first, pixel);
    if constexpr (requires { Parts::finish(f, columns, args_.codes); })
      Parts::finish(f, columns, args_.codes.from(at));
    else if (args_.codes.any())
      store_codes(f, columns, args_.codes.from(at));
    else
      store_panels(f, columns);
  }

  template <class Sum>
  void store_panels(gemm_finish<Sum>& f, std::size_t columns) const noexcept {
    for (std::size_t p = 0; p < columns; p += nr, f.sums += nr, f.y += nr) {
      store_panel(f, std::min(nr, columns - p));
      if (f.residual != nullptr) f.residual += nr;
    }
  }

  /// By way of floats in the L1 cache.
  template <class Sum>
  void store_codes(gemm_finish<Sum>& f, std::size_t columns,
                   const epilogue_codes& codes) const noexcept {
    const elementwise_kernels& k = find_elementwise(Kernel::target);
    const std::size_t width = round_up(columns, nr);
    float residual[max_tile_sums<Kernel>], y[max_tile_sums<Kernel>];
    if (codes.residual != nullptr) {
      for (std::size_t i = 0; i < f.rows; ++i)
        k.dequantize_u8(columns, codes.residual + i * args_.y_stride, codes.residual_scale,
                        codes.residual_zero_point, residual + i * width);
      f.residual = residual;
      f.residual_stride = width;
    }
    if (codes.y == nullptr) return store_panels(f, columns);
    f.y = y;
    f.y_stride = width;
    store_panels(f, columns);
    for (std::size_t i = 0; i < f.rows; ++i)
      k.quantize_u8(columns, y + i * width, codes.y_scale, codes.y_zero_point,
                    codes.y + i * args_.y_stride);
  }

  /// Full panels are written where they are; the last pixels go by way of `block`.
  template <class Sum>
  void store_panel(gemm_finish<Sum> f, std::size_t columns) const noexcept {
    if (columns == nr) return Kernel::finish(f);
    float residual[mr * nr] = {}, block[mr * nr];
    if (f.residual != nullptr) {
      for (std::size_t i = 0; i < f.rows; ++i)
        std::copy_n(f.residual + i * f.residual_stride, columns, residual + i * nr);
      f.residual = residual;
    }
    float* const y = f.y;
    const std::size_t y_stride = f.y_stride;
    f.y = block;
    f.residual_stride = f.y_stride = nr;
    Kernel::finish(f);
    for (std::size_t i = 0; i < f.rows; ++i) std::copy_n(block + i * nr, columns, y + i * y_stride);
  }

  const conv_args& args_;
  const layout_type layout_;
  const std::size_t last_tile_;
  const float* scales_ = nullptr;          // (groups, O)
  const std::int32_t* offsets_ = nullptr;  // likewise
  const a_packed* tiles_;
  std::byte* panels_;
  // Members, because g++ clears a new one by `rep stos`, 65 cycles each: 7 % of ResNet-20.
  gemm_tile<a_packed, sum_type> tile_;
  gemm_finish<sum_type> finish_;
  gemm_finish<float> finish_total_;  // of groups
  alignas(64) sum_type sums_[max_tile_sums<Kernel>];
};

/// The entry of `Kernel` in the table.
template <class Kernel, class Parts = conv_plain<Kernel::nr, Kernel::kr>, class Rows = void>
inline constexpr conv_kernel conv_entry{
    conv_driver<Kernel, Parts, Rows>::integer ? conv_op::int8 : conv_op::f32,
    Kernel::target,
    Kernel::name,
    Kernel::mr,
    Kernel::nr,
    Kernel::kr,
    conv_driver<Kernel, Parts, Rows>::signed_image,
    &conv_driver<Kernel, Parts, Rows>::packed_bytes,
    &conv_driver<Kernel, Parts, Rows>::pack,
    &conv_driver<Kernel, Parts, Rows>::unpack,
    &conv_driver<Kernel, Parts, Rows>::workspace_bytes,
    &conv_driver<Kernel, Parts, Rows>::run,
    [] {
      if constexpr (conv_driver<Kernel, Parts, Rows>::unpacked)
        return &Rows::spread;
      else
        return nullptr;
    }(),
};

}  // namespace qtk::inline QTK_ABI
