#pragma once

#include <algorithm>
#include <cstdlib>

#include "qtk/kernels/avx2/gemm_u8s8.hpp"
#include "qtk/kernels/driver.hpp"

#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
/// u8 x s8 in sums of int16, exact. vpmaddubsw adds pairs of products of bytes and saturates, but
/// neither does it saturate, nor do the sums of three of them wrap once 128 * w is taken off, where
///   two weights of one sign that meet in a pair sum to at most 128:    255 * 128 < 2^15
///   six weights that meet in a lane have magnitudes of at most 255:    |a - 128| * 255 < 2^15
/// On a bell curve nearly all are like that. What exceeds (sigma 32: 0.3 % of the weights) is taken
/// off, listed behind the codes when a panel is packed, and added by itself. Panels with long lists
/// are multiplied as int16.
/// 8 instructions for 96 products, where vpmaddwd takes 12: as bare loops 281 and 191 GOP/s (Zen 4;
/// vpmaddubsw and vpmaddwd without a care for saturation: 236; two vpmaddubsw at a time: 250; with
/// vpsignb for |w|: 185; seven bits of a and then one: 142).
namespace qtk::inline QTK_ABI::avx2 {

/// What was taken off the weights of a panel: behind its codes.
struct remainder_list {
  static constexpr std::size_t nr = 16, group = 12, window = 96;
  static constexpr std::uint32_t too_many = ~std::uint32_t{0};  // a count

  [[nodiscard]] static constexpr std::size_t capacity(std::size_t k) noexcept {
    return k < std::size_t{1} << 20 ? k / 2 : 0;  // position and value share 32 bits
  }
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t k) noexcept {
    return round_up((2 + capacity(k)) * sizeof(std::uint32_t), 64);
  }
  static std::uint32_t entry(std::size_t k, std::size_t column, int value) noexcept {
    return static_cast<std::uint32_t>(k * nr + column) << 8 | static_cast<std::uint8_t>(value);
  }
  static std::size_t k(std::uint32_t entry) noexcept { return entry / (256 * nr); }
  static std::size_t column(std::uint32_t entry) noexcept { return entry / 256 % nr; }
  static std::int8_t value(std::uint32_t entry) noexcept {
    return static_cast<std::int8_t>(entry % 256);
  }

  /// Splits six weights, pair by pair, into what meets the conditions and the rest.
  static void split(const int (&w)[6], int (&kept)[6]) noexcept {
    std::copy_n(w, 6, kept);
    const auto lower = [](int& x, int by) { x -= x < 0 ? -by : by; };
    int sum = 0;
    for (std::size_t i = 0; i < 6; i += 2) {
      int& larger = std::abs(kept[i]) > std::abs(kept[i + 1]) ? kept[i] : kept[i + 1];
      if (const int excess = std::abs(kept[i] + kept[i + 1]) - 128; excess > 0)
        lower(larger, excess);
      sum += std::abs(kept[i]) + std::abs(kept[i + 1]);
    }
    while (sum > 255) {
      int* const largest =
          std::max_element(kept, kept + 6, [](int a, int b) { return std::abs(a) < std::abs(b); });
      const int by = std::min(sum - 255, std::abs(*largest));
      lower(*largest, by);
      sum -= by;
    }
  }
};

/// Panels of both kernels below: steps of four k, pairs of each column side by side; then what the
/// second makes of them.
struct u8s8_panels {
  static constexpr std::size_t nr = remainder_list::nr, kr = 4;
  static constexpr std::size_t order(std::size_t j, std::size_t k) {
    return gemm_u8s8s32_6x16<kr>::order(j, k);
  }
  /// The remainders, then a byte for each four k: where in its window of 96 k they come from.
  static constexpr std::size_t tail_bytes(std::size_t k) {
    return remainder_list::bytes(k) + round_up(k / kr + 2, 64);
  }

  /// The tail of a panel of k packed codes. k of a remainder counts in the order of the tail.
  static void pack_tail(const std::byte* codes, std::size_t packed_k, std::byte* tail) noexcept {
    std::uint32_t count = 0;
    const auto order_at = static_cast<std::uint32_t>(remainder_list::bytes(packed_k));
    std::memcpy(tail + sizeof count, &order_at, sizeof order_at);
    auto* order_of = reinterpret_cast<std::uint8_t*>(tail) + order_at;
    for (std::size_t k = 0; k < packed_k; k += remainder_list::window) {
      const std::size_t steps =
          std::min(remainder_list::window, round_up(packed_k - k, remainder_list::group)) / kr;
      choose_order(codes + k * nr, packed_k - k, steps, order_of);
      for (std::size_t u = 0; u < steps; u += 3)
        for (std::size_t pair = 0; pair < kr; pair += 2)
          for (std::size_t j = 0; j < nr; ++j) {
            int w[6], kept[6];
            for (std::size_t i = 0; i < 6; ++i)
              w[i] = code(codes, packed_k, k + order_of[u + i / 2] * kr + pair + i % 2, j);
            remainder_list::split(w, kept);
            for (std::size_t i = 0; i < 6; ++i) {
              if (w[i] == kept[i]) continue;
              if (count == remainder_list::capacity(packed_k)) {
                std::memcpy(tail, &remainder_list::too_many, sizeof count);
                return;
              }
              const std::uint32_t entry =
                  remainder_list::entry(k + (u + i / 2) * kr + pair + i % 2, j, w[i] - kept[i]);
              std::memcpy(tail + (1 + ++count) * sizeof entry, &entry, sizeof entry);
            }
          }
      order_of += steps;
    }
    std::memcpy(tail, &count, sizeof count);
  }

 private:
  static int code(const std::byte* codes, std::size_t packed_k, std::size_t k, std::size_t j) {
    if (k >= packed_k) return 0;
    return int{static_cast<std::int8_t>(codes[k / kr * kr * nr + order(j, k % kr)])};
  }
  /// Threes of steps with few sums beyond 255, step by step the best that is left: at sigma 32 this
  /// halves the remainders.
  static void choose_order(const std::byte* codes, std::size_t packed_k, std::size_t steps,
                           std::uint8_t* out) noexcept {
    constexpr std::size_t most = remainder_list::window / kr;
    __m256i sums[most][2];  // magnitudes of each pair, as far as they are kept
    for (std::size_t s = 0; s < steps; ++s) {
      alignas(32) std::int16_t lanes[32];
      for (std::size_t j = 0; j < nr; ++j)
        for (std::size_t pair = 0; pair < 2; ++pair) {
          const int a = code(codes, packed_k, s * kr + 2 * pair, j);
          const int b = code(codes, packed_k, s * kr + 2 * pair + 1, j);
          const int sum = std::abs(a) + std::abs(b);
          lanes[2 * j + pair] = static_cast<std::int16_t>(a * b > 0 ? std::min(sum, 128) : sum);
        }
      sums[s][0] = _mm256_load_si256(reinterpret_cast<const __m256i*>(lanes));
      sums[s][1] = _mm256_load_si256(reinterpret_cast<const __m256i*>(lanes) + 1);
      out[s] = static_cast<std::uint8_t>(s);
    }
    const auto beyond = [&](std::size_t a, std::size_t b, std::size_t c) {
      __m256i over[2];
      for (std::size_t h = 0; h < 2; ++h)
        over[h] = _mm256_cmpgt_epi16(
            _mm256_add_epi16(_mm256_add_epi16(sums[a][h], sums[b][h]), sums[c][h]),
            _mm256_set1_epi16(255));
      return std::popcount(
          static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_packs_epi16(over[0], over[1]))));
    };
    for (std::size_t u = 0; u + 3 < steps; u += 3) {
      int least = 33;
      std::size_t second = 0, third = 0;
      for (std::size_t i = u + 1; i < steps && least != 0; ++i)
        for (std::size_t j = i + 1; j < steps && least != 0; ++j)
          if (const int count = beyond(out[u], out[i], out[j]); count < least)
            least = count, second = i, third = j;
      std::swap(out[u + 1], out[second]);
      std::swap(out[u + 2], out[third]);
    }
  }
};

/// Few rows: int16, from the same panels.
struct gemm_u8s8s32_6x16c4 : gemm_u8s8s32_6x16<4>, private u8s8_panels {
  using gemm_u8s8s32_6x16<4>::nr, gemm_u8s8s32_6x16<4>::kr, gemm_u8s8s32_6x16<4>::order;
  using u8s8_panels::pack_tail, u8s8_panels::tail_bytes;
};

/// Sums of A's rows of bytes with a chunk of weights that `widen` has made ready:
///   header | half 0 | half 1 | first k of each step | remainders
/// A half is 8 of the 16 columns: those that unpacking leaves together, 0-3 and 8-11, or the rest;
/// for each 12 k three vectors of codes, and one of -128 times their sums: four loads for 8 rows.
/// 8 x 8: 8 sums, 4 vectors of weights, one of ones and two of products; 6, 9 and 10 rows are as
/// fast (262 to 267 GOP/s), but of 8 one vector holds four k, for the remainders.
struct gemm_u8s8s32_8x16c12 : u8s8_panels {
  static constexpr gemm_op op = gemm_op::u8_s8;
  static constexpr isa target = isa::avx2;
  static constexpr const char* name = "gemm_u8s8s32_8x16c12";
  static constexpr std::size_t mr = 8, mc = 288, kc = 1032, direct_rows = 0;
  static constexpr std::size_t k_unit = remainder_list::window;
  using a_packed = std::uint8_t;
  using widened = gemm_u8s8s32_8x16c12;
  static constexpr std::size_t panels(std::size_t) { return 1; }

  /// A remainder as it is multiplied: its value in the byte of its k, zeros elsewhere.
  struct remainder {
    std::uint32_t bytes;
    std::uint16_t k;    // of the first of its four
    std::uint16_t sum;  // index of its column's eight sums
  };
  struct alignas(64) header {
    std::int32_t start[2][8];  // 128 times the sums of the columns
    std::uint32_t remainders;
    bool wide;  // too many of them: what follows are int16, even k and odd k
  };
  static constexpr std::size_t unit_bytes = 4 * 32;                     // of a half, 12 k
  static constexpr std::size_t from_bytes = 4 * sizeof(std::uint16_t);  // first k of each four

  static constexpr std::size_t units(std::size_t k) { return ceil_div(k, remainder_list::group); }
  /// As int16, or as bytes and up to 14 remainders for 12 k: those cost what int16 does.
  static constexpr std::size_t widened_panel_bytes(std::size_t k) {
    return sizeof(header) + units(k) * remainder_list::group * nr * sizeof(std::int16_t);
  }

  /// What a tile reads of them; half of it counts, so that a unit asks for one line and not for the
  /// same twice.
  static constexpr std::size_t counted_bytes = unit_bytes / 2;
  static constexpr std::size_t widened_read_bytes(std::size_t k) {
    return 2 * units(k) * counted_bytes;
  }

  // ---- a chunk of weights, from k on, made ready

  static void widen(const gemm_tile<std::uint8_t, std::int32_t>& t, std::size_t panels,
                    const std::byte* tail, std::size_t k, std::byte* out) {
    for (std::size_t p = 0; p < panels; ++p) {
      widen_panel(t.b + p * t.panel_bytes, tail + p * t.panel_bytes, k, t.k, out);
      fetch_list(tail + (panels + p) * t.panel_bytes);  // of the next columns
      out += widened_panel_bytes(t.k);
    }
  }
  static void widen_panel(const std::byte* codes, const std::byte* tail, std::size_t k,
                          std::size_t length, std::byte* out) {
    auto& head = *reinterpret_cast<header*>(out);
    std::byte* const body = out + sizeof(header);
    const auto* const list = reinterpret_cast<const std::uint32_t*>(tail);
    const auto count = list[0];
    const auto* const order_of = reinterpret_cast<const std::uint8_t*>(tail) + list[1] + k / kr;
    if (count != remainder_list::too_many) {
      const auto* const end = list + 2 + count;
      const auto* const first = std::lower_bound(
          list + 2, end, k,
          [](std::uint32_t entry, std::size_t least) { return remainder_list::k(entry) < least; });
      const auto* const last = std::find_if(first, end, [&](std::uint32_t entry) {
        return remainder_list::k(entry) >= k + units(length) * remainder_list::group;
      });
      head.remainders = static_cast<std::uint32_t>(last - first);
      fetch_list(last);  // of the next chunk
      head.wide = head.remainders > 14 * units(length);
      if (!head.wide) {
        spread_bytes(codes, order_of, length, head, body);
        take_off(first, k, length, head, body);
        return;
      }
    }
    head = {.start = {}, .remainders = 0, .wide = true};
    spread_words(codes, length, body);
  }
  /// Where the remainders of a panel of one chunk are read from soon.
  static void fetch_list(const void* list) {
    QTK_UNROLL
    for (std::size_t i = 0; i < 4; ++i)
      __builtin_prefetch(static_cast<const std::byte*>(list) + 64 * i, 0, 2);
  }
  /// Four k of 16 columns as two halves.
  static void load_step(const std::byte* codes, __m256i (&halves)[2]) {
    const __m256i lo = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes));
    const __m256i hi = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes) + 1);
    halves[0] = _mm256_unpacklo_epi16(lo, hi);
    halves[1] = _mm256_unpackhi_epi16(lo, hi);
  }
  static void spread_bytes(const std::byte* codes, const std::uint8_t* order_of, std::size_t length,
                           header& head, std::byte* body) {
    const __m256i ones = _mm256_set1_epi8(1), pairs = _mm256_set1_epi16(1);
    __m256i start[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    const std::size_t half_bytes = units(length) * unit_bytes;
    auto* from = reinterpret_cast<std::uint16_t*>(body + 2 * half_bytes);
    constexpr std::size_t window_steps = remainder_list::window / kr;
    for (std::size_t u = 0; u < units(length); ++u, body += unit_bytes, from += 4) {
      __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
      QTK_UNROLL
      for (std::size_t s = 0; s < 3; ++s) {
        const std::size_t step = 3 * u + s;
        const std::size_t k = (step / window_steps * window_steps + order_of[step]) * kr;
        from[s] = static_cast<std::uint16_t>(k);
        __m256i w[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        if (k < length) load_step(codes + k * nr, w);
        QTK_UNROLL
        for (std::size_t h = 0; h < 2; ++h) {
          _mm256_store_si256(reinterpret_cast<__m256i*>(body + h * half_bytes) + s, w[h]);
          sums[h] = _mm256_add_epi16(sums[h], _mm256_maddubs_epi16(ones, w[h]));
        }
      }
      QTK_UNROLL
      for (std::size_t h = 0; h < 2; ++h) {
        const __m256i shift = _mm256_slli_epi16(sums[h], 7);
        _mm256_store_si256(reinterpret_cast<__m256i*>(body + h * half_bytes) + 3,
                           _mm256_sub_epi16(_mm256_setzero_si256(), shift));
        start[h] =
            _mm256_add_epi32(start[h], _mm256_slli_epi32(_mm256_madd_epi16(sums[h], pairs), 7));
      }
    }
    simd::store(head.start[0], start[0]);
    simd::store(head.start[1], start[1]);
  }
  static void take_off(const std::uint32_t* first, std::size_t k0, std::size_t length, header& head,
                       std::byte* body) {
    const std::size_t half_bytes = units(length) * unit_bytes;
    const auto* const from = reinterpret_cast<const std::uint16_t*>(body + 2 * half_bytes);
    std::byte* out = body + 2 * half_bytes + units(length) * from_bytes;
    for (std::size_t r = 0; r < head.remainders; ++r, out += sizeof(remainder)) {
      const std::size_t k = remainder_list::k(first[r]) - k0, j = remainder_list::column(first[r]);
      const int value = remainder_list::value(first[r]);
      const std::size_t half = j / 4 % 2, column = j / 8 * 4 + j % 4;
      std::byte* const unit = body + half * half_bytes + k / remainder_list::group * unit_bytes;
      add_to<std::int8_t>(unit + k % remainder_list::group / kr * 32 + column * kr + k % kr,
                          -value);
      add_to<std::int16_t>(unit + 3 * 32 + column * 4 + k % kr / 2 * 2, 128 * value);
      head.start[half][column] -= 128 * value;
      const remainder x{
          static_cast<std::uint32_t>(static_cast<std::uint8_t>(value)) << 8 * (k % kr),
          from[k / remainder_list::group * 4 + k % remainder_list::group / kr],
          static_cast<std::uint16_t>((half * 8 + column) * 8),
      };
      std::memcpy(out, &x, sizeof x);
    }
  }
  template <class T>
  static void add_to(std::byte* place, int value) {
    T x;
    std::memcpy(&x, place, sizeof x);
    x = static_cast<T>(x + value);
    std::memcpy(place, &x, sizeof x);
  }
  static void spread_words(const std::byte* codes, std::size_t length, std::byte* body) {
    auto* out = reinterpret_cast<__m256i*>(body);
    const std::size_t half_vectors = length / kr * 2;
    for (std::size_t k = 0; k < length; k += kr, codes += kr * nr, out += 2) {
      __m256i w[2];
      load_step(codes, w);
      QTK_UNROLL
      for (std::size_t h = 0; h < 2; ++h) {
        _mm256_store_si256(out + h * half_vectors,
                           _mm256_srai_epi16(_mm256_slli_epi16(w[h], 8), 8));
        _mm256_store_si256(out + h * half_vectors + 1, _mm256_srai_epi16(w[h], 8));
      }
    }
  }

  // ---- the microkernel

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::uint8_t, std::int32_t>& t) {
    static_assert(Panels == 1);
    const auto& head = *reinterpret_cast<const header*>(t.b);
    if (head.wide) return run_words<Rows>(t);
    const std::byte* b = t.b + sizeof(header);
    alignas(32) std::int32_t sums[2][8][8];
    if (head.remainders != 0)
      add_remainders<Rows>(t.a, head, b + units(t.k) * (2 * unit_bytes + from_bytes), sums);
    const std::byte* const order_of = b + units(t.k) * 2 * unit_bytes;
    fetch_stream fetch = t.fetch;
    for (std::size_t half = 0; half < 2; ++half) {
      __m256i acc[Rows];
      if (head.remainders != 0)
        load_sums(t, half, sums[half][0], 8, acc);
      else
        load_sums(t, half, head.start[half], 0, acc);
      const __m256i ones = _mm256_set1_epi16(1);
      const auto* from = reinterpret_cast<const std::uint16_t*>(order_of);
      for (std::size_t u = units(t.k); u != 0; --u, from += 4, b += unit_bytes) {
        fetch.template advance<1, counted_bytes>();
        const auto* const codes = reinterpret_cast<const __m256i*>(b);
        const __m256i w0 = _mm256_load_si256(codes), w1 = _mm256_load_si256(codes + 1);
        const __m256i w2 = _mm256_load_si256(codes + 2), shift = _mm256_load_si256(codes + 3);
        const std::uint8_t *a0 = t.a + from[0] * Rows, *a1 = t.a + from[1] * Rows,
                           *a2 = t.a + from[2] * Rows;
        __asm__("" : "+r"(a0), "+r"(a1), "+r"(a2));  // addresses of one register
        QTK_UNROLL
        for (std::size_t i = 0; i < Rows; ++i) {
          const auto word = [&](const std::uint8_t* a) {
            return reinterpret_cast<const four_bytes*>(a + i * kr);
          };
          __m256i x, y;
          __asm__(
              "vpbroadcastd %[a0], %[x]\n\t"
              "vpbroadcastd %[a1], %[y]\n\t"
              "vpmaddubsw %[w0], %[x], %[x]\n\t"
              "vpmaddubsw %[w1], %[y], %[y]\n\t"
              "vpaddw %[shift], %[x], %[x]\n\t"
              "vpaddw %[y], %[x], %[x]\n\t"
              "vpbroadcastd %[a2], %[y]\n\t"
              "vpmaddubsw %[w2], %[y], %[y]\n\t"
              "vpaddw %[y], %[x], %[x]\n\t"
              "vpmaddwd %[ones], %[x], %[x]\n\t"
              "vpaddd %[x], %[sum], %[sum]"
              : [sum] "+x"(acc[i]), [x] "=&x"(x), [y] "=&x"(y)
              : [a0] "m"(*word(a0)), [a1] "m"(*word(a1)), [a2] "m"(*word(a2)), [w0] "x"(w0),
                [w1] "x"(w1), [w2] "x"(w2), [shift] "x"(shift), [ones] "x"(ones));
        }
      }
      store_sums(t, half, acc);
    }
  }

  template <class Sum>
  static void finish(const gemm_finish<Sum>& f) {
    gemm_finish_run<simd, nr>(f);
  }

 private:
  using four_bytes = std::uint32_t __attribute__((may_alias));

  /// acc = start (Rows, stride), or += where sums wait.
  template <std::size_t Rows>
  QTK_ALWAYS_INLINE static void load_sums(const gemm_tile<std::uint8_t, std::int32_t>& t,
                                          std::size_t half, const std::int32_t* start,
                                          std::size_t stride, __m256i (&acc)[Rows]) {
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      acc[i] = simd::load(start + i * stride);
      if (t.accumulate) {
        const auto* const c = reinterpret_cast<const __m128i*>(t.c + i * nr) + half;
        acc[i] = _mm256_add_epi32(acc[i], _mm256_loadu2_m128i(c + 2, c));
      }
    }
  }
  template <std::size_t Rows>
  QTK_ALWAYS_INLINE static void store_sums(const gemm_tile<std::uint8_t, std::int32_t>& t,
                                           std::size_t half, const __m256i (&acc)[Rows]) {
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      auto* const c = reinterpret_cast<__m128i*>(t.c + i * nr) + half;
      _mm256_storeu2_m128i(c + 2, c, acc[i]);
    }
  }

  template <std::size_t Rows>
  static void run_words(const gemm_tile<std::uint8_t, std::int32_t>& t) {
    const auto& head = *reinterpret_cast<const header*>(t.b);  // starts are 0
    const auto* w = reinterpret_cast<const __m256i*>(t.b + sizeof(header));
    for (std::size_t half = 0; half < 2; ++half) {
      __m256i acc[Rows];
      load_sums(t, half, head.start[half], 0, acc);
      const __m256i low_bytes = _mm256_set1_epi16(255);
      const std::uint8_t* a = t.a;
      for (std::size_t k = t.k; k != 0; k -= kr, a += kr * Rows, w += 2) {
        const __m256i even = _mm256_load_si256(w), odd = _mm256_load_si256(w + 1);
        QTK_UNROLL
        for (std::size_t i = 0; i < Rows; ++i) {
          const __m256i x = broadcast4(a + i * kr);
          add_products(acc[i], _mm256_and_si256(x, low_bytes), even);
          add_products(acc[i], _mm256_srli_epi16(x, 8), odd);
        }
      }
      store_sums(t, half, acc);
    }
  }

  /// sums (half, row) = start + remainders, one by one for all rows at a time. Where there are less
  /// than 8 rows, those behind are something else of the workspace, and not used.
  template <std::size_t Rows>
  [[gnu::noinline]] static void add_remainders(const std::uint8_t* a, const header& head,
                                               const std::byte* list,
                                               std::int32_t (&sums)[2][8][8]) {
    const __m256i ones = _mm256_set1_epi16(1);
    std::int32_t* const by_column = sums[0][0];
    for (std::size_t j = 0; j < nr; ++j)
      simd::store(by_column + 8 * j, _mm256_set1_epi32(head.start[j / 8][j % 8]));
    const auto* x = reinterpret_cast<const remainder*>(list);
    for (const auto* const end = x + head.remainders; x != end; ++x) {
      const __m256i four = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + x->k * Rows));
      const __m256i products = _mm256_maddubs_epi16(four, broadcast4(&x->bytes));
      std::int32_t* const sum = by_column + x->sum;
      simd::store(sum, _mm256_add_epi32(simd::load(sum), _mm256_madd_epi16(products, ones)));
    }
    turn(sums[0]);
    turn(sums[1]);
  }
  /// 8 x 8, columns to rows.
  QTK_ALWAYS_INLINE static void turn(std::int32_t (&x)[8][8]) {
    __m256i pairs[8], fours[8];
    QTK_UNROLL
    for (std::size_t j = 0; j < 8; j += 2) {
      const __m256i a = simd::load(x[j]), b = simd::load(x[j + 1]);
      pairs[j] = _mm256_unpacklo_epi32(a, b);      // rows 0 1 | 4 5
      pairs[j + 1] = _mm256_unpackhi_epi32(a, b);  // rows 2 3 | 6 7
    }
    QTK_UNROLL
    for (std::size_t j = 0; j < 8; j += 4) {
      QTK_UNROLL
      for (std::size_t r = 0; r < 2; ++r) {
        fours[j + 2 * r] = _mm256_unpacklo_epi64(pairs[j + r], pairs[j + 2 + r]);
        fours[j + 2 * r + 1] = _mm256_unpackhi_epi64(pairs[j + r], pairs[j + 2 + r]);
      }
    }
    QTK_UNROLL
    for (std::size_t r = 0; r < 4; ++r) {
      simd::store(x[r], _mm256_permute2x128_si256(fours[r], fours[r + 4], 0x20));
      simd::store(x[r + 4], _mm256_permute2x128_si256(fours[r], fours[r + 4], 0x31));
    }
  }
};

}  // namespace qtk::inline QTK_ABI::avx2
QTK_TARGET_END
#endif
