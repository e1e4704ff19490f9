#pragma once

#include "qtk/kernels/panels.hpp"

/// Packs rows of A for a tile: rows interleaved, kr codes of a row side by side. Plain C++ for all
/// ISAs.
namespace qtk::inline QTK_ABI {

template <class Source, class Packed, std::size_t Kr>
class row_packer {
 public:
  row_packer(const gemm_args& args, const k_layout& layout) noexcept
      : args_(args), layout_(layout) {}

  /// Packs rows [m, m + rows) of A to `out`: layout.packed_k * rows elements. Padding is zero.
  void pack(std::size_t m, std::size_t rows, Packed* out) const noexcept {
    if (layout_.packed_k != args_.K) std::fill_n(out, layout_.packed_k * rows, Packed{});
    // 64 columns of all rows at a time: both sides stay in the first-level cache.
    constexpr std::size_t chunk = 64;
    for (std::size_t g = 0; g < layout_.groups; ++g) {
      const std::size_t group_begin = g * layout_.group_size;
      const std::size_t group_end = std::min(args_.K, group_begin + layout_.group_size);
      Packed* const group = out + g * layout_.group_k * rows;
      for (std::size_t k = group_begin; k < group_end; k += chunk)
        pack_chunk(m, rows, k, std::min(chunk, group_end - k), group + (k - group_begin) * rows);
    }
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

  void pack_chunk(std::size_t m, std::size_t rows, std::size_t k0, std::size_t length,
                  Packed* to) const noexcept {
    const std::size_t body = length - length % Kr;
    for (std::size_t i = 0; i < rows; ++i) {
      const auto* row = static_cast<const Source*>(args_.a) + (m + i) * args_.lda + k0;
      const std::int32_t zero = zero_point(m + i);
      for (std::size_t k = 0; k < body; k += Kr)
        for (std::size_t r = 0; r < Kr; ++r) to[k * rows + i * Kr + r] = convert(row[k + r], zero);
      for (std::size_t k = body; k < length; ++k)
        to[body * rows + i * Kr + k - body] = convert(row[k], zero);
    }
  }

  const gemm_args& args_;
  const k_layout& layout_;
};

}  // namespace qtk::inline QTK_ABI
