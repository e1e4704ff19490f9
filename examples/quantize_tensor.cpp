// What each format and granularity costs one weight matrix: signal to quantization noise in dB, and
// bytes. Output channels differ in magnitude, as they do in trained layers: that is what a scale
// per channel or group is for.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <qtk/quantize.hpp>
#include <random>

namespace {

qtk::tensor<qtk::fp32> weights(std::size_t N, std::size_t K) {
  std::mt19937 generator(42);
  std::normal_distribution<float> normal;
  qtk::tensor<qtk::fp32> w({N, K});
  for (std::size_t n = 0; n < N; ++n) {
    const float sigma = 0.02f * std::exp(normal(generator));
    for (std::size_t k = 0; k < K; ++k) w.view().set(n, k, sigma * normal(generator));
  }
  return w;
}

template <class Tensor>
void print(const char* format, const char* granularity, const qtk::tensor<qtk::fp32>& w,
           const Tensor& q) {
  const qtk::error_metrics e = qtk::compare(w, qtk::dequantize(q));
  std::printf("%-8s %-16s %8.1f %10.5f %9zu %7.3fx\n", format, granularity, e.sqnr_db, e.max_abs,
              q.size_bytes(),
              static_cast<double>(q.size_bytes()) / static_cast<double>(w.size_bytes()));
}

template <qtk::quantized_format F>
void print_all(const char* format, const qtk::tensor<qtk::fp32>& w) {
  print(format, "per_tensor", w, qtk::quantize<F>(w, qtk::per_tensor()));
  print(format, "per_channel(0)", w, qtk::quantize<F>(w, qtk::per_channel(0)));
  print(format, "per_group(128)", w, qtk::quantize<F>(w, qtk::per_group(128)));
  print(format, "per_group(32)", w, qtk::quantize<F>(w, qtk::per_group(32)));
}

}  // namespace

int main() {
  const auto w = weights(256, 512);
  std::printf("%-8s %-16s %8s %10s %9s %8s\n", "format", "granularity", "SQNR dB", "max error",
              "bytes", "vs fp32");
  print("fp16", "-", w, qtk::quantize<qtk::fp16>(w));
  print("bf16", "-", w, qtk::quantize<qtk::bf16>(w));
  print_all<qtk::int8>("int8", w);
  print_all<qtk::uint8>("uint8", w);
  print_all<qtk::int4>("int4", w);
  print_all<qtk::uint4>("uint4", w);
}
