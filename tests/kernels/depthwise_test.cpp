#include <algorithm>
#include <cmath>
#include <qtk/kernels/conv.hpp>
#include <qtk/kernels/reference.hpp>
#include <random>

#include "kernels/exact.hpp"
#include "support/catch.hpp"

using namespace qtk_test;

namespace {

struct geometry {
  std::size_t channels, height, width;
  std::size_t kernel_h = 3, kernel_w = 3, stride_h = 1, stride_w = 1, dilation = 1;
  std::size_t pad_top = 1, pad_left = 1, pad_bottom = 1, pad_right = 1;

  std::size_t rows() const { return height + pad_top + pad_bottom; }
  std::size_t phase() const { return ceil_div(width + pad_left + pad_right, stride_w); }
  std::size_t out_height() const { return (rows() - dilation * (kernel_h - 1) - 1) / stride_h + 1; }
  std::size_t out_width() const {
    return (width + pad_left + pad_right - dilation * (kernel_w - 1) - 1) / stride_w + 1;
  }
  std::size_t taps() const { return kernel_h * kernel_w; }
  std::size_t outputs() const { return channels * out_height() * out_width(); }
};

/// A depthwise convolution of reals, or of codes as the kernel takes them: floats that are
/// integers.
struct problem {
  geometry g;
  bool integer;
  exact<float> image, weights, scales, bias, residual;
  epilogue out;

  problem(const geometry& shape, bool codes, unsigned seed)
      : g(shape),
        integer(codes),
        image(g.channels * g.height * g.width),
        weights(g.channels * g.taps()),
        scales(g.channels),
        bias(g.channels),
        residual(g.outputs()) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> pick(-1.0f, 1.0f);
    std::uniform_int_distribution<int> pixel(-130, 125), weight(-128, 127);
    for (float& x : image) x = codes ? static_cast<float>(pixel(random)) : pick(random);
    for (float& x : weights) x = codes ? static_cast<float>(weight(random)) : pick(random);
    for (float& x : scales) x = 0.01f + std::fabs(pick(random));
    for (float& x : bias) x = pick(random);
    for (float& x : residual) x = pick(random);
    out = {.bias = seed % 2 == 0 ? bias.data() : nullptr,
           .residual = seed % 3 == 0 ? residual.data() : nullptr,
           .act = static_cast<activation>(seed % 4),
           .lo = -0.5f,
           .hi = 1.5f};
  }

  exact<float> run(const depthwise_kernel& kernel) const {
    std::vector<std::size_t> offsets;
    for (std::size_t i = 0; i < g.kernel_h; ++i)
      for (std::size_t j = 0; j < g.kernel_w; ++j) {
        const std::size_t column = j * g.dilation;
        offsets.push_back(i * g.dilation * g.phase() * g.stride_w +
                          column % g.stride_w * g.phase() + column / g.stride_w);
      }
    exact<float> planes(2 * (g.rows() * g.phase() * g.stride_w + kernel.width));
    std::fill(planes.begin(), planes.end(), 7.0f);
    exact<float> y(g.outputs());
    kernel.run({.channels = g.channels,
                .image = image.data(),
                .height = g.height,
                .width = g.width,
                .image_stride = g.height * g.width,
                .planes = planes.data(),
                .plane_rows = g.rows(),
                .phase = g.phase(),
                .pad_top = g.pad_top,
                .pad_left = g.pad_left,
                .stride_h = g.stride_h,
                .stride_w = g.stride_w,
                .taps = g.taps(),
                .offsets = offsets.data(),
                .square = g.taps() == 9 && g.kernel_h == 3 && g.dilation == 1 && g.stride_h <= 2,
                .weights = weights.data(),
                .scales = integer ? scales.data() : nullptr,
                .image_scale = 0.03f,
                .y = y.data(),
                .out_height = g.out_height(),
                .out_width = g.out_width(),
                .y_stride = g.out_height() * g.out_width(),
                .out = out});
    return y;
  }

  /// Output (row, column) of a channel, before the epilogue.
  reference::element sum(std::size_t channel, std::size_t row, std::size_t column) const {
    reference::element e;
    for (std::size_t i = 0; i < g.kernel_h; ++i)
      for (std::size_t j = 0; j < g.kernel_w; ++j) {
        const std::size_t h = row * g.stride_h + i * g.dilation - g.pad_top;  // wraps in padding
        const std::size_t w = column * g.stride_w + j * g.dilation - g.pad_left;
        if (h < g.height && w < g.width)
          e.add(double{weights[channel * g.taps() + i * g.kernel_w + j]} *
                double{image[(channel * g.height + h) * g.width + w]});
      }
    return e;
  }

  /// What y should be, and how far a chain of multiply-adds may be from it.
  reference::element expected(std::size_t at) const {
    const std::size_t pixels = g.out_height() * g.out_width(), channel = at / pixels;
    reference::element e = sum(channel, at % pixels / g.out_width(), at % pixels % g.out_width());
    if (integer) {
      const double scale = double{scales[channel] * 0.03f};
      e.value *= scale, e.magnitude *= scale;
    }
    if (out.bias != nullptr) e.add(double{bias[channel]});
    if (out.residual != nullptr) e.add(double{residual[at]});
    return reference::activated(e, out);
  }
};

const geometry shapes[] = {
    {1, 1, 1},
    {3, 7, 7},
    {2, 9, 16},
    {2, 8, 17},
    {1, 16, 40},
    {3, 5, 33},
    {2, 2, 3},
    {2, 14, 31, 3, 3, 2, 2},
    {3, 15, 8, 3, 3, 2, 2},
    {1, 20, 70, 3, 3, 2, 2, 1, 0, 0, 1, 1},
    {2, 17, 33, 3, 3, 2, 2, 1, 2, 3, 0, 2},
    {2, 9, 9, 3, 3, 1, 2},
    {2, 9, 21, 3, 3, 2, 1},
    {2, 12, 12, 3, 3, 3, 3},
    {2, 9, 9, 3, 3, 1, 1, 2, 2, 2, 2, 2},
    {2, 11, 13, 5, 5, 1, 1, 1, 2, 2, 2, 2},
    {2, 11, 35, 5, 4, 2, 3, 1, 2, 0, 2, 5},
    {1, 6, 6, 1, 1, 1, 1, 1, 0, 0, 0, 0},
    {1, 6, 9, 1, 9, 1, 2, 1, 0, 4, 0, 4},
    {0, 3, 3},
};

const depthwise_kernel* own_kernel(isa i) {
  const depthwise_kernel& k = find_depthwise(i);
  return k.target == i || std::getenv("QTK_ISA") != nullptr ? &k : nullptr;
}

}  // namespace

TEST_CASE("depthwise convolutions of every shape agree with the reference", "[depthwise]") {
  unsigned seed = 0;
  for (const geometry& g : shapes)
    for (const bool integer : {false, true})
      for (int repeat = 0; repeat < 3; ++repeat) {
        const problem p(g, integer, seed++);
        for (const isa target : isas_under_test()) {
          const depthwise_kernel* const kernel = own_kernel(target);
          if (kernel == nullptr) continue;
          const exact<float> y = p.run(*kernel);
          std::size_t wrong = 0;
          for (std::size_t i = 0; i < g.outputs(); ++i) {
            const reference::element e = p.expected(i);
            const double terms = integer ? 8 : static_cast<double>(g.taps()) + 8;
            if (!(std::abs(double{y[i]} - e.value) <= terms * 0x1p-24 * e.magnitude)) ++wrong;
          }
          INFO(kernel->name << " on " << name(target) << ", " << g.channels << " x " << g.height
                            << " x " << g.width << " stride " << g.stride_h << " " << g.stride_w
                            << (integer ? " of codes" : ""));
          CHECK(wrong == 0);
        }
      }
}

TEST_CASE("depthwise convolutions of codes give the same floats on every ISA", "[depthwise]") {
  for (unsigned seed = 0; seed < 12; ++seed)
    for (const geometry& g : shapes) {
      const problem p(g, true, seed);
      const exact<float> expected = p.run(find_depthwise(isa::scalar));
      for (const isa target : isas_under_test()) {
        INFO(name(target));
        CHECK(same_bits(p.run(find_depthwise(target)), expected));
      }
    }
}

TEST_CASE("depthwise convolutions are exact up to max_depthwise_taps", "[depthwise]") {
  const geometry g{.channels = 1,
                   .height = 2,
                   .width = max_depthwise_taps / 2,
                   .kernel_h = 2,
                   .kernel_w = max_depthwise_taps / 2,
                   .pad_top = 0,
                   .pad_left = 0,
                   .pad_bottom = 0,
                   .pad_right = 0};
  for (const float weight : {-128.0f, 127.0f})
    for (const float pixel : {-255.0f, 255.0f}) {
      problem p(g, true, 1);
      p.out = {};
      std::fill(p.weights.begin(), p.weights.end(), weight);
      std::fill(p.image.begin(), p.image.end(), pixel);
      p.image[0] = pixel > 0 ? 254.0f : -254.0f;  // an odd sum, one that needs all the bits
      const double sum = p.sum(0, 0, 0).value;
      for (const isa target : isas_under_test())
        CHECK(p.run(find_depthwise(target))[0] == static_cast<float>(sum) * (p.scales[0] * 0.03f));
    }
}

TEST_CASE("filters can be had from what a convolution packed", "[conv]") {
  std::mt19937 random(1);
  for (const isa target : isas_under_test())
    for (const conv_op op : {conv_op::f32, conv_op::int8})
      for (const auto& [O, K] : {std::pair<std::size_t, std::size_t>{1, 9}, {13, 7}, {40, 33}})
        for (const std::size_t group : {K, K / 2 + 1}) {
          if (op == conv_op::f32 && group != K) continue;
          const conv_kernel& kernel = find_conv(op, target);
          exact<float> weights(O * K), scales(O * ceil_div(K, group)), got(weights.size());
          exact<std::int8_t> codes(O * K);
          for (std::size_t i = 0; i < codes.size(); ++i) {
            codes[i] = static_cast<std::int8_t>(random());
            weights[i] = codes[i];
          }
          for (float& s : scales) s = static_cast<float>(random() % 100);
          guarded packed(kernel.packed_bytes(O, K, group));
          const bool integer = op == conv_op::int8;
          kernel.pack({.O = O,
                       .K = K,
                       .data = integer ? static_cast<const void*>(codes.data()) : weights.data(),
                       .group_size = group,
                       .scales = integer ? scales.data() : nullptr},
                      packed.data());
          exact<float> got_scales(scales.size());
          kernel.unpack(packed.data(), got.data(), got_scales.data());
          INFO(kernel.name);
          CHECK(same_bits(got, weights));
          if (integer) CHECK(same_bits(got_scales, scales));
        }
}
