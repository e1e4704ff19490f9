// What a layer's output loses (||(W - Wq) X||^2 / ||W X||^2) with 4, 3 and 2 bits a weight, by how
// scales are chosen and how weights are rounded to them. Inputs as in a network: channels depend on
// each other, and a few are large.
#include <cstdio>
#include <qtk/gptq.hpp>
#include <random>
#include <vector>

namespace {

using format = qtk::uint4;

qtk::tensor<qtk::fp32> normal(const qtk::shape& s, std::mt19937& generator) {
  std::normal_distribution<float> distribution;
  qtk::tensor<qtk::fp32> t(s);
  for (float& x : t.span()) x = distribution(generator);
  return t;
}

/// Each channel is half of the one before, half noise; every 32nd is ten times as large.
qtk::tensor<qtk::fp32> inputs(std::size_t M, std::size_t K, std::mt19937& generator) {
  auto x = normal({M, K}, generator);
  for (std::size_t i = 0; i < x.elements(); ++i)
    if (i % K != 0) x.data()[i] = 0.5f * x.data()[i] + 0.5f * x.data()[i - 1];
  for (std::size_t i = 0; i < x.elements(); i += 32) x.data()[i] *= 10.0f;
  return x;
}

}  // namespace

int main() {
  constexpr std::size_t N = 128, K = 256;
  std::mt19937 generator(42);
  const auto w = normal({N, K}, generator);
  qtk::hessian h(K);
  for (int batch = 0; batch < 4; ++batch) h.add(inputs(256, K, generator));
  const std::vector<float> importance = h.second_moments();
  const qtk::output_error error(w, h);
  const auto g = qtk::per_group(64);

  std::printf("%-5s %8s %8s %8s %8s %8s %12s\n", "bits", "nearest", "clipped", "HQQ", "AWQ", "GPTQ",
              "clipped GPTQ");
  for (const int bits : {4, 3, 2}) {
    const qtk::code_range codes = qtk::codes_of_bits<format>(bits);
    const auto nearest = [&](const qtk::quantization& q) {
      return 100.0 * error(qtk::quantize<format>(w, q, {}, codes));
    };
    const auto clipped =
        qtk::clip_quantization<format>(w, g, {.codes = codes, .importance = importance}).scales;
    const auto hqq = qtk::hqq_quantization<format>(w, g, {.codes = codes}).scales;
    const auto awq = qtk::awq<format>(w, h, g, {.codes = codes});
    const auto gptq = qtk::gptq<format>(w, h, g, {.codes = codes, .act_order = true});
    const auto both = qtk::gptq<format>(w, h, clipped, {.codes = codes, .act_order = true});
    std::printf("%-5d %6.2f %% %6.2f %% %6.2f %% %6.2f %% %6.2f %% %10.2f %%\n", bits,
                100.0 * gptq.error_before, nearest(clipped), nearest(hqq), 100.0 * awq.error_after,
                100.0 * gptq.error_after, 100.0 * both.error_after);
  }
  std::printf("\nOf %zu weights, 3 bits are %zu bytes without gaps; int4 storage takes %zu.\n",
              N * K, qtk::packed_bytes(w.shape(), 3), qtk::packed_bytes(w.shape(), 4));
}
