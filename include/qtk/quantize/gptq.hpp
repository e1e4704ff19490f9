#pragma once

#include <algorithm>
#include <vector>

#include "qtk/quantize/hessian_factor.hpp"
#include "qtk/quantize/output_error.hpp"

namespace qtk::inline QTK_ABI {

/// The codes of w (N, K) under given scales, rounded so that the errors of the channels before are
/// made up for as far as possible: hessian_factor says how. Scales are chosen beforehand (static
/// groups), so that act_order leaves groups as they are in the file.
///
/// Rows are independent; 128 channels at a time take over what came before as one fp32 product
/// (lazy batches, Frantar et al. 2022, section 3.3), within them errors are summed in double. The
/// same bytes for every executor, and on all CPUs with fused multiply-adds (AVX2 and later,
/// AArch64); elsewhere the last bits of an fp32 sum may decide a code that is nearly a tie.
/// qtk::error for NaN and infinities, with their place, and for shapes that do not agree.
template <quantized_format F>
[[nodiscard]] tensor<F> gptq(tensor_view<const fp32> w, const hessian_factor& h, quantization q,
                             code_range range = codes_of<F>, executor_ref executor = {}) {
  detail::check_channels(h.channels(), w.shape(), "gptq");
  detail::check_codes<F>(range, "gptq");
  detail::check_blocks(w.shape(), &q, "gptq");
  check_finite(w, "gptq");
  constexpr std::size_t block = hessian_factor::block, strip = 64, lanes = 16;
  const std::size_t N = w.shape()[0], K = w.shape()[1];
  const block_grid blocks(w.shape(), q.block);
  tensor<F> codes(w.shape());
  const tensor_view<F> to = codes;

  executor(ceil_div(N, strip), [&](std::size_t task) {
    const std::size_t first = task * strip, rows = std::min(strip, N - first);
    tensor<fp32> errors({rows, K}), sums({rows, block});  // errors by position
    for (std::size_t b = ceil_div(K, block); b-- > 0;) {
      const std::size_t begin = b * block, end = std::min(K, begin + block);
      if (end < K) h.from_later(b, rows, errors.data() + end, K, sums.data());
      for (std::size_t r = 0; r < rows; r += lanes) {
        const std::size_t count = std::min(lanes, rows - r);
        double recent[block][lanes] =
            {};  // errors of this block: floats, so that products are exact
        for (std::size_t i = end; i-- > begin;) {
          const std::size_t k = h.channel(i);
          const float* v = h.within(b) + (i - begin) * block;
          double sum[lanes] = {};
          for (std::size_t j = i - begin + 1; j < end - begin; ++j)
            for (std::size_t lane = 0; lane < lanes; ++lane)
              sum[lane] += recent[j][lane] * static_cast<double>(v[j]);
          for (std::size_t lane = 0; lane < count; ++lane) {
            const std::size_t n = first + r + lane;
            const std::size_t scale = blocks.first_block(n) + k / blocks.run_length();
            const block_scale s{q.scales[scale], q.zero_point(scale)};
            const float x = h.dead(k) ? 0.0f : w.row(n)[k];
            const auto target =
                static_cast<float>(x + (sums.data()[(r + lane) * block + i - begin] + sum[lane]));
            const auto code = quantize_code(target, s.scale, s.zero_point, range.min, range.max);
            to.set(n, k, static_cast<typename F::value_type>(code));
            const auto error =
                static_cast<float>(x - static_cast<double>(s.scale) * (code - s.zero_point));
            recent[i - begin][lane] = static_cast<double>(error);
            errors.data()[(r + lane) * K + i] = error;
          }
        }
      }
    }
  });
  codes.set_quantization(std::move(q));
  return codes;
}

template <quantized_format F>
struct gptq_options {
  symmetry how = default_symmetry<F>;
  code_range codes = codes_of<F>;
  double damping = 0.01;   // hessian_factor
  bool act_order = false;  // hessian_factor
  bool measure = true;     // error_before and error_after; they take longer than GPTQ itself
};

template <quantized_format F>
struct gptq_result {
  tensor<F> weights;
  double damping = 0.0;           // what H needed, relative to the mean of its diagonal
  std::size_t dead_channels = 0;  // set to 0
  double error_before = 0.0;      // output_error of nearest rounding with the same scales
  double error_after = 0.0;       // and of these weights
};

/// GPTQ with scales of anyone's choice: clip_quantization(), hqq_quantization().
///   auto r = qtk::gptq<qtk::int4>(w, h, qtk::clip_quantization<qtk::int4>(w, g).scales);
template <quantized_format F>
[[nodiscard]] gptq_result<F> gptq(tensor_view<const fp32> w, const hessian& h, quantization q,
                                  const gptq_options<F>& o = {}, executor_ref executor = {}) {
  detail::check_channels(h.channels(), w.shape(), "gptq");
  const hessian_factor factor(h, o.damping, o.act_order, executor);
  gptq_result<F> result{.weights = gptq<F>(w, factor, std::move(q), o.codes, executor),
                        .damping = factor.damping(),
                        .dead_channels = factor.dead_channels()};
  if (o.measure) {
    const output_error error(w, h, executor);
    result.error_before = error(quantize<F>(w, result.weights.quantization(), executor, o.codes));
    result.error_after = error(result.weights);
  }
  return result;
}

/// GPTQ: w (N, K) rounded to the least error of the layer's output, on inputs that `h` has seen
/// (Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
/// Transformers"). Scales are min-max, of w with its dead channels 0.
///   qtk::hessian h(K);
///   h.add(x);                                                  // (M, K), as often as there is
///   data auto r = qtk::gptq<qtk::int4>(w, h, qtk::per_group(128), {.act_order = true});
///   qtk::linear layer(r.weights);
template <quantized_format F>
[[nodiscard]] gptq_result<F> gptq(tensor_view<const fp32> w, const hessian& h, const granularity& g,
                                  const gptq_options<F>& o = {}, executor_ref executor = {}) {
  detail::check_channels(h.channels(), w.shape(), "gptq");
  check_finite(w, "gptq");
  tensor<fp32> live(w.shape());
  for (std::size_t n = 0; n < w.rows(); ++n)
    for (std::size_t k = 0; k < w.cols(); ++k)
      live.view().set(n, k, h(k, k) == 0.0 ? 0.0f : w.row(n)[k]);
  return gptq<F>(w, h, choose_quantization<F>(live, g, o.how, executor, min_max{}, o.codes), o,
                 executor);
}

}  // namespace qtk::inline QTK_ABI
