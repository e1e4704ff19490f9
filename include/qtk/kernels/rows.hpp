#pragma once

#include "qtk/kernels/panels.hpp"

/// Packs rows of A for a tile: rows interleaved, kr codes of a row side by side. Plain C++ and
/// short vectors that every target has.
namespace qtk::inline QTK_ABI {

/// Sum of `count` codes.
[[nodiscard]] inline std::int32_t sum_codes(const std::int8_t* codes, std::size_t count) noexcept {
  using bytes = std::int8_t __attribute__((vector_size(8)));
  using words = std::int16_t __attribute__((vector_size(16)));
  std::int32_t sum = 0;
  std::size_t i = 0;
  while (count - i >= 8) {
    words total{};  // 255 times 128 fit int16
    for (const std::size_t end = i + std::min<std::size_t>((count - i) / 8, 255) * 8; i < end;
         i += 8) {
      bytes b;
      std::memcpy(&b, codes + i, sizeof b);
      total += __builtin_convertvector(b, words);
    }
    for (std::size_t lane = 0; lane < 8; ++lane) sum += total[lane];
  }
  for (; i < count; ++i) sum += codes[i];
  return sum;
}

/// Bits of eight floats rounded to bf16, as the upper halves of words: to_bfloat16() of each.
inline void round_to_bf16(const float* x, std::uint32_t* out) noexcept {
  using words = std::uint32_t __attribute__((vector_size(32)));
  words u;
  std::memcpy(&u, x, sizeof u);
  const words rounded = u + 0x7fffu + ((u >> 16) & 1u), quiet = u | 0x400000u;
  const words nan = words((u & 0x7fffffffu) > 0x7f800000u);
  const words bits = ((nan & quiet) | (~nan & rounded)) & 0xffff0000u;
  std::memcpy(out, &bits, sizeof bits);
}

/// `Bf16`: floats are rounded to bf16 on the way.
template <class Source, class Packed, std::size_t Kr, bool Bf16 = false>
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

  /// `factor` times the sum of the codes of each group: (groups, rows).
  void sum_groups(std::size_t m, std::size_t rows, std::int32_t factor,
                  std::int32_t* sums) const noexcept {
    for (std::size_t i = 0; i < rows; ++i) {
      const Source* const row = source(m + i, 0);
      for (std::size_t g = 0; g < layout_.groups; ++g) {
        const std::size_t begin = std::min(args_.K, g * layout_.group_size);
        const std::size_t end = std::min(args_.K, begin + layout_.group_size);
        sums[g * rows + i] = factor * sum_codes(row + begin, end - begin);
      }
    }
  }

 private:
  [[nodiscard]] const Source* source(std::size_t m, std::size_t k) const noexcept {
    return static_cast<const Source*>(args_.a) + m * args_.lda + k;
  }
  [[nodiscard]] Packed zero_point(std::size_t m) const noexcept {
    if constexpr (std::is_same_v<Source, std::uint8_t>)
      if (args_.a_zero_points != nullptr)
        return static_cast<Packed>(args_.a_zero_points[m * args_.a_scale_stride]);
    static_cast<void>(m);
    return Packed{};
  }
  /// int16 kernels take the zero point off here; padding then is zero.
  static constexpr bool subtracts = sizeof(Packed) > sizeof(Source);

  void pack_chunk(std::size_t m, std::size_t rows, std::size_t k0, std::size_t length,
                  Packed* to) const noexcept {
    for (std::size_t i = 0; i < rows; ++i) {
      const Source* const row = source(m + i, k0);
      std::size_t k = 0;
      if constexpr (subtracts) {
        const Packed zero = zero_point(m + i);
        static_assert(std::is_same_v<Source, std::uint8_t> && std::is_same_v<Packed, std::int16_t>);
        using codes = std::uint8_t __attribute__((vector_size(8)));
        using values = std::int16_t __attribute__((vector_size(16)));
        for (; k + 8 <= length; k += 8) {
          codes c;
          std::memcpy(&c, row + k, sizeof c);
          const values v = __builtin_convertvector(c, values) - zero;
          Packed wide[8];
          std::memcpy(wide, &v, sizeof v);
          for (std::size_t w = 0; w < 8; w += Kr) copy(wide + w, to + (k + w) * rows + i * Kr);
        }
        for (; k < length; ++k)
          to[k / Kr * Kr * rows + i * Kr + k % Kr] = static_cast<Packed>(row[k] - zero);
      } else if constexpr (Bf16) {
        for (; k + 8 <= length; k += 8) {
          std::uint32_t bits[8];
          round_to_bf16(row + k, bits);
          Packed rounded[8];
          for (std::size_t w = 0; w < 8; ++w) rounded[w] = from_bits(bits[w]);
          for (std::size_t w = 0; w < 8; w += Kr) copy(rounded + w, to + (k + w) * rows + i * Kr);
        }
        for (; k < length; ++k)
          to[k / Kr * Kr * rows + i * Kr + k % Kr] =
              from_bits(std::uint32_t{to_bfloat16(row[k]).bits} << 16);
      } else {
        for (; k + Kr <= length; k += Kr) copy(row + k, to + k * rows + i * Kr);
        for (std::size_t r = 0; k + r < length; ++r) to[k * rows + i * Kr + r] = row[k + r];
      }
    }
  }
  [[nodiscard]] static Packed from_bits(std::uint32_t bits) noexcept {
    if constexpr (sizeof(Packed) == 2)
      return {static_cast<std::uint16_t>(bits >> 16)};
    else
      return std::bit_cast<Packed>(bits);
  }
  /// Kr codes at once: g++ -O2 copies them byte by byte.
  static void copy(const Packed* from, Packed* to) noexcept {
    std::memcpy(to, from, Kr * sizeof(Packed));
  }

  const gemm_args& args_;
  const k_layout& layout_;
};

}  // namespace qtk::inline QTK_ABI
