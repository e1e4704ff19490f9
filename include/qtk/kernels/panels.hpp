#pragma once

#include <algorithm>
#include <bit>
#include <cstring>

#include "qtk/core/half.hpp"
#include "qtk/core/int4.hpp"
#include "qtk/kernels/k_layout.hpp"
#include "qtk/kernels/tile.hpp"

/// Packed weights: where everything lies, and the packer. The picture is in kernels/README.md.
namespace qtk::inline QTK_ABI {

/// The first 64 bytes of packed weights.
struct alignas(64) packed_prefix {
  std::size_t N, K, group_size;
  bool symmetric;  // no zero points
};

/// Layout of W (N, K) for one kernel:
///   prefix | panel 0 | panel 1 | ...       panel: nr columns, zero padded, starts a cache line
///   panel  = group 0 | group 1 | ...       group: header and codes; one group where nothing varies
///   group  = header  | codes               codes: k in steps of kr, each nr x kr as Kernel::order
/// and behind the codes of a panel its tail: of s8_s4 the zero points, (groups, nr) int8; a kernel
/// with tail_bytes(k) has something of its own there.
template <class Kernel>
struct panel_layout : k_layout {
  using traits = gemm_op_traits<Kernel::op>;
  static constexpr std::size_t nr = Kernel::nr, kr = Kernel::kr;
  static constexpr std::size_t header_bytes = traits::header_bytes * nr;
  static constexpr bool has_tails = requires { Kernel::tail_bytes(0); };

  std::size_t N = 0;
  std::size_t group_bytes = 0;  // header and codes of a full group
  std::size_t panel_bytes = 0;
  bool symmetric = false;

  constexpr panel_layout(std::size_t n, std::size_t k, std::size_t group) noexcept
      : k_layout(k, traits::grouped ? group : k, kr),
        N(n),
        group_bytes(header_bytes + code_bytes(group_k)),
        panel_bytes(round_up(tail_begin() + tail_bytes(), 64)) {}
  explicit panel_layout(const packed_prefix& p) noexcept : panel_layout(p.N, p.K, p.group_size) {
    symmetric = p.symmetric;
  }

  [[nodiscard]] constexpr std::size_t total_bytes() const noexcept {
    return sizeof(packed_prefix) + ceil_div(N, nr) * panel_bytes;
  }
  [[nodiscard]] static constexpr std::size_t code_bytes(std::size_t k) noexcept {
    return k * nr * traits::weight_bits / 8;
  }
  [[nodiscard]] const std::byte* panel(const void* packed, std::size_t index) const noexcept {
    return static_cast<const std::byte*>(packed) + sizeof(packed_prefix) + index * panel_bytes;
  }
  [[nodiscard]] const std::byte* tail(const void* packed, std::size_t index) const noexcept {
    return panel(packed, index) + tail_begin();
  }
  [[nodiscard]] constexpr std::size_t tail_begin() const noexcept {
    return groups * header_bytes + code_bytes(packed_k);
  }

 private:
  [[nodiscard]] constexpr std::size_t tail_bytes() const noexcept {
    if constexpr (has_tails) return Kernel::tail_bytes(packed_k);
    return groups * traits::trailer_bytes * nr;
  }
};

namespace detail {

/// Writes code (n, k) of `w` to element `at` of a group's codes, of which all bits are zero.
template <gemm_op Op>
void copy_code(const gemm_weights& w, std::size_t n, std::size_t k, std::byte* codes,
               std::size_t at) noexcept {
  constexpr std::size_t bits = gemm_op_traits<Op>::weight_bits;
  if constexpr (bits == 4) {
    const auto* row =
        static_cast<const std::uint8_t*>(w.data) + n * nibble::bytes_for(w.row_stride);
    // Signed codes are stored plus 8, as their zero points are: 0..15 is what the kernels multiply.
    const int code = w.unsigned_codes ? nibble::load_u4(row, k) : nibble::load_s4(row, k) + 8;
    nibble::store(reinterpret_cast<std::uint8_t*>(codes), at, code);
  } else {
    constexpr std::size_t size = bits / 8;
    const auto* row = static_cast<const std::byte*>(w.data) + n * w.row_stride * size;
    std::memcpy(codes + at * size, row + k * size, size);
  }
}

/// Header of group g, and its zero points, for `columns` columns from n. Zero points lie within the
/// range of the codes.
template <class Kernel>
void write_header(const gemm_weights& w, const panel_layout<Kernel>& layout, std::size_t n,
                  std::size_t columns, std::size_t g, std::byte* panel) noexcept {
  using traits = gemm_op_traits<Kernel::op>;
  const auto zero_point = [&](std::size_t at) {
    const int stored_as = traits::weight_bits == 4 && !w.unsigned_codes ? 8 : 0;
    return (w.zero_points == nullptr ? 0 : w.zero_points[at]) + stored_as;
  };
  float scales[Kernel::nr] = {};
  std::int32_t numbers[Kernel::nr] = {};
  std::int8_t zero_points[Kernel::nr] = {};
  for (std::size_t j = 0; j < columns; ++j) {
    const std::size_t at = (n + j) * layout.groups + g;
    scales[j] = w.scales == nullptr ? 1.0f : w.scales[at];
    if constexpr (traits::grouped) {
      zero_points[j] = static_cast<std::int8_t>(zero_point(at));
    } else if constexpr (traits::int4) {
      numbers[j] = zero_point(at);
    } else {
      const auto* row = static_cast<const std::int8_t*>(w.data) + (n + j) * w.row_stride;
      for (std::size_t k = 0; k < w.K; ++k) numbers[j] += row[k];
    }
  }
  std::byte* const header = panel + g * layout.group_bytes;
  std::memcpy(header, scales, sizeof scales);
  if constexpr (traits::trailer_bytes != 0)
    std::memcpy(panel + layout.tail_begin() + g * sizeof zero_points, zero_points,
                sizeof zero_points);
  else if constexpr (traits::grouped)
    std::memcpy(header + sizeof scales, zero_points, sizeof zero_points);
  else
    std::memcpy(header + sizeof scales, numbers, sizeof numbers);
}

}  // namespace detail

/// gemm_kernel::pack.
template <class Kernel>
void pack_weights(const gemm_weights& w, void* packed) noexcept {
  using traits = gemm_op_traits<Kernel::op>;
  const panel_layout<Kernel> layout(w.N, w.K, w.group_size);
  std::memset(packed, 0, layout.total_bytes());
  const packed_prefix prefix{w.N, w.K, layout.group_size,
                             w.zero_points == nullptr && !w.unsigned_codes};
  std::memcpy(packed, &prefix, sizeof prefix);
  auto* panel = static_cast<std::byte*>(packed) + sizeof prefix;
  for (std::size_t n = 0; n < w.N; n += Kernel::nr, panel += layout.panel_bytes) {
    const std::size_t columns = std::min(Kernel::nr, w.N - n);
    for (std::size_t g = 0; g < layout.groups; ++g) {
      if constexpr (traits::header_bytes != 0)
        detail::write_header<Kernel>(w, layout, n, columns, g, panel);
      std::byte* const codes = panel + g * layout.group_bytes + layout.header_bytes;
      const std::size_t begin = g * layout.group_size;
      const std::size_t end = std::min(w.K, begin + layout.group_size);
      for (std::size_t j = 0; j < columns; ++j)
        for (std::size_t k = begin; k < end; ++k) {
          const std::size_t p = k - begin;
          detail::copy_code<Kernel::op>(
              w, n + j, k, codes,
              p / Kernel::kr * (Kernel::nr * Kernel::kr) + Kernel::order(j, p % Kernel::kr));
        }
    }
    if constexpr (panel_layout<Kernel>::has_tails)
      Kernel::pack_tail(panel + layout.header_bytes, layout.packed_k, panel + layout.tail_begin());
  }
}

}  // namespace qtk::inline QTK_ABI
