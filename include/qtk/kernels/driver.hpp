#pragma once

#include "qtk/kernels/microkernels.hpp"
#include "qtk/kernels/rows.hpp"

namespace qtk::inline QTK_ABI {

/// The loops around a microkernel, the same for all ISAs and operations:
///
///   for each block of mc rows of A:     packed once, all of K
///     for each nc columns of C:         their sums wait in the workspace between blocks of K
///       for each kc of K:               the chunk of W (nc x kc) stays in the L2 cache,
///         for each tile of rows:        the tile of A (mr x kc) in the L1 cache
///           for each panel of W:        the microkernel
///
/// So C is written along its rows. Panel by panel with all tiles for each, which is usual, a
/// panel would stay in the L1 cache; but C, written by columns, costs more than W from the L2
/// cache (1024^3, int8, AVX-512: 83 instead of 87 % of the peak).
///
/// A kernel brings
///   op, target, name, mr, nr, kr, mc, kc
///   a_packed                        element of packed A
///   panels(rows)                    panels that a tile of so many rows takes at once
///   order(j, k)                     where column j of a panel, k < kr, lies in a step of codes
///   run<Rows, Panels>(gemm_tile)    the microkernel
///   finish(gemm_finish)             the epilogue
///   round_row(n, x, out)            bf16_bf16: floats of A to what is packed
/// and where widening weights in registers pays for few rows only,
///   direct_rows                     so many; above, each chunk is widened once
///   widened, widen(...)             the kernel that then multiplies, and the widening
///   widened_panel_bytes(k)          of k of a widened panel; widened_read_bytes(k): that a tile
///                                   reads
///   k_unit                          k of a chunk are a multiple of this instead of kr
template <class Kernel>
class gemm_driver {
 public:
  using traits = gemm_op_traits<Kernel::op>;
  using packed_type = typename Kernel::a_packed;
  using sum_type = typename traits::sum_type;
  using layout_type = panel_layout<Kernel>;
  static constexpr std::size_t mr = Kernel::mr, nr = Kernel::nr, kr = Kernel::kr;
  /// Columns of a chunk: two of nc x kc, this one and the next, fit the L2 cache.
  static constexpr std::size_t nc = 128;
  static_assert(nc % nr == 0 && Kernel::mc % mr == 0 && Kernel::kc % kr == 0);
  static constexpr std::size_t direct_rows = [] {
    if constexpr (requires { Kernel::direct_rows; })
      return Kernel::direct_rows;
    else
      return mr;
  }();
  static constexpr bool widens = direct_rows < mr;
  static constexpr std::size_t k_unit = [] {
    if constexpr (requires { Kernel::k_unit; })
      return Kernel::k_unit;
    else
      return kr;
  }();

  static std::size_t packed_bytes(std::size_t N, std::size_t K, std::size_t group_size) noexcept {
    return layout_type(N, K, group_size).total_bytes();
  }

  static std::size_t workspace_bytes(std::size_t rows, std::size_t, std::size_t K,
                                     std::size_t group_size) noexcept {
    const scratch s(nullptr, std::min(rows, Kernel::mc), layout_type(0, K, group_size));
    return s.bytes;
  }

  static void run(const gemm_args& args) noexcept {
    packed_prefix prefix;
    std::memcpy(&prefix, args.b, sizeof prefix);
    QTK_ASSERT(prefix.N == args.N && prefix.K == args.K && args.n_begin % nr == 0);
    const layout_type layout(prefix);
    const std::size_t rows = args.m_end - args.m_begin;
    if (rows == 0 || args.n_begin >= args.n_end) return;
    // Blocks of nearly equal height, of whole tiles: only the last has tiles that are not full.
    const std::size_t step = round_up(ceil_div(rows, ceil_div(rows, Kernel::mc)), mr);
    for (std::size_t m = args.m_begin; m < args.m_end; m += step)
      gemm_driver(args, layout, m, std::min(step, args.m_end - m)).run_block();
  }

 private:
  /// The workspace of a block of rows, carved.
  struct scratch {
    packed_type* a = nullptr;        // packed rows
    std::int32_t* a_sums = nullptr;  // int4: of each group of each row
    sum_type* sums = nullptr;        // (rows, nc) by tiles, where K is cut
    std::byte* widened = nullptr;    // chunk of kc x nc
    std::size_t bytes = 0;

    scratch(void* base, std::size_t rows, const layout_type& layout) noexcept {
      a = take<packed_type>(base, rows * layout.packed_k);
      if constexpr (traits::int4) a_sums = take<std::int32_t>(base, rows * layout.groups);
      if (layout.packed_k > k_block(layout)) sums = take<sum_type>(base, rows * nc);
      if constexpr (widens)
        if (rows > direct_rows)
          widened = take<std::byte>(base, Kernel::widened_panel_bytes(k_block(layout)) * (nc / nr));
    }
    template <class T>
    T* take(void* base, std::size_t count) noexcept {
      auto* piece = reinterpret_cast<T*>(static_cast<std::byte*>(base) + bytes);
      bytes += round_up(count * sizeof(T), 64);
      return piece;
    }
  };

  gemm_driver(const gemm_args& args, const layout_type& layout, std::size_t m,
              std::size_t rows) noexcept
      : args_(args),
        layout_(layout),
        m_(m),
        rows_(rows),
        tiles_(rows, mr),
        scratch_(args.workspace, rows, layout) {
    finish_.a_scale_stride = args.a_scale_stride;
    finish_.out = &args.out;
  }

  [[nodiscard]] bool widening() const noexcept { return widens && rows_ > direct_rows; }

  /// Packed k between two visits to a tile.
  [[nodiscard]] static std::size_t k_block(const layout_type& layout) noexcept {
    // The integers of a group are added up before they are scaled: groups stay whole.
    if (Kernel::op == gemm_op::s8_s4)
      return layout.group_k * std::max<std::size_t>(Kernel::kc / layout.group_k, 1);
    // Blocks of nearly equal depth.
    const std::size_t blocks = std::max<std::size_t>(1, ceil_div(layout.packed_k, Kernel::kc));
    return std::max(round_up(ceil_div(layout.packed_k, blocks), k_unit), k_unit);
  }

  void run_block() noexcept {
    pack();
    const std::size_t block = k_block(layout_);
    for (std::size_t n = args_.n_begin; n < args_.n_end; n += nc) {
      const std::size_t n_end = std::min(n + nc, args_.n_end);
      std::size_t k = 0;
      do {  // once where K = 0: the epilogue alone
        run_chunk(n, n_end, k, std::min(block, layout_.packed_k - k));
        k += block;
      } while (k < layout_.packed_k);
    }
  }

  void pack() noexcept {
    constexpr bool rounds = Kernel::op == gemm_op::bf16_bf16;
    if (rows_ == 1 && std::is_same_v<packed_type, float> && !rounds) {
      packed_a_ = reinterpret_cast<const packed_type*>(  // one row is its own packed form
          static_cast<const typename traits::a_type*>(args_.a) + m_ * args_.lda);
      return;
    }
    const row_packer<Kernel> packer(args_, layout_);
    for (std::size_t t = 0; t < tiles_.count; ++t) {
      const std::size_t begin = tiles_.begin(t);
      packed_type* const to = scratch_.a + begin * layout_.packed_k;
      packer.pack(m_ + begin, tiles_.height(t), to);
      if constexpr (traits::int4)
        packer.sum_groups(m_ + begin, tiles_.height(t), Kernel::op == gemm_op::s8_s4 ? -8 : 1,
                          scratch_.a_sums + begin * layout_.groups);
    }
    packed_a_ = scratch_.a;
  }

  /// Where packed k of a panel begins: for grouped formats the header of its group.
  [[nodiscard]] const std::byte* codes(std::size_t panel, std::size_t k) const noexcept {
    return layout_.panel(args_.b, panel) + (traits::grouped
                                                ? k / layout_.group_k * layout_.group_bytes
                                                : layout_.header_bytes + layout_.code_bytes(k));
  }

  /// Columns [n, n_end), packed k [k, k + length): a chunk of W.
  void run_chunk(std::size_t n, std::size_t n_end, std::size_t k, std::size_t length) noexcept {
    const std::size_t group = traits::grouped ? k / layout_.group_k : 0;
    gemm_tile<packed_type, sum_type> tile{.k = length,
                                          .group_k = layout_.group_k,
                                          .group_bytes = layout_.group_bytes,
                                          .skip = traits::grouped ? k % layout_.group_k : 0,
                                          .symmetric = layout_.symmetric,
                                          .accumulate = k > 0};
    const bool last = k + length >= layout_.packed_k;
    const std::size_t first = n / nr, panels = ceil_div(n_end, nr) - first;
    const std::byte* const weights = codes(first, k);
    const std::byte* b = weights;
    tile.panel_bytes = layout_.panel_bytes;
    if constexpr (widens)
      if (widening()) {
        tile.b = weights;
        if constexpr (layout_type::has_tails)
          Kernel::widen(tile, panels, layout_.tail(args_.b, first), k, scratch_.widened);
        else
          Kernel::widen(tile, panels, scratch_.widened);
        b = scratch_.widened;
        tile.panel_bytes = Kernel::widened_panel_bytes(length);
        tile.skip = 0;
      }
    // The same panels of the next block of K, or of the next columns.
    const std::byte* const next = last ? codes(first + panels, 0) : codes(first, k + length);
    const std::size_t wide = Kernel::panels(tiles_.count == 1 ? rows_ : mr);
    alignas(64) sum_type local[max_tile_sums<Kernel>];
    for (std::size_t t = 0; t < tiles_.count; ++t) {
      const std::size_t begin = tiles_.begin(t), rows = tiles_.height(t);
      tile.a = packed_a_ + begin * layout_.packed_k + k * rows;
      if constexpr (Kernel::op == gemm_op::s8_s4)
        tile.a_sums = scratch_.a_sums + begin * layout_.groups + group * rows;
      for (std::size_t p = 0, count; p < panels; p += count) {
        count = p + wide <= panels ? wide : 1;
        tile.b = b + p * tile.panel_bytes;
        if constexpr (Kernel::op == gemm_op::s8_s4)
          tile.zero_points =
              reinterpret_cast<const std::int8_t*>(layout_.tail(args_.b, first + p)) + group * nr;
        tile.c = k == 0 && last ? local : scratch_.sums + begin * nc + p * nr * rows;
        const std::size_t stored = p * layout_.panel_bytes;
        tile.fetch = fetch_for(t, next + stored, length);
        microkernel(rows, count)(tile);
        if (last) store(tile.c, count, first + p, begin, rows);
      }
    }
  }

  /// What tile `t` asks for while it multiplies `length` of k: its share of the same panels of the
  /// next chunk. Asked for by the first tile alone, these come as a burst at the full speed of
  /// memory, which that tile has to wait for (32 x 4096 x 4096, AVX-512: int8 82 instead of 93 % of
  /// the peak); asked for a fixed distance ahead in its own panels, the beginning of each of these
  /// comes unasked (8 x 4096 x 4096: int8 72 instead of 83 %).
  [[nodiscard]] fetch_stream fetch_for(std::size_t t, const std::byte* next,
                                       std::size_t length) const noexcept {
    const std::size_t stored = layout_.code_bytes(length);
    std::size_t read = stored;
    if constexpr (widens)
      if (widening()) read = Kernel::widened_read_bytes(length);
    const std::size_t step = ceil_div(64 * stored, std::max(read * tiles_.count, nr));
    return {next + t * read * step / 64, step, layout_.panel_bytes};
  }

  [[nodiscard]] run_function<Kernel> microkernel(std::size_t rows,
                                                 std::size_t panels) const noexcept {
    const std::size_t row = panels == 1 ? 0 : tiles_.count > 1 ? 1 : 2;
    if constexpr (widens)
      if (direct_rows == 0 || widening())
        return microkernels<typename Kernel::widened, mr>[row][rows - 1];
    if constexpr (direct_rows != 0) return microkernels<Kernel, direct_rows>[row][rows - 1];
  }

  // ---- from sums to C

  void store(const sum_type* sums, std::size_t panels, std::size_t first_panel, std::size_t begin,
             std::size_t rows) noexcept {
    for (std::size_t p = 0; p < panels; ++p)
      store_panel(sums + p * nr, panels * nr, first_panel + p, m_ + begin, rows);
  }

  void store_panel(const sum_type* sums, std::size_t stride, std::size_t panel, std::size_t m,
                   std::size_t rows) noexcept {
    const std::size_t n = panel * nr, columns = std::min(nr, args_.n_end - n);
    gemm_finish<sum_type>& f = finish_;
    f.rows = rows;
    f.sums = sums;
    f.sums_stride = stride;
    if constexpr (traits::integer)
      if (args_.a_scales != nullptr) f.a_scales = args_.a_scales + m * args_.a_scale_stride;
    if constexpr (std::is_same_v<sum_type, std::int32_t>) {
      const std::byte* const header = layout_.panel(args_.b, panel);  // 64-byte aligned
      const auto* const numbers =
          reinterpret_cast<const std::int32_t*>(header + nr * sizeof(float));
      f.scales = reinterpret_cast<const float*>(header);
      if constexpr (traits::int4) {
        f.b_zero_points = numbers;
        f.a_sums = scratch_.a_sums + (m - m_);
      } else if (sizeof(packed_type) == 1 && args_.a_zero_points != nullptr) {
        f.column_sums = numbers;
        f.a_zero_points = args_.a_zero_points + m * args_.a_scale_stride;
      }
      if (args_.c_int != nullptr) return store_integers(f, m, n, columns);
    }

    // Whole rows of a row-major C are written where they are; all else goes by way of `block`.
    float bias[nr], residual[mr * nr], block[mr * nr];
    const bool in_place = columns == nr && args_.c_col_stride == 1;
    const std::size_t at = m * args_.c_row_stride + n * args_.c_col_stride;
    if (args_.out.bias != nullptr) {
      f.bias = args_.out.bias + n;
      if (columns < nr) {
        std::fill_n(std::copy_n(f.bias, columns, bias), nr - columns, 0.0f);
        f.bias = bias;
      }
    }
    if (args_.out.residual != nullptr) {
      f.residual = args_.out.residual + at;
      f.residual_stride = args_.c_row_stride;
      if (!in_place) {
        std::fill_n(residual, rows * nr, 0.0f);
        for (std::size_t j = 0; j < columns; ++j)
          for (std::size_t i = 0; i < rows; ++i)
            residual[i * nr + j] = f.residual[i * args_.c_row_stride + j * args_.c_col_stride];
        f.residual = residual;
        f.residual_stride = nr;
      }
    }
    f.y = in_place ? args_.c + at : block;
    f.y_stride = in_place ? args_.c_row_stride : nr;
    Kernel::finish(f);
    if (in_place) return;
    for (std::size_t j = 0; j < columns; ++j)
      for (std::size_t i = 0; i < rows; ++i)
        args_.c[at + i * args_.c_row_stride + j * args_.c_col_stride] = block[i * nr + j];
  }

  void store_integers(const gemm_finish<sum_type>& f, std::size_t m, std::size_t n,
                      std::size_t columns) const noexcept {
    for (std::size_t i = 0; i < f.rows; ++i)
      for (std::size_t j = 0; j < columns; ++j) {
        std::int32_t sum = static_cast<std::int32_t>(f.sums[i * f.sums_stride + j]);
        if (f.column_sums != nullptr)
          sum -= f.a_zero_points[i * f.a_scale_stride] * f.column_sums[j];
        if (f.b_zero_points != nullptr) sum -= f.a_sums[i] * f.b_zero_points[j];
        args_.c_int[(m + i) * args_.c_row_stride + (n + j) * args_.c_col_stride] = sum;
      }
  }

  const gemm_args& args_;
  const layout_type& layout_;
  std::size_t m_, rows_;
  row_tiles tiles_;
  scratch scratch_;
  const packed_type* packed_a_ = nullptr;
  gemm_finish<sum_type> finish_;  // a member: g++ clears a new one by `rep stos` for each panel
};

/// The entry of `Kernel` in the table.
template <class Kernel>
inline constexpr gemm_kernel gemm_entry{
    Kernel::op,
    Kernel::target,
    Kernel::name,
    Kernel::mr,
    Kernel::nr,
    Kernel::kr,
    &gemm_driver<Kernel>::packed_bytes,
    &pack_weights<Kernel>,
    &gemm_driver<Kernel>::workspace_bytes,
    &gemm_driver<Kernel>::run,
};

/// Two kernels of the same packed weights: up to `Rows` rows `Few` multiplies, above `Many`.
template <class Few, class Many, std::size_t Rows>
inline constexpr gemm_kernel gemm_entry_by_rows{
    Many::op,
    Many::target,
    Many::name,
    Many::mr,
    Many::nr,
    Many::kr,
    &gemm_driver<Many>::packed_bytes,
    &pack_weights<Many>,
    [](std::size_t rows, std::size_t N, std::size_t K, std::size_t group_size) {
      return std::max(gemm_driver<Few>::workspace_bytes(std::min(rows, Rows), N, K, group_size),
                      rows > Rows ? gemm_driver<Many>::workspace_bytes(rows, N, K, group_size) : 0);
    },
    [](const gemm_args& args) {
      if (args.m_end - args.m_begin <= Rows)
        gemm_driver<Few>::run(args);
      else
        gemm_driver<Many>::run(args);
    },
};

}  // namespace qtk::inline QTK_ABI
