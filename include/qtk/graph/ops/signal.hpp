#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <complex>
#include <memory>
#include <utility>
#include <vector>

#include "qtk/graph/convert.hpp"
#include "qtk/graph/onnx_types.hpp"
#include "qtk/graph/ops/common.hpp"

/// Binders of operators on signals: Fourier transforms, windows, mel filters. All in double.
namespace qtk::inline QTK_ABI::graph_ops {

/// The discrete Fourier transform of any length n, X[k] = sum of x[i] exp(-2 pi i k / n), in O(n
/// log n): powers of two by halving (Cooley, Tukey, 1965), others as a convolution of a power of
/// two (Bluestein, 1970).
class fourier {
 public:
  using complex = std::complex<double>;

  explicit fourier(std::size_t n) : n_(n), m_(n) {
    if (is_power(n)) {
      turn(n);
      return;
    }
    m_ = padded(n);
    turn(m_);
    chirp_.resize(n);
    for (std::size_t i = 0; i < n; ++i)  // i^2 modulo 2 n keeps the angle small
      chirp_[i] =
          std::polar(1.0, -pi * static_cast<double>(i * i % (2 * n)) / static_cast<double>(n));
    response_.assign(m_, 0.0);
    for (std::size_t i = 0; i < n; ++i)
      response_[i] = response_[(m_ - i) % m_] = std::conj(chirp_[i]);
    halve(response_.data());
  }

  /// Bytes of a transform's tables.
  [[nodiscard]] static std::size_t bytes(std::size_t n) {
    return (is_power(n) ? n / 2 : n + padded(n) / 2 + padded(n)) * sizeof(complex);
  }
  /// Elements behind those of x that a transform computes in.
  [[nodiscard]] static std::size_t scratch(std::size_t n) { return is_power(n) ? 0 : padded(n); }

  /// In place: x holds n elements and the scratch behind them. The inverse divides by n.
  void operator()(complex* x, bool inverse) const {
    const auto conjugate = [&] { std::for_each(x, x + n_, [](complex& v) { v = std::conj(v); }); };
    if (inverse) conjugate();
    if (chirp_.empty()) {
      halve(x);
    } else {
      complex* const a = x + n_;
      std::fill_n(a, m_, 0.0);
      for (std::size_t i = 0; i < n_; ++i) a[i] = x[i] * chirp_[i];
      halve(a);
      for (std::size_t i = 0; i < m_; ++i) a[i] = std::conj(a[i] * response_[i]);
      halve(a);
      for (std::size_t i = 0; i < n_; ++i)
        x[i] = std::conj(a[i]) / static_cast<double>(m_) * chirp_[i];
    }
    if (inverse)
      for (std::size_t i = 0; i < n_; ++i) x[i] = std::conj(x[i]) / static_cast<double>(n_);
  }

 private:
  static constexpr double pi = 3.14159265358979323846;
  [[nodiscard]] static bool is_power(std::size_t n) noexcept { return (n & (n - 1)) == 0; }
  /// The power of two that holds the convolution of a transform of n.
  [[nodiscard]] static std::size_t padded(std::size_t n) noexcept {
    return std::bit_ceil(2 * n - 1);
  }
  void turn(std::size_t n) {
    turns_.reserve(n / 2);
    for (std::size_t i = 0; i < n / 2; ++i)
      turns_.push_back(std::polar(1.0, -2 * pi * static_cast<double>(i) / static_cast<double>(n)));
  }
  /// The transform of m_ elements, a power of two.
  void halve(complex* x) const {
    for (std::size_t i = 1, j = 0; i < m_; ++i) {  // bits of the index reversed
      std::size_t bit = m_ / 2;
      for (; (j & bit) != 0; bit /= 2) j ^= bit;
      j ^= bit;
      if (i < j) std::swap(x[i], x[j]);
    }
    for (std::size_t length = 2; length <= m_; length *= 2)
      for (std::size_t from = 0; from < m_; from += length)
        for (std::size_t k = 0; k < length / 2; ++k) {
          const complex odd = x[from + k + length / 2] * turns_[k * (m_ / length)];
          x[from + k + length / 2] = x[from + k] - odd;
          x[from + k] += odd;
        }
  }

  std::size_t n_, m_;  // the length, and that of the transforms made
  std::vector<complex> turns_, chirp_, response_;
};

/// What one row takes: known before the tables are, which are about as large.
[[nodiscard]] inline std::size_t fourier_workspace(const op_context& ctx, std::size_t length) {
  QTK_CHECK(length <= (1 << 24), ctx.node().label(), "a transform of ", length);
  return checked_mul(checked_add(length, fourier::scratch(length)), sizeof(fourier::complex));
}

/// The transform of that length for a node.
[[nodiscard]] inline std::shared_ptr<const fourier> hold_fourier(const op_context& ctx,
                                                                 bound_node& b,
                                                                 std::size_t length) {
  const std::size_t bytes = fourier::bytes(length);
  ctx.expect_memory(bytes);
  return hold(b, fourier(length), bytes);
}

/// A length: more than 0 and not above what a transform's tables are good for.
[[nodiscard]] inline std::size_t length_input(const op_context& ctx, std::size_t i) {
  const std::int64_t n = ctx.one_integer(i);
  QTK_CHECK(n > 0 && n <= (1 << 24), ctx.node().label(), "input ", i, " is ", n);
  return static_cast<std::size_t>(n);
}

/// Calls f(T{}) for the float type of input 0.
template <class Function>
void for_reals(const op_context& ctx, Function&& f) {
  if (ctx.in(0).type == dtype::fp64) return f(double{});
  ctx.expect(0, dtype::fp32);
  f(float{});
}

/// DFT: real (.., 1) or complex (.., 2) signals along an axis; `onesided` leaves out the half that
/// mirrors the other, and the inverse makes real signals of such a half.
inline bound_node bind_dft(const op_context& ctx) {
  const node& n = ctx.node();
  const shape x = ctx.dims(0);
  const bool inverse = n.integer("inverse", 0) != 0, onesided = n.integer("onesided", 0) != 0;
  const bool modern = ctx.opset() >= 20;
  const std::size_t axis = x.axis(!modern      ? n.integer("axis", 1)
                                  : ctx.has(2) ? ctx.one_integer(2)
                                               : -2);
  const std::size_t parts = x.rank() < 2 ? 0 : x.back();
  QTK_CHECK((parts == 1 || parts == 2) && axis + 1 < x.rank() && x[axis] > 0, n.label(), "input ",
            x, " along axis ", axis);
  const std::size_t given = x[axis];
  const std::size_t length = ctx.has(1)            ? length_input(ctx, 1)
                             : inverse && onesided ? std::max<std::size_t>(1, 2 * (given - 1))
                                                   : given;
  const bool real = inverse && onesided;
  shape y = x;
  y[axis] = onesided && !inverse ? length / 2 + 1 : length;
  y[x.rank() - 1] = real ? 1 : 2;
  bound_node b{.outputs = {{ctx.in(0).type, y}}, .run = {}};
  count_work(b, ctx, 5 * std::log2(static_cast<double>(length) + 1));
  b.workspace_bytes = fourier_workspace(ctx, length);
  if (ctx.types_only()) return b;
  for_reals(ctx, [&]<class T>(T) {
    b.run = [=, transform = hold_fourier(ctx, b, length), outer = x.product(0, axis),
             inner = x.product(axis + 1, x.rank() - 1), kept = y[axis]](const node_buffers& io) {
      auto* const row = reinterpret_cast<fourier::complex*>(io.workspace);
      const std::size_t used = std::min(given, real ? length / 2 + 1 : length);
      for (std::size_t o = 0; o < outer; ++o)
        for (std::size_t i = 0; i < inner; ++i) {
          std::fill_n(row, length, 0.0);
          for (std::size_t k = 0; k < used; ++k) {
            const T* from = io.in<T>(0) + ((o * given + k) * inner + i) * parts;
            row[k] = {static_cast<double>(from[0]),
                      parts == 2 ? static_cast<double>(from[1]) : 0.0};
          }
          for (std::size_t k = 1; real && k < (length + 1) / 2; ++k)
            row[length - k] = std::conj(row[k]);
          (*transform)(row, inverse);
          for (std::size_t k = 0; k < kept; ++k) {
            T* const to = io.out<T>() + ((o * kept + k) * inner + i) * (real ? 1 : 2);
            to[0] = static_cast<T>(row[k].real());
            if (!real) to[1] = static_cast<T>(row[k].imag());
          }
        }
    };
  });
  return b;
}

/// STFT (signal (B, L, 1 or 2), frame_step, window, frame_length): the transforms of frames, each
/// times the window.
inline bound_node bind_stft(const op_context& ctx) {
  const node& n = ctx.node();
  const shape x = ctx.dims(0);
  QTK_CHECK(x.rank() == 2 || (x.rank() == 3 && (x[2] == 1 || x[2] == 2)), n.label(), "signal ", x);
  const std::size_t parts = x.rank() == 2 ? 1 : x[2], signal = x[1];
  const std::size_t step = length_input(ctx, 1);
  const bool onesided = n.integer("onesided", 1) != 0, windowed = ctx.has(2);
  QTK_CHECK(windowed || ctx.has(3), n.label(), "has neither window nor frame_length");
  const std::size_t length = ctx.has(3) ? length_input(ctx, 3) : ctx.dims(2).elements();
  QTK_CHECK(!windowed || (ctx.dims(2).elements() == length && ctx.in(2).type == ctx.in(0).type),
            n.label(), "window ", windowed ? ctx.dims(2) : shape{}, " for frames of ", length);
  QTK_CHECK(length > 0 && length <= signal && !(onesided && parts == 2), n.label(), "frames of ",
            length, " of ", x);
  const std::size_t frames = 1 + (signal - length) / step,
                    bins = onesided ? length / 2 + 1 : length;
  bound_node b{.outputs = {{ctx.in(0).type, {x[0], frames, bins, 2}}}, .run = {}};
  count_work(b, ctx, 5 * std::log2(static_cast<double>(length) + 1));
  b.workspace_bytes = fourier_workspace(ctx, length);
  if (ctx.types_only()) return b;
  for_reals(ctx, [&]<class T>(T) {
    b.run = [=, transform = hold_fourier(ctx, b, length), batch = x[0]](const node_buffers& io) {
      auto* const row = reinterpret_cast<fourier::complex*>(io.workspace);
      T* to = io.out<T>();
      for (std::size_t i = 0; i < batch; ++i)
        for (std::size_t f = 0; f < frames; ++f) {
          const T* from = io.in<T>(0) + (i * signal + f * step) * parts;
          for (std::size_t k = 0; k < length; ++k) {
            const double w = windowed ? static_cast<double>(io.in<T>(2)[k]) : 1.0;
            row[k] = {w * static_cast<double>(from[k * parts]),
                      parts == 2 ? w * static_cast<double>(from[k * parts + 1]) : 0.0};
          }
          (*transform)(row, false);
          for (std::size_t k = 0; k < bins; ++k) {
            *to++ = static_cast<T>(row[k].real());
            *to++ = static_cast<T>(row[k].imag());
          }
        }
    };
  });
  return b;
}

/// A tensor of shape y and the type that `output_datatype` names; fill(double*) makes its elements.
template <class Fill>
[[nodiscard]] bound_node made_in_double(const op_context& ctx, const shape& y, Fill fill) {
  const std::int64_t type = ctx.node().integer("output_datatype", 1);
  const auto to = from_onnx_type(type);
  QTK_CHECK(to, ctx.node().label(), "data type ", type, " is not supported");
  return {.outputs = {{*to, y}},
          .run =
              [fill, y, to = *to](const node_buffers& io) {
                fill(reinterpret_cast<double*>(io.workspace));
                convert_elements(dtype::fp64, io.workspace, to, io.outputs[0], y);
              },
          .workspace_bytes = checked_mul(y.elements(), sizeof(double))};
}

/// Windows a - b cos(2 pi i / N) + c cos(4 pi i / N), N the size, or one less where not `periodic`:
/// Hann 1/2, 1/2; Hamming 25/46, 21/46; Blackman 0.42, 0.5, 0.08.
inline bound_node bind_window(const op_context& ctx) {
  const node& n = ctx.node();
  const std::int64_t size = ctx.one_integer(0);
  QTK_CHECK(size >= 0, n.label(), "a window of ", size);
  const auto count = static_cast<std::size_t>(size);
  const double N = static_cast<double>(
      std::max<std::int64_t>(1, n.integer("periodic", 1) != 0 ? size : size - 1));
  const bool hamming = n.op == "HammingWindow", blackman = n.op == "BlackmanWindow";
  const double a = blackman ? 0.42 : hamming ? 25.0 / 46 : 0.5;
  const double b = hamming ? 21.0 / 46 : 0.5, c = blackman ? 0.08 : 0.0;
  return made_in_double(ctx, {count}, [=](double* y) {
    for (std::size_t i = 0; i < count; ++i) {
      const double angle = 2 * 3.14159265358979323846 * static_cast<double>(i) / N;
      y[i] = a - b * std::cos(angle) + c * std::cos(2 * angle);
    }
  });
}

/// MelWeightMatrix (bins, dft_length, sample_rate, lower, upper edge in Hz): triangles whose
/// corners are equally far apart on the mel scale, 2595 log10(1 + f / 700).
inline bound_node bind_mel_weights(const op_context& ctx) {
  const node& n = ctx.node();
  const std::size_t mels = length_input(ctx, 0), rate = length_input(ctx, 2);
  const auto length = static_cast<double>(length_input(ctx, 1));
  const std::size_t bins = length_input(ctx, 1) / 2 + 1;
  const auto mel_of = [&](std::size_t i) {
    const any_tensor hertz = converted(ctx.value(i), dtype::fp64);
    QTK_CHECK(hertz.shape().elements() == 1, n.label(), "input ", i, " is ", hertz.shape());
    return 2595 * std::log10(1 + hertz.as<fp64>().data()[0] / 700);
  };
  const double low = mel_of(3), step = (mel_of(4) - low) / static_cast<double>(mels + 2);
  const auto corner = [=](std::size_t i) {
    const double hertz = 700 * (std::pow(10, (low + step * static_cast<double>(i)) / 2595) - 1);
    return std::floor((length + 1) * hertz / static_cast<double>(rate));
  };
  QTK_CHECK(step >= 0 && corner(0) >= 0 && corner(mels + 1) <= static_cast<double>(bins), n.label(),
            "edges outside of the spectrum");
  return made_in_double(ctx, {bins, mels}, [=](double* y) {
    std::fill_n(y, bins * mels, 0.0);
    for (std::size_t i = 0; i < mels; ++i) {
      const auto left = static_cast<std::size_t>(corner(i)),
                 center = static_cast<std::size_t>(corner(i + 1)),
                 right = static_cast<std::size_t>(corner(i + 2));
      for (std::size_t j = left; j < std::min(center, bins); ++j)
        y[j * mels + i] = static_cast<double>(j - left) / static_cast<double>(center - left);
      if (center < bins) y[center * mels + i] = 1;
      for (std::size_t j = center + 1; j < std::min(right, bins); ++j)
        y[j * mels + i] = static_cast<double>(right - j) / static_cast<double>(right - center);
    }
  });
}

}  // namespace qtk::inline QTK_ABI::graph_ops
