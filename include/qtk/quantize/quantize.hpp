#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include "qtk/core/executor.hpp"
#include "qtk/core/tensor.hpp"
#include "qtk/quantize/finite.hpp"
#include "qtk/quantize/observer.hpp"
#include "qtk/quantize/scheme.hpp"

namespace qtk::inline QTK_ABI {

namespace detail {

/// Calls body(begin, end) for [0, count) in a few ranges per thread.
template <class Body>
void for_ranges(std::size_t count, executor_ref executor, const Body& body) {
  const std::size_t tasks =
      std::min(count, executor.concurrency() == 1 ? std::size_t{1} : executor.concurrency() * 4);
  executor(tasks, [&](std::size_t t) {
    // count / tasks each, the first count % tasks one more.
    const std::size_t size = count / tasks, longer = count % tasks;
    const std::size_t begin = t * size + std::min(t, longer);
    body(begin, begin + size + (t < longer));
  });
}

/// Calls body(c, n, block) for each run of row r: columns [c, c + n) lie in one block.
template <class Body>
void for_runs(const block_grid& blocks, std::size_t r, std::size_t cols, const Body& body) {
  const std::size_t length = blocks.run_length();
  std::size_t block = blocks.first_block(r);
  for (std::size_t c = 0; c < cols; c += length, ++block)
    body(c, std::min(length, cols - c), block);
}

/// Rows that come in sequence and share no block with any other row: what can be observed by one
/// thread. 1 per token and per group, I * kh for the output channels of (O, I, kh, kw), all rows
/// per tensor.
[[nodiscard]] inline std::size_t rows_per_band(const shape& s, const shape& block) {
  std::size_t d = 0;
  while (d + 1 < s.rank() && block[d] == 1) ++d;
  if (d + 1 >= s.rank()) return 1;
  // Blocks that do not divide an inner axis would start anew within a band.
  const std::size_t along = d == 0 || s[d] % block[d] == 0 ? block[d] : s[d];
  return along * s.product(d + 1, s.rank() - 1);
}

/// Shows rows [begin, end) to the observers of their blocks.
template <class Observer>
void observe_rows(tensor_view<const fp32> x, const block_grid& blocks, std::size_t begin,
                  std::size_t end, std::span<Observer> observers, std::string_view where) {
  for (std::size_t r = begin; r < end; ++r) {
    check_row(x, r, where);
    for_runs(blocks, r, x.cols(), [&](std::size_t c, std::size_t n, std::size_t block) {
      observers[block].observe(std::span(x.row(r) + c, n));
    });
  }
}

/// No zero points where all are 0: what `quantization` calls symmetric.
inline void drop_zero_points(quantization& q) {
  if (std::all_of(q.zero_points.begin(), q.zero_points.end(), [](auto z) { return z == 0; }))
    q.zero_points.clear();
}

/// Scales, and zero points where any is not 0.
template <class Observer>
[[nodiscard]] quantization quantization_of(std::span<const Observer> observers, const shape& block,
                                           code_range codes, symmetry how) {
  quantization q{.block = block, .scales = {}, .zero_points = {}};
  for (const Observer& o : observers) {
    const block_scale b = choose_params(o.range(), codes, how);
    q.scales.push_back(b.scale);
    q.zero_points.push_back(b.zero_point);
  }
  drop_zero_points(q);
  return q;
}

/// Codes of one row where the format packs several into a byte.
template <quantized_format F>
void pack_row(const typename F::value_type* codes, std::size_t n, typename F::storage_type* row) {
  static_assert(F::bits == 4);
  for (std::size_t i = 0; i + 1 < n; i += 2)
    row[i / 2] = static_cast<std::uint8_t>((codes[i] & 0xf) | (codes[i + 1] & 0xf) << 4);
  if (n % 2 != 0) row[n / 2] = static_cast<std::uint8_t>(codes[n - 1] & 0xf);
}

/// Codes of F and no others.
template <quantized_format F>
void check_codes(code_range codes, std::string_view where) {
  QTK_CHECK(F::code_min <= codes.min && codes.min < codes.max && codes.max <= F::code_max, where,
            "codes ", codes.min, " to ", codes.max, " in ", name(F::id));
}

inline void check_blocks(const shape& s, const quantization* q, std::string_view where) {
  QTK_CHECK(q != nullptr, where, "codes ", s, " without scales");
  const std::size_t blocks = block_grid(s, q->block).size();
  QTK_CHECK(q->scales.size() == blocks && (q->symmetric() || q->zero_points.size() == blocks),
            where, q->scales.size(), " scales and ", q->zero_points.size(), " zero points for ",
            blocks, " blocks of ", q->block, " in ", s);
}

}  // namespace detail

/// A scale for each block of x, and a zero point where any is not 0, for codes of format F, or for
/// fewer of them: codes_of_bits<int4>(3). qtk::error naming row and column of a NaN or an infinity.
/// The executor splits rows; the result does not depend on it.
template <quantized_format F, observer Observer = min_max>
[[nodiscard]] quantization choose_quantization(tensor_view<const fp32> x, const granularity& g,
                                               symmetry how = default_symmetry<F>,
                                               executor_ref executor = {},
                                               const Observer& prototype = {},
                                               code_range codes = codes_of<F>) {
  detail::check_codes<F>(codes, "quantize");
  const shape block = g.block(x.shape());
  const block_grid blocks(x.shape(), block);
  std::vector<Observer> observers(blocks.size(), prototype);
  const std::size_t band = detail::rows_per_band(x.shape(), block);
  detail::for_ranges(ceil_div(x.rows(), band), executor, [&](std::size_t begin, std::size_t end) {
    detail::observe_rows(x, blocks, begin * band, std::min(end * band, x.rows()),
                         std::span(observers), "quantize");
  });
  return detail::quantization_of<Observer>(observers, block, codes, how);
}

/// The codes of x under a given quantization, into `codes` (whose own quantization is not touched):
///   code = clamp(round_half_even(x / scale) + zero_point, range.min, range.max)
/// Values outside of the range saturate. qtk::error for NaN and infinities, and for other shapes.
template <quantized_format F>
void quantize_into(tensor_view<const fp32> x, const quantization& q, tensor_view<F> codes,
                   executor_ref executor = {}, code_range range = codes_of<F>) {
  using value = typename F::value_type;
  detail::check_codes<F>(range, "quantize");
  QTK_CHECK(x.shape() == codes.shape(), "quantize", x.shape(), " into ", codes.shape());
  detail::check_blocks(x.shape(), &q, "quantize");
  const block_grid blocks(x.shape(), q.block);
  detail::for_ranges(x.rows(), executor, [&](std::size_t begin, std::size_t end) {
    std::vector<value> unpacked(F::packed ? x.cols() : 0);
    for (std::size_t r = begin; r < end; ++r) {
      check_row(x, r, "quantize");
      const float* from = x.row(r);
      value* to;
      if constexpr (F::packed)
        to = unpacked.data();
      else
        to = codes.row(r);
      detail::for_runs(blocks, r, x.cols(), [&](std::size_t c, std::size_t n, std::size_t block) {
        const float scale = q.scales[block];
        const std::int32_t zero_point = q.zero_point(block);
        for (std::size_t i = c; i < c + n; ++i)
          to[i] =
              static_cast<value>(quantize_code(from[i], scale, zero_point, range.min, range.max));
      });
      if constexpr (F::packed) detail::pack_row<F>(to, x.cols(), codes.row(r));
    }
  });
}

/// The same into a new tensor: for ranges known beforehand.
template <quantized_format F>
[[nodiscard]] tensor<F> quantize(tensor_view<const fp32> x, quantization q,
                                 executor_ref executor = {}, code_range range = codes_of<F>) {
  tensor<F> codes(x.shape());
  quantize_into<F>(x, q, codes, executor, range);
  codes.set_quantization(std::move(q));
  return codes;
}

/// Quantizes x with the smallest scales that let nothing saturate: |x - dequantized| <= scale / 2.
///   w8 = quantize<int8>(w, per_channel(0));              // (N, K) or (O, I, kh, kw) weights
///   w4 = quantize<int4>(w, per_group(32));
///   u8 = quantize<uint8>(x, per_token());                // asymmetric: uint8 is made for it
///   w3 = quantize<uint4>(w, per_group(32), symmetry::asymmetric, {}, codes_of_bits<uint4>(3));
/// Bytes are the same on every CPU, compiler, optimization level and executor. qtk::error naming
/// row and column of a NaN or an infinity.
template <quantized_format F>
[[nodiscard]] tensor<F> quantize(tensor_view<const fp32> x, const granularity& g,
                                 symmetry how = default_symmetry<F>, executor_ref executor = {},
                                 code_range range = codes_of<F>) {
  return quantize<F>(x, choose_quantization<F>(x, g, how, executor, min_max{}, range), executor,
                     range);
}

/// Rounds to the nearest fp16 or bf16, ties to even; subnormals are kept. qtk::error naming row and
/// column of what would not be finite: NaN, infinity, or 65520 and above for fp16.
template <float_format F>
[[nodiscard]] tensor<F> quantize(tensor_view<const fp32> x, executor_ref executor = {}) {
  // Halfway between the largest finite value and the next power of two: there rounding overflows.
  constexpr float limit = F::id == dtype::fp16   ? 65520.0f
                          : F::id == dtype::bf16 ? 0x1.ffp127f
                                                 : std::numeric_limits<float>::infinity();
  tensor<F> out(x.shape());
  const tensor_view<F> y = out;
  detail::for_ranges(x.rows(), executor, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      check_row(x, r, cat("quantize to ", name(F::id)), limit);
      const float* from = x.row(r);
      auto* to = y.row(r);
      for (std::size_t i = 0; i < x.cols(); ++i) {
        if constexpr (F::id == dtype::fp16)
          to[i] = to_half(from[i]);
        else if constexpr (F::id == dtype::bf16)
          to[i] = to_bfloat16(from[i]);
        else
          to[i] = from[i];
      }
    }
  });
  return out;
}

/// y = scale * (code - zero_point), one rounding; fp16 and bf16 exactly. qtk::error for other
/// shapes and for codes without scales.
template <storage_format F>
requires(quantized_format<F> || float_format<std::remove_const_t<F>>) void dequantize_into(
    tensor_view<F> x, tensor_view<fp32> y, executor_ref executor = {}) {
  QTK_CHECK(x.shape() == y.shape(), "dequantize", x.shape(), " into ", y.shape());
  if constexpr (quantized_format<F>)
    detail::check_blocks(x.shape(), x.quantization(), "dequantize");
  detail::for_ranges(x.rows(), executor, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      float* to = y.row(r);
      if constexpr (quantized_format<F>) {
        const quantization& q = *x.quantization();
        const block_grid blocks(x.shape(), q.block);
        detail::for_runs(blocks, r, x.cols(), [&](std::size_t c, std::size_t n, std::size_t block) {
          const float scale = q.scales[block];
          const std::int32_t zero_point = q.zero_point(block);
          for (std::size_t i = c; i < c + n; ++i)
            to[i] = scale * static_cast<float>(x.at(r, i) - zero_point);
        });
      } else {
        const auto* from = x.row(r);
        for (std::size_t i = 0; i < x.cols(); ++i) {
          if constexpr (std::is_same_v<std::remove_const_t<F>, fp32>)
            to[i] = from[i];
          else
            to[i] = to_float(from[i]);
        }
      }
    }
  });
}

/// The same into a new tensor.
template <storage_format F>
[[nodiscard]] tensor<fp32> dequantize(tensor_view<F> x, executor_ref executor = {}) {
  tensor<fp32> y(x.shape());
  dequantize_into(x, y.view(), executor);
  return y;
}
template <storage_format F>
[[nodiscard]] tensor<fp32> dequantize(const tensor<F>& x, executor_ref executor = {}) {
  return dequantize(x.view(), executor);
}

/// Of any weight format; qtk::error for integers, booleans and fp64.
[[nodiscard]] inline tensor<fp32> dequantize(const any_tensor& x, executor_ref executor = {}) {
  return x.visit([&]<class F>(const tensor<F>& t) -> tensor<fp32> {
    if constexpr (quantized_format<F> || float_format<F>)
      return dequantize(t, executor);
    else
      fail(cat(name(F::id), " ", t.shape(), " is no format of weights"), "dequantize");
  });
}

/// y = dequantize(quantize<F>(x, q)) without storing codes: what training sees of quantization. The
/// same quantize_code() decides, so the deployed bytes agree. x and y may be the same memory. NaN
/// becomes the lowest code, as in the kernels; infinities saturate.
template <quantized_format F>
void fake_quantize(tensor_view<const fp32> x, const quantization& q, tensor_view<fp32> y,
                   executor_ref executor = {}, code_range range = codes_of<F>) {
  detail::check_codes<F>(range, "fake_quantize");
  QTK_CHECK(x.shape() == y.shape(), "fake_quantize", x.shape(), " into ", y.shape());
  detail::check_blocks(x.shape(), &q, "fake_quantize");
  const block_grid blocks(x.shape(), q.block);
  detail::for_ranges(x.rows(), executor, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      const float* from = x.row(r);
      float* to = y.row(r);
      detail::for_runs(blocks, r, x.cols(), [&](std::size_t c, std::size_t n, std::size_t block) {
        const float scale = q.scales[block];
        const std::int32_t zero_point = q.zero_point(block);
        for (std::size_t i = c; i < c + n; ++i) {
          const auto code = quantize_code(from[i], scale, zero_point, range.min, range.max);
          to[i] = scale * static_cast<float>(code - zero_point);
        }
      });
    }
  });
}

}  // namespace qtk::inline QTK_ABI
