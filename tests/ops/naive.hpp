#pragma once

#include <cmath>
#include <qtk/ops/conv.hpp>

/// What the operators mean, written as the formulas are: in double, one output at a time.
namespace qtk_test {

inline double activate(const qtk::epilogue& e, double x) {
  return static_cast<double>(qtk::activate(e, static_cast<float>(x)));
}

/// y (M, N) = f(x (M, K) * w (N, K)^T + bias + residual)
inline qtk::tensor<qtk::fp32> naive_linear(const qtk::tensor<qtk::fp32>& x,
                                           const qtk::tensor<qtk::fp32>& w,
                                           const qtk::epilogue& e = {}) {
  const std::size_t M = x.rows(), N = w.rows(), K = w.cols();
  qtk::tensor<qtk::fp32> y({M, N});
  for (std::size_t m = 0; m < M; ++m)
    for (std::size_t n = 0; n < N; ++n) {
      double sum = e.bias != nullptr ? static_cast<double>(e.bias[n]) : 0.0;
      for (std::size_t k = 0; k < K; ++k)
        sum += static_cast<double>(x.at(m, k)) * static_cast<double>(w.at(n, k));
      if (e.residual != nullptr) sum += static_cast<double>(e.residual[m * N + n]);
      y.data()[m * N + n] = static_cast<float>(activate(e, sum));
    }
  return y;
}

/// x (batch, C, H, W), w (O, C / groups, kh, kw), y and residual (batch, O, OH, OW)
inline qtk::tensor<qtk::fp32> naive_conv(const qtk::tensor<qtk::fp32>& x,
                                         const qtk::tensor<qtk::fp32>& w, const qtk::window_2d& win,
                                         std::size_t groups = 1, const qtk::epilogue& e = {}) {
  const auto& xs = x.shape();
  const auto& ws = w.shape();
  const std::size_t OH = win.out_height(xs[2]), OW = win.out_width(xs[3]);
  qtk::tensor<qtk::fp32> y({xs[0], ws[0], OH, OW});
  const std::size_t per_group = ws[0] / groups;
  for (std::size_t b = 0; b < xs[0]; ++b)
    for (std::size_t o = 0; o < ws[0]; ++o)
      for (std::size_t i = 0; i < OH; ++i)
        for (std::size_t j = 0; j < OW; ++j) {
          double sum = e.bias != nullptr ? static_cast<double>(e.bias[o]) : 0.0;
          for (std::size_t c = 0; c < ws[1]; ++c)
            for (std::size_t a = 0; a < ws[2]; ++a)
              for (std::size_t t = 0; t < ws[3]; ++t) {
                const auto iy = static_cast<std::ptrdiff_t>(i * win.stride_h + a * win.dilation_h) -
                                static_cast<std::ptrdiff_t>(win.pad_top);
                const auto ix = static_cast<std::ptrdiff_t>(j * win.stride_w + t * win.dilation_w) -
                                static_cast<std::ptrdiff_t>(win.pad_left);
                if (iy < 0 || ix < 0 || iy >= static_cast<std::ptrdiff_t>(xs[2]) ||
                    ix >= static_cast<std::ptrdiff_t>(xs[3]))
                  continue;
                const std::size_t channel = o / per_group * ws[1] + c;
                const std::size_t at =
                    ((b * xs[1] + channel) * xs[2] + static_cast<std::size_t>(iy)) * xs[3] +
                    static_cast<std::size_t>(ix);
                sum += static_cast<double>(x.data()[at]) *
                       static_cast<double>(w.data()[((o * ws[1] + c) * ws[2] + a) * ws[3] + t]);
              }
          const std::size_t at = ((b * ws[0] + o) * OH + i) * OW + j;
          if (e.residual != nullptr) sum += static_cast<double>(e.residual[at]);
          y.data()[at] = static_cast<float>(activate(e, sum));
        }
  return y;
}

/// Largest |a - b|.
inline double distance(const qtk::tensor<qtk::fp32>& a, const qtk::tensor<qtk::fp32>& b) {
  double worst = a.shape() == b.shape() ? 0.0 : INFINITY;
  for (std::size_t i = 0; i < a.elements() && i < b.elements(); ++i)
    worst = std::fmax(
        worst, std::fabs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i])));
  return worst;
}

}  // namespace qtk_test
