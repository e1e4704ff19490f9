// Three ways to drop half of a layer's weights, and how much of their energy stays: single weights
// (any shape of zeros), 2:4 (what sparse hardware takes), whole neurons (any hardware).
#include <cstdio>
#include <qtk/prune.hpp>
#include <qtk/quantize.hpp>
#include <random>

namespace {

qtk::tensor<qtk::fp32> weights(std::size_t N, std::size_t K) {
  std::mt19937 generator(42);
  std::normal_distribution<float> normal;
  qtk::tensor<qtk::fp32> w({N, K});
  for (float& x : w.span()) x = 0.05f * normal(generator);
  return w;
}

void print(const char* name, const qtk::tensor<qtk::fp32>& w, const qtk::mask& m) {
  qtk::tensor<qtk::fp32> pruned = w;
  qtk::apply(pruned, m);
  const auto structure = qtk::check_nm(pruned, 2, 4);
  std::printf("%-18s %7.1f%% %8.1f %14.1f%%\n", name, 100.0 * qtk::count_zeros(pruned).sparsity(),
              qtk::compare(w, pruned).sqnr_db,
              100.0 - 100.0 * static_cast<double>(structure.violations) /
                          static_cast<double>(structure.groups));
}

/// The mask of all weights of the rows that are not kept.
qtk::mask rows_mask(const qtk::tensor<qtk::fp32>& w, const std::vector<std::size_t>& kept) {
  qtk::mask m{w.shape(), std::vector<std::uint8_t>(w.elements(), 0)};
  for (const std::size_t r : kept)
    for (std::size_t c = 0; c < w.cols(); ++c) m.keep[r * w.cols() + c] = 1;
  return m;
}

}  // namespace

int main() {
  const auto w = weights(256, 512);
  std::printf("%-18s %8s %8s %15s\n", "half removed by", "zeros", "SQNR dB", "groups in 2:4");
  print("magnitude", w, qtk::magnitude_mask(w, 0.5));
  print("2:4", w, qtk::nm_mask(w, 2, 4));
  const auto kept = qtk::channels_to_keep(w, 0.5, 0, qtk::slice_norm::l2);
  print("neurons", w, rows_mask(w, kept));
  const auto smaller = qtk::take(w, 0, kept);
  std::printf("\n(%zu, %zu) without those neurons is (%zu, %zu): %zu instead of %zu bytes.\n",
              w.rows(), w.cols(), smaller.rows(), smaller.cols(), smaller.size_bytes(),
              w.size_bytes());
  std::printf("Magnitudes of w in 8 bins:");
  for (const std::size_t n : qtk::histogram(w, 8).counts) std::printf(" %zu", n);
  std::printf("\n");
}
