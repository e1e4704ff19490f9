#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "qtk/core/numeric.hpp"
#include "qtk/kernels/tile.hpp"

namespace qtk::inline QTK_ABI {

template <class Kernel>
using run_function = void (*)(
    const gemm_tile<typename Kernel::a_packed, typename gemm_op_traits<Kernel::op>::sum_type>&);

/// Panels that a tile of `rows` rows takes at once where it is one of several, and so at least half
/// as high as a full one.
template <class Kernel>
constexpr std::size_t panels_among_others(std::size_t rows) {
  return 2 * rows < Kernel::mr ? Kernel::panels(rows) : Kernel::panels(Kernel::mr);
}

/// The microkernels for 1 .. Rows rows, by rows: with one panel; with those of a tile among others;
/// with those of a tile on its own.
template <class Kernel, std::size_t Rows>
inline constexpr auto microkernels = []<std::size_t... R>(std::index_sequence<R...>) {
  return std::array<std::array<run_function<Kernel>, Rows>, 3>{{
      {{&Kernel::template run<R + 1, 1>...}},
      {{&Kernel::template run<R + 1, panels_among_others<Kernel>(R + 1)>...}},
      {{&Kernel::template run<R + 1, Kernel::panels(R + 1)>...}},
  }};
}
(std::make_index_sequence<Rows>{});

/// Kernel::run_rows in the place of Kernel::run.
template <class Kernel>
struct unpacked_kernel : Kernel {
  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<typename Kernel::a_packed,
                                  typename gemm_op_traits<Kernel::op>::sum_type>& t) {
    Kernel::template run_rows<Rows, Panels>(t);
  }
};

/// Kernel::finish_rows in the place of Kernel::run.
template <class Kernel>
struct finishing_kernel : Kernel {
  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<float, float>& t) {
    Kernel::template finish_rows<Rows, Panels>(t);
  }
};

/// Sums of the largest tile of those.
template <class Kernel>
inline constexpr std::size_t max_tile_sums = [] {
  std::size_t most = 0;
  for (std::size_t r = 1; r <= Kernel::mr; ++r)
    most = std::max(most, r * std::max(Kernel::panels(Kernel::mr), Kernel::panels(r)));
  return most * Kernel::nr;
}();

/// `rows` rows as tiles of nearly equal height: 7 are 4 + 3, where 6 + 1 would waste the second.
struct row_tiles {
  std::size_t rows, count;

  constexpr row_tiles(std::size_t rows_, std::size_t mr) noexcept
      : rows(rows_),
        count(ceil_div(rows_, mr)),
        low_(rows_ / (count + (count == 0))),
        taller_(rows_ - low_ * count) {}
  [[nodiscard]] constexpr std::size_t begin(std::size_t tile) const noexcept {
    return tile * low_ + std::min(tile, taller_);
  }
  [[nodiscard]] constexpr std::size_t height(std::size_t tile) const noexcept {
    return low_ + (tile < taller_ ? 1 : 0);
  }

 private:
  std::size_t low_, taller_;  // rows of a lower tile; how many, the first ones, are one row taller
};

}  // namespace qtk::inline QTK_ABI
