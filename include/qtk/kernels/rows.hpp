#pragma once

#include "qtk/kernels/panels.hpp"

/// Packs rows of A for a tile: rows interleaved, kr codes of a row side by side. Plain C++ and
/// short vectors that every target has.
namespace qtk::inline QTK_ABI {

namespace detail {

/// 16 bytes of each of 16 / Unit rows, units of Unit bytes turned into columns.
template <std::size_t Unit>
QTK_ALWAYS_INLINE void transpose(const void* from, std::size_t from_bytes, void* to,
                                 std::size_t to_bytes) noexcept {
  const auto row = [&]<class V>(std::size_t i, V& v) {
    std::memcpy(&v, static_cast<const std::byte*>(from) + i * from_bytes, sizeof v);
  };
  const auto column = [&]<class V>(std::size_t i, const V& v) {
    std::memcpy(static_cast<std::byte*>(to) + i * to_bytes, &v, sizeof v);
  };
  if constexpr (Unit == 4) {
    using words = std::uint32_t __attribute__((vector_size(16)));
    words a, b, c, d;
    row(0, a), row(1, b), row(2, c), row(3, d);
    const words ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    const words cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const words ef = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const words gh = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    column(0, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
    column(1, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
    column(2, __builtin_shufflevector(ef, gh, 0, 1, 4, 5));
    column(3, __builtin_shufflevector(ef, gh, 2, 3, 6, 7));
  } else {
    static_assert(Unit == 8);
    using pairs = std::uint64_t __attribute__((vector_size(16)));
    pairs a, b;
    row(0, a), row(1, b);
    column(0, __builtin_shufflevector(a, b, 0, 2));
    column(1, __builtin_shufflevector(a, b, 1, 3));
  }
}

}  // namespace detail

/// Sum of `count` codes.
[[nodiscard]] inline std::int32_t sum_codes(const std::int8_t* codes, std::size_t count) noexcept {
  using bytes = std::int8_t __attribute__((vector_size(8)));
  using words = std::int16_t __attribute__((vector_size(16)));
  using sums = std::int32_t __attribute__((vector_size(16)));
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
    const words other = __builtin_shufflevector(total, total, 4, 5, 6, 7, 0, 1, 2, 3);
    const auto widened = [](words w) {
      return __builtin_convertvector(__builtin_shufflevector(w, w, 0, 1, 2, 3), sums);
    };
    const sums four = widened(total) + widened(other);
    sum += (four[0] + four[1]) + (four[2] + four[3]);
  }
  for (; i < count; ++i) sum += codes[i];
  return sum;
}

/// `count` codes less their zero point.
inline void subtract(const std::uint8_t* x, std::int16_t zero_point, std::size_t count,
                     std::int16_t* out) noexcept {
  using codes = std::uint8_t __attribute__((vector_size(8)));
  using values = std::int16_t __attribute__((vector_size(16)));
  std::size_t i = 0;
  for (; count - i >= 8; i += 8) {
    codes c;
    std::memcpy(&c, x + i, sizeof c);
    const values v = __builtin_convertvector(c, values) - zero_point;
    std::memcpy(out + i, &v, sizeof v);
  }
  for (; i < count; ++i) out[i] = static_cast<std::int16_t>(x[i] - zero_point);
}

/// Interleaves `rows` rows, `stride` elements apart: step s of row i, Kr elements, goes to
/// out + (s * rows + i) * Kr. Squares of 16 bytes each way by shuffles: one element at a time takes
/// three times as long.
template <std::size_t Kr, class T>
void interleave_rows(const T* from, std::size_t stride, std::size_t rows, std::size_t steps,
                     T* out) noexcept {
  constexpr std::size_t unit = Kr * sizeof(T), side = 16 / unit;
  if (rows == 1) {
    std::memcpy(static_cast<void*>(out), from, steps * unit);
    return;
  }
  std::size_t body = 0;  // steps that go by squares
  if constexpr (unit == 4 || unit == 8) {
    if (rows >= side) {
      body = steps - steps % side;
      for (std::size_t r = 0; r < rows; r += side) {
        const std::size_t i = std::min(r, rows - side);  // the last square may overlap
        for (std::size_t s = 0; s < body; s += side)
          detail::transpose<unit>(from + i * stride + s * Kr, stride * sizeof(T),
                                  out + (s * rows + i) * Kr, rows * unit);
      }
    }
  }
  for (std::size_t s = body; s < steps; ++s)
    for (std::size_t i = 0; i < rows; ++i)
      std::memcpy(static_cast<void*>(out + (s * rows + i) * Kr), from + i * stride + s * Kr, unit);
}

/// Packs rows of A, at most Kernel::mr at a time. Where packed elements are others than those of A,
/// they are either int16 codes less their zero point, or what Kernel::round_row(n, x, out) or
/// Kernel::split(n, x, out, stride) makes of floats.
template <class Kernel>
class row_packer {
  using Source = typename gemm_op_traits<Kernel::op>::a_type;
  using Packed = typename Kernel::a_packed;
  static constexpr std::size_t Kr = Kernel::kr;
  static constexpr bool rounds = Kernel::op == gemm_op::bf16_bf16;

 public:
  row_packer(const gemm_args& args, const k_layout& layout) noexcept
      : args_(args), layout_(layout) {}

  /// Packs rows [m, m + rows) of A to `out`: layout.packed_k * rows elements. Padding is zero.
  void pack(std::size_t m, std::size_t rows, Packed* out) const noexcept {
    if (layout_.packed_k != args_.K) std::fill_n(out, layout_.packed_k * rows, Packed{});
    for (std::size_t g = 0; g < layout_.groups; ++g) {
      const std::size_t group_begin = g * layout_.group_size;
      const std::size_t group_end = std::min(args_.K, group_begin + layout_.group_size);
      Packed* const group = out + g * layout_.group_k * rows;
      for (std::size_t k = group_begin; k < group_end; k += chunk)
        pack_chunk(m, rows, k, std::min(chunk, group_end - k), group + (k - group_begin) * rows);
    }
  }

  /// Splits rows [m, m + rows) into rows of digits, in blocks (blocks, rows).
  void split(std::size_t m, std::size_t rows, Packed* out, digit_block* blocks) const noexcept {
    const std::size_t step = rows * Kernel::digits * Kr;  // of all rows
    for (std::size_t g = 0; g < layout_.groups; ++g) {
      const std::size_t group_end = std::min(args_.K, (g + 1) * layout_.group_size);
      for (std::size_t k = g * layout_.group_size; k < group_end; k += Kernel::block) {
        const std::size_t length = std::min(Kernel::block, group_end - k);
        Packed* const to = out + layout_.position(k) / Kr * step;
        for (std::size_t i = 0; i < rows; ++i)
          *blocks++ = Kernel::split(length, source(m + i, k), to + i * Kernel::digits * Kr, step);
      }
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
  /// Columns of all rows at a time: both sides stay in the first-level cache.
  static constexpr std::size_t chunk = 64;

  /// Columns [k0, k0 + length) of a group; what is behind a whole step is zero already.
  void pack_chunk(std::size_t m, std::size_t rows, std::size_t k0, std::size_t length,
                  Packed* to) const noexcept {
    const std::size_t steps = length / Kr, rest = length % Kr;
    const auto finish = [&](const Packed* from, std::size_t stride) {
      interleave_rows<Kr>(from, stride, rows, steps, to);
      for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t r = 0; r < rest; ++r)
          to[(steps * rows + i) * Kr + r] = from[i * stride + steps * Kr + r];
    };
    if constexpr (std::is_same_v<Source, Packed> && !rounds) {
      finish(source(m, k0), args_.lda);
    } else {
      Packed converted[Kernel::mr * chunk] = {};  // or g++ warns of its rest
      for (std::size_t i = 0; i < rows; ++i) {
        if constexpr (rounds)
          Kernel::round_row(length, source(m + i, k0), converted + i * chunk);
        else
          subtract(source(m + i, k0), zero_point(m + i), length, converted + i * chunk);
      }
      finish(converted, chunk);
    }
  }

  const gemm_args& args_;
  const k_layout& layout_;
};

}  // namespace qtk::inline QTK_ABI
