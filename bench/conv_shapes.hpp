#pragma once

#include <functional>
#include <qtk/ops/conv.hpp>
#include <random>
#include <string>
#include <vector>

/// The convolutions that are timed, and who times them.
namespace bench {

using namespace qtk;

struct conv_shape {
  const char* name;
  std::size_t C, O, size, kernel, stride, pad, groups = 1;  // size: of the image, a square

  [[nodiscard]] constexpr std::size_t out_size() const {
    return (size + 2 * pad - kernel) / stride + 1;
  }
  [[nodiscard]] constexpr std::size_t taps() const { return C / groups * kernel * kernel; }
  /// Multiplications and additions for one image.
  [[nodiscard]] double operations() const {
    return 2.0 * static_cast<double>(O * out_size() * out_size() * taps());
  }
};

/// Layers of ResNet-20 (CIFAR), ResNet-50, MobileNetV2, and as of UltraFace (240 x 320).
inline constexpr conv_shape conv_shapes[] = {
    {"r20-first-3x3-3-16-32", 3, 16, 32, 3, 1, 1},
    {"r20-3x3-16-16-32", 16, 16, 32, 3, 1, 1},
    {"r20-3x3s2-16-32-32", 16, 32, 32, 3, 2, 1},
    {"r20-3x3-32-32-16", 32, 32, 16, 3, 1, 1},
    {"r20-3x3-64-64-8", 64, 64, 8, 3, 1, 1},
    {"r50-first-7x7s2-3-64-224", 3, 64, 224, 7, 2, 3},
    {"r50-1x1-64-256-56", 64, 256, 56, 1, 1, 0},
    {"r50-3x3-64-64-56", 64, 64, 56, 3, 1, 1},
    {"r50-3x3-128-128-28", 128, 128, 28, 3, 1, 1},
    {"r50-1x1s2-256-512-56", 256, 512, 56, 1, 2, 0},
    {"r50-1x1-256-1024-14", 256, 1024, 14, 1, 1, 0},
    {"r50-3x3-512-512-7", 512, 512, 7, 3, 1, 1},
    {"mn2-1x1-32-192-28", 32, 192, 28, 1, 1, 0},
    {"mn2-1x1-384-64-14", 384, 64, 14, 1, 1, 0},
    {"mn2-dw3x3s2-96-112", 96, 96, 112, 3, 2, 1, 96},
    {"mn2-dw3x3-192-28", 192, 192, 28, 3, 1, 1, 192},
    {"mn2-dw3x3-960-7", 960, 960, 7, 3, 1, 1, 960},
    {"uf-first-3x3s2-3-16-280", 3, 16, 280, 3, 2, 1},
    {"uf-1x1-16-32-140", 16, 32, 140, 1, 1, 0},
    {"uf-1x1-32-32-70", 32, 32, 70, 1, 1, 0},
    {"uf-1x1-32-64-35", 32, 64, 35, 1, 1, 0},
    {"uf-1x1-64-64-35", 64, 64, 35, 1, 1, 0},
};

enum class conv_type : std::uint8_t { fp32, int8 };

[[nodiscard]] constexpr const char* name_of(conv_type t) {
  return t == conv_type::fp32 ? "fp32" : "int8";
}

[[nodiscard]] inline std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> pick(-1.0f, 1.0f);
  std::vector<float> x(count);
  for (float& v : x) v = pick(random);
  return x;
}

/// A peer's way to do a convolution, ready to be called; empty: it has none, or only its own
/// reference implementation.
using conv_call = std::function<void()>;

struct conv_peer {
  const char* name;
  conv_call (*make)(conv_type type, const conv_shape& s, std::size_t batch, std::size_t threads);
  bool fp32 = true;       // int8 only otherwise
  bool same_work = true;  // NCHW in and out, image quantized before: what qtk is held against

  [[nodiscard]] constexpr bool has(conv_type t) const { return fp32 || t == conv_type::int8; }
};

conv_call onednn_nchw(conv_type, const conv_shape&, std::size_t batch, std::size_t threads);
conv_call onednn_reorders(conv_type, const conv_shape&, std::size_t batch, std::size_t threads);
conv_call onednn_dynamic(conv_type, const conv_shape&, std::size_t batch, std::size_t threads);
conv_call onednn_blocked(conv_type, const conv_shape&, std::size_t batch, std::size_t threads);

inline const std::vector<conv_peer> conv_peers {
#if defined(QTK_BENCH_ONEDNN)
  {"onednn", onednn_nchw}, {"onednn-reorders", onednn_reorders},
      {"onednn-dynamic", onednn_dynamic, false, false},
      {"onednn-blocked", onednn_blocked, true, false},
#endif
};

}  // namespace bench
