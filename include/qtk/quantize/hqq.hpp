#pragma once

#include <cmath>
#include <limits>

#include "qtk/quantize/scale_search.hpp"

namespace qtk::inline QTK_ABI {

template <quantized_format F>
struct hqq_options {
  symmetry how = symmetry::asymmetric;  // symmetric: only the scale moves
  code_range codes = codes_of<F>;
  double p = 0.7;       // the norm, 0 < p <= 1
  double beta = 1.0;    // weight of the quadratic term at first ...
  double kappa = 1.01;  // ... and what it is multiplied by after each iteration
  int iterations = 20;
};

/// HQQ: scales and zero points that minimize sum |w - Q(w)|^p, p < 1, for which a few outliers
/// weigh less than under squares. No data is needed. Half-quadratic splitting (Badri and Shaji
/// 2023, "Half-Quadratic Quantization of Large Machine Learning Models", equations 3 to 6)
/// alternates
///   E <- shrink(w - Q(w)),  shrink(x) = sign(x) max(0, |x| - |x|^(p-1) / beta)
///   zero_point <- mean(code - (w - E) / scale)
///   scale <- least squares of (w - E) on (code - zero_point)
/// and keeps the step with the least sum of |w - Q(w)|^p, min-max's among them; that is the error
/// that is reported, w in units of its block's root mean square, in which beta is given too (the
/// same result, scaled, for c * w).
///
/// The paper keeps the scale and lets the zero point be a fraction. Here zero points are codes, and
/// alone they do not move (not one block of Student-t weights in groups of 64), so the scale does.
/// Where squares count and not |.|^p, clip_quantization() finds slightly better scales.
///
/// The same bytes for every executor; pow() of the C library decides the last bits. w (N, K),
/// blocks within rows; errors as in clip_quantization().
template <quantized_format F>
[[nodiscard]] scale_search hqq_quantization(tensor_view<const fp32> w, const granularity& g,
                                            const hqq_options<F>& o = {},
                                            executor_ref executor = {}) {
  constexpr std::string_view where = "hqq_quantization";
  QTK_CHECK(o.p > 0.0 && o.p <= 1.0 && o.beta > 0.0 && o.kappa > 0.0, where, "p ", o.p, ", beta ",
            o.beta, ", kappa ", o.kappa);
  return detail::search_scales<F>(
      w, g, o.codes, o.how, where, executor,
      [&](std::size_t, std::span<const float> values, block_scale b) {
        double squares = 0.0;
        for (const float x : values) squares += static_cast<double>(x) * x;
        const auto unit =
            static_cast<float>(std::sqrt(squares / static_cast<double>(values.size())));
        detail::block_choice best{b};
        double beta = o.beta;
        for (int i = 0; i <= o.iterations && unit > 0.0f; ++i, beta *= o.kappa) {
          double error = 0.0, sum_t = 0.0, sum_c = 0.0, sum_tc = 0.0, sum_cc = 0.0;
          for (const float x : values) {
            const double c = quantize_code(x, b.scale, b.zero_point, o.codes.min, o.codes.max);
            const double e = x - b.scale * (c - b.zero_point);
            const double size = std::fabs(e) / unit;
            const double power = size > 0.0 ? std::pow(size, o.p) : 0.0;
            error += power;
            // E of this weight; size^(p-1) = power / size.
            const double kept = size * size > power / beta ? size - power / size / beta : 0.0;
            const double t = x - std::copysign(kept * unit, e);
            sum_t += t;
            sum_c += c;
            sum_tc += t * c;
            sum_cc += c * c;
          }
          if (i == 0) best.before = best.after = error;
          if (error < best.after) best = {b, best.before, error};
          block_scale next = b;
          const auto n = static_cast<double>(values.size());
          if (o.how == symmetry::asymmetric) {
            const double z = std::nearbyint((sum_c - sum_t / b.scale) / n);
            next.zero_point =
                static_cast<std::int32_t>(std::fmin(std::fmax(z, o.codes.min), o.codes.max));
          }
          const double z = next.zero_point;
          const double scale = (sum_tc - z * sum_t) / (sum_cc - 2.0 * z * sum_c + n * z * z);
          // False for NaN: all codes are the zero point.
          if (scale >= std::numeric_limits<float>::min()) next.scale = static_cast<float>(scale);
          if (next == b) break;
          b = next;
        }
        return best;
      });
}

}  // namespace qtk::inline QTK_ABI
