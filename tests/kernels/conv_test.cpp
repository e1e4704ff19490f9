#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <qtk/kernels/conv.hpp>
#include <qtk/kernels/reference.hpp>
#include <random>

#include "kernels/exact.hpp"
#include "support/catch.hpp"

using namespace qtk_test;

namespace {

struct geometry {
  std::size_t O, K, width, height;  // filters, taps, output pixels
  std::size_t group = 0;            // u8_s8: along K; 0: per channel
};

/// An image whose pixels are steps, so many codes as are a float's size, and where steps of K lie.
struct step_image {
  exact<float> pixels;
  std::vector<std::size_t> offsets;
};

/// A convolution whose taps lie anywhere in an image of exact size: the last one at its end.
struct problem {
  conv_op op;
  geometry g;
  std::size_t group, row_step, pixels;
  exact<float> image, weights, scales, bias, residual;
  exact<std::uint8_t> codes;
  exact<std::int8_t> weight_codes;
  std::vector<std::size_t> taps;  // (K)
  std::int32_t zero_point;
  epilogue out;

  problem(conv_op operation, const geometry& shape, unsigned seed)
      : op(operation),
        g(shape),
        group(shape.group == 0 ? shape.K : shape.group),
        row_step(shape.width + seed % 5),
        pixels(shape.width * shape.height),
        zero_point(seed % 3 == 0   ? 255
                   : seed % 3 == 1 ? 0
                                   : 131) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> pick(-1.0f, 1.0f);
    const auto reals = [&](std::size_t n) {
      exact<float> x(n);
      for (float& v : x) v = pick(random);
      return x;
    };
    const std::size_t reach = 3 * row_step + 7;
    for (std::size_t k = 0; k < g.K; ++k) taps.push_back(random() % reach);
    taps.back() = reach - 1;
    const std::size_t size = (g.height - 1) * row_step + g.width - 1 + reach;
    image = reals(size);
    codes = exact<std::uint8_t>(size);
    for (auto& x : codes)
      x = static_cast<std::uint8_t>(random() % 4 == 0 ? random() % 2 * 255u : random());
    weights = reals(g.O * g.K);
    weight_codes = exact<std::int8_t>(g.O * g.K);
    for (auto& x : weight_codes)
      x = static_cast<std::int8_t>(random() % 4 == 0 ? 127 + random() % 2 : random());
    scales = reals(g.O * ceil_div(g.K, group));
    for (float& s : scales) s = 0.01f + std::fabs(s);
    bias = reals(g.O);
    residual = reals(g.O * (pixels + 3));
  }

  conv_filters filters() const {
    if (op == conv_op::f32) return {.O = g.O, .K = g.K, .data = weights.data(), .group_size = g.K};
    return {.O = g.O,
            .K = g.K,
            .data = weight_codes.data(),
            .group_size = group,
            .scales = scales.data()};
  }
  k_layout layout(std::size_t kr) const { return {g.K, op == conv_op::f32 ? g.K : group, kr}; }
  std::vector<std::size_t> offsets(const k_layout& k_of) const {
    std::vector<std::size_t> all(k_of.packed_k);
    for (std::size_t k = 0; k < g.K; ++k) all[k_of.position(k)] = taps[k];
    return all;
  }
  conv_args args() const {
    // Rows without a gap between them are one row, which fp32 reads in place.
    conv_args a{.pixel_end = pixels,
                .out_width = row_step == g.width ? pixels : g.width,
                .row_step = row_step};
    a.image = op == conv_op::f32 ? static_cast<const void*>(image.data()) : codes.data();
    a.image_size = image.size();
    a.image_scale = 0.03f;
    a.image_zero_point = zero_point;
    a.y_stride = pixels + 3;
    a.out = out;
    return a;
  }

  /// y as `kernel` computes it, `share` pixels at a time; or its codes, and nothing of y. From
  /// `steps`, if given.
  exact<float> run(const conv_kernel& kernel, std::size_t share = 0,
                   const epilogue_codes& of_y = {}, const step_image* steps = nullptr) const {
    exact<float> y(g.O * (pixels + 3));
    guarded packed(kernel.packed_bytes(g.O, g.K, group));
    kernel.pack(filters(), packed.data());
    guarded workspace(kernel.workspace_bytes(g.O, g.K, group, share == 0 ? pixels : share));
    const auto where = offsets(layout(kernel.kr));
    conv_args a = args();
    a.offsets = where.data();
    a.filters = packed.data();
    exact<std::uint8_t> signed_codes(codes.size());
    std::transform(codes.begin(), codes.end(), signed_codes.begin(),
                   [](std::uint8_t x) { return static_cast<std::uint8_t>(x - 128); });
    if (kernel.signed_image) {
      a.image = signed_codes.data();
      a.image_zero_point -= 128;
    }
    if (steps != nullptr) {
      a.image = steps->pixels.data();
      a.image_size = steps->pixels.size();
      a.offsets = steps->offsets.data();
      a.steps = true;
    }
    a.workspace = workspace.data();
    a.y = y.data();
    a.codes = of_y;
    if (share == 0) share = pixels;
    for (std::size_t p = 0; p < pixels; p += share) {
      a.pixel_begin = p;
      a.pixel_end = std::min(pixels, p + share);
      kernel.run(a);
    }
    QTK_CHECK(packed.intact() && workspace.intact(), kernel.name, "wrote beyond its buffers");
    for (std::size_t o = 0; o < g.O; ++o)
      for (std::size_t p = pixels; p < pixels + 3; ++p)
        QTK_CHECK(y[o * (pixels + 3) + p] == 0.0f, kernel.name, "wrote between the channels");
    return y;
  }
};

const conv_kernel* own_kernel(conv_op op, isa i) {
  const conv_kernel& k = find_conv(op, i);
  return k.target == i || std::getenv("QTK_ISA") != nullptr ? &k : nullptr;
}

void check(const problem& p) {
  const k_layout k_of = p.layout(1);
  const auto where = p.offsets(k_of);
  conv_args args = p.args();
  args.offsets = where.data();
  for (const isa target : isas_under_test()) {
    const conv_kernel* const kernel = own_kernel(p.op, target);
    if (kernel == nullptr) continue;
    const exact<float> y = p.run(*kernel);
    std::size_t wrong = 0;
    for (std::size_t o = 0; o < p.g.O; ++o)
      for (std::size_t pixel = 0; pixel < p.pixels; ++pixel) {
        const auto e = reference::convolution(p.op, p.filters(), args, k_of, o, pixel);
        const std::size_t sums = p.op == conv_op::f32 ? p.g.K : k_of.groups;
        const double bound = (static_cast<double>(sums) + 8) * 0x1p-24 * e.magnitude;
        const double y_value = static_cast<double>(y[o * (p.pixels + 3) + pixel]);
        if (!(std::abs(y_value - e.value) <= bound)) ++wrong;
      }
    INFO(kernel->name << " on " << name(target) << ", O " << p.g.O << " K " << p.g.K << " pixels "
                      << p.g.width << " x " << p.g.height << " group " << p.group);
    CHECK(wrong == 0);
  }
}

const geometry shapes[] = {{1, 1, 1, 1},   {1, 9, 7, 5},     {2, 9, 16, 3},     {3, 4, 33, 2},
                           {5, 27, 8, 8},  {6, 18, 17, 4},   {7, 25, 5, 11},    {12, 31, 64, 1},
                           {13, 16, 6, 6}, {16, 144, 32, 2}, {25, 49, 3, 20},   {33, 288, 8, 4},
                           {64, 65, 4, 4}, {9, 7, 1, 40},    {130, 600, 14, 3}, {150, 1100, 7, 7},
                           {4, 1, 100, 1}};

}  // namespace

TEST_CASE("convolutions of every shape agree with the reference on every ISA", "[conv]") {
  unsigned seed = 0;
  for (const conv_op op : {conv_op::f32, conv_op::int8})
    for (geometry g : shapes) {
      if (light() && g.O * g.K > 10000) continue;
      for (const std::size_t group : {0u, 32u, 6u, 1u}) {
        if (group != 0 && (op == conv_op::f32 || group > g.K)) continue;
        g.group = group;
        problem p(op, g, seed);
        p.out.act = static_cast<activation>(seed % 4);
        if (seed % 2 == 0) p.out.bias = p.bias.data();
        if (seed % 3 == 0) p.out.residual = p.residual.data();
        ++seed;
        check(p);
      }
    }
}

TEST_CASE("integer convolutions are exact at the extremes of the codes", "[conv]") {
  for (const int zero : {0, 255})
    for (const int weight : {-128, 127}) {
      problem p(conv_op::int8, {7, 999, 20, 1}, 1);
      for (auto& x : p.codes) x = static_cast<std::uint8_t>(255 - zero);
      for (auto& w : p.weight_codes) w = static_cast<std::int8_t>(weight);
      p.zero_point = zero;
      const float sum = static_cast<float>((255 - 2 * zero) * weight * 999);
      for (const isa target : isas_under_test()) {
        const exact<float> y = p.run(find_conv(p.op, target));
        for (std::size_t o = 0; o < p.g.O; ++o)
          for (std::size_t pixel = 0; pixel < p.pixels; ++pixel)
            REQUIRE(y[o * (p.pixels + 3) + pixel] == sum * (p.scales[o] * 0.03f));
      }
    }
}

TEST_CASE("integer convolutions give the same floats on every ISA", "[conv]") {
  for (const std::size_t group : {0u, 32u}) {
    problem p(conv_op::int8, {20, 150, 13, 5, group}, 2);
    p.out = {.bias = p.bias.data(), .residual = p.residual.data(), .act = activation::relu};
    const exact<float> expected = p.run(find_conv(p.op, isa::scalar));
    for (const isa target : isas_under_test()) {
      INFO(name(target));
      CHECK(same_bits(p.run(find_conv(p.op, target)), expected));
    }
  }
}

TEST_CASE("codes that a convolution writes and adds are those of its floats", "[conv]") {
  unsigned seed = 0;
  for (const conv_op op : {conv_op::f32, conv_op::int8})
    for (const geometry& g : shapes) {
      if (light() && g.O * g.K > 10000) continue;
      problem p(op, g, seed);
      if (seed % 5 == 0 && op == conv_op::int8)
        p = problem(op, {g.O, g.K, g.width, g.height, 6}, 1);
      p.out.act = static_cast<activation>(seed % 4);
      p.out.bias = p.bias.data();
      // Saturated at both ends, of few codes, of scales whose inverse is none.
      const float scales[] = {0.03f, 0.5f, 1e-4f, 0x1p-110f, 0x1p110f};
      const std::int32_t zeros[] = {0, 255, 131, 7};
      const float scale = scales[seed % 5];
      const std::int32_t zero = zeros[seed % 4];
      exact<std::uint8_t> added(p.residual.size());
      std::mt19937 random(seed);
      for (auto& x : added) x = static_cast<std::uint8_t>(random());
      epilogue_codes codes{.residual_scale = 0.07f, .residual_zero_point = zeros[seed % 3]};
      for (std::size_t i = 0; i < added.size(); ++i)
        p.residual[i] = codes.residual_scale *
                        static_cast<float>(static_cast<int>(added[i]) - codes.residual_zero_point);
      for (const isa target : isas_under_test()) {
        const conv_kernel* const kernel = own_kernel(op, target);
        if (kernel == nullptr) continue;
        INFO(kernel->name << " on " << name(target) << ", O " << g.O << " K " << g.K << " pixels "
                          << g.width << " x " << g.height << " seed " << seed);
        for (const bool residual : {false, true}) {
          p.out.residual = residual ? p.residual.data() : nullptr;
          const exact<float> y = p.run(*kernel);
          for (const bool codes_added : {false, true}) {
            if (codes_added && !residual) continue;
            p.out.residual = residual && !codes_added ? p.residual.data() : nullptr;
            codes.residual = codes_added ? added.data() : nullptr;
            codes.y = nullptr;
            if (codes_added) CHECK(same_bits(p.run(*kernel, 0, codes), y));
            exact<std::uint8_t> out(y.size());
            codes.y = out.data();
            codes.y_scale = scale;
            codes.y_zero_point = zero;
            const exact<float> none = p.run(*kernel, seed % 2 * 19, codes);
            CHECK(std::all_of(none.begin(), none.end(), [](float v) { return v == 0.0f; }));
            std::size_t wrong = 0;
            for (std::size_t i = 0; i < y.size(); ++i) {
              const bool between = i % (p.pixels + 3) >= p.pixels;
              const int expected = between ? 0 : quantize_code(y[i], scale, zero, 0, 255);
              if (out[i] != expected) ++wrong;
            }
            CHECK(wrong == 0);
          }
        }
      }
      ++seed;
    }
}

TEST_CASE("a convolution doesn't depend on how its pixels are shared out", "[conv]") {
  for (const conv_op op : {conv_op::f32, conv_op::int8})
    for (const isa target : isas_under_test()) {
      const problem p(op, {31, 100, 11, 9}, 5);
      const conv_kernel& kernel = find_conv(op, target);
      const exact<float> whole = p.run(kernel);
      INFO(kernel.name << " on " << name(target));
      for (const std::size_t share : {1u, 16u, 37u}) CHECK(same_bits(p.run(kernel, share), whole));
    }
}

TEST_CASE("fp32 tiles finished in registers are those finished by way of memory", "[conv]") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const geometry sizes[] = {{0, 1, 35, 1}, {0, 4, 7, 14}, {0, 27, 16, 7}};
  for (const isa target : isas_under_test())
    for (geometry g : sizes)
      for (const std::size_t filters : {1u, 2u, 3u, 5u, 6u, 7u, 12u, 16u, 23u, 32u}) {
        const conv_kernel* const kernel = own_kernel(conv_op::f32, target);
        if (kernel == nullptr) continue;
        g.O = filters;
        problem p(conv_op::f32, g, 10);  // rows without a gap: read in place
        p.image[3] = p.residual[7] = nan;
        p.image[12] = p.bias[filters / 2] = infinity;
        p.residual[1] = -infinity;
        p.image[20] = -0.0f;
        for (const unsigned parts : {0u, 1u, 2u, 3u})
          for (const activation act :
               {activation::none, activation::relu, activation::leaky_relu, activation::clip}) {
            p.out = {.act = act, .alpha = 0.3f, .lo = -0.5f, .hi = 0.25f};
            if (parts % 2 != 0) p.out.bias = p.bias.data();
            if (parts / 2 != 0) p.out.residual = p.residual.data();
            INFO(kernel->name << " on " << name(target) << ", O " << g.O << " K " << g.K << " act "
                              << static_cast<int>(act) << " parts " << parts);
            CHECK(same_bits(p.run(*kernel), p.run(*kernel, 5)));  // 5 are no whole panel
          }
      }
}

TEST_CASE("an ISA without a convolution of its own is served by one below", "[conv]") {
  for (const conv_op op : {conv_op::f32, conv_op::int8})
    for (const isa target : all_isas) {
      const conv_kernel& k = find_conv(op, target);
      CHECK(k.op == op);
      CHECK(k.target <= target);
      CHECK((supported(k.target) || !supported(target)));
    }
}

TEST_CASE("an image is spread out for a window on every ISA", "[conv]") {
  std::mt19937 random(7);
  const auto pick = [&](std::size_t lo, std::size_t hi) { return lo + random() % (hi - lo + 1); };
  for (int repeat = 0; repeat < 200; ++repeat) {
    const std::size_t kernel_h = pick(1, 5);
    conv_spread s{.channels = pick(0, 3),
                  .height = pick(1, 12),
                  .width = pick(1, 70),
                  .kernel_w = pick(1, 5),
                  .dilation_w = pick(1, 2),
                  .stride_h = pick(1, 3),
                  .stride_w = pick(1, 3),
                  .pad_top = pick(0, 3),
                  .pad_left = pick(0, 6)};
    const std::size_t right = pick(0, 6), reach = (s.kernel_w - 1) * s.dilation_w;
    const std::size_t columns = s.width + s.pad_left + right;
    if (columns <= reach) continue;
    s.first_row = pick(0, s.height + 3);
    s.phases = std::min(s.stride_h, kernel_h);
    s.rows = pick(1, 6);
    s.out_width = (columns - reach - 1) / s.stride_w + 1;
    s.phase = ceil_div(columns, s.stride_w);
    s.image_stride = s.height * s.width + pick(0, 5);
    const exact<float> image(s.channels * s.image_stride);
    for (float& x : image) x = static_cast<float>(random() % 1000 + 1);
    s.image = image.data();
    exact<std::uint8_t> codes(4 * image.size());
    const std::size_t plane = s.image_stride;
    for (auto& x : codes) x = static_cast<std::uint8_t>(random());
    s.codes = codes.data();
    s.padding = static_cast<std::uint8_t>(random());
    std::vector<std::uint8_t> expected_codes;
    exact<float> expected(s.channels * s.kernel_w * s.phases * s.rows * s.out_width);
    float* to = expected.data();
    for (std::size_t c = 0; c < s.channels; ++c)
      for (std::size_t j = 0; j < s.kernel_w; ++j)
        for (std::size_t p = 0; p < s.phases; ++p)
          for (std::size_t r = 0; r < s.rows; ++r)
            for (std::size_t x = 0; x < s.out_width; ++x) {
              const std::size_t h = s.first_row + r * s.stride_h + p - s.pad_top;  // wraps
              const std::size_t w = x * s.stride_w + j * s.dilation_w - s.pad_left;
              const bool inside = h < s.height && w < s.width;
              *to++ = inside ? image[c * plane + h * s.width + w] : 0.0f;
              for (std::size_t q = 0; q < 4; ++q)
                expected_codes.push_back(inside ? codes[(4 * c + q) * plane + h * s.width + w]
                                                : s.padding);
            }
    for (const isa target : isas_under_test())
      for (const conv_op op : {conv_op::f32, conv_op::int8}) {
        const conv_kernel& kernel = find_conv(op, target);
        if (kernel.spread == nullptr) continue;
        s.integer = op == conv_op::int8;
        exact<float> planes(expected.size() + kernel.nr), scratch(spread_scratch(s, kernel.nr));
        std::fill(scratch.begin(), scratch.end(), 7.0f);
        s.planes = planes.data();
        s.scratch = scratch.data();
        kernel.spread(s);
        INFO(kernel.name << ", " << s.height << " x " << s.width << ", stride " << s.stride_h << " "
                         << s.stride_w);
        if (expected.size() != 0)
          CHECK(std::memcmp(
                    planes.data(),
                    s.integer ? static_cast<const void*>(expected_codes.data()) : expected.data(),
                    expected.size() * sizeof(float)) == 0);
      }
  }
}

TEST_CASE("pixels of an image of steps give what those that are packed do", "[conv]") {
  unsigned seed = 0;
  for (geometry g : shapes)
    for (const isa target : isas_under_test()) {
      const conv_kernel& kernel = find_conv(conv_op::int8, target);
      if (kernel.spread == nullptr || (light() && g.O * g.K > 10000)) continue;
      const std::size_t kr = kernel.kr;
      g.K = round_up(g.K, kr);
      problem p(conv_op::int8, g, ++seed);
      p.out = {.bias = p.bias.data(), .residual = p.residual.data(), .act = activation::relu};
      // Code q of a step is the pixel of channel q.
      std::mt19937 random(seed);
      const std::size_t size = 100 + p.pixels;
      p.codes = exact<std::uint8_t>(kr * size);
      for (auto& x : p.codes) x = static_cast<std::uint8_t>(random());
      // What may be read behind it, or not: then the last pixels are packed.
      const std::size_t room = seed % 2 * kernel.nr;
      step_image image{exact<float>(size + room), std::vector<std::size_t>(g.K / kr)};
      for (std::size_t& at : image.offsets) at = random() % 101;
      for (std::size_t k = 0; k < g.K; ++k) p.taps[k] = k % kr * size + image.offsets[k / kr];
      p.row_step = g.width;
      auto* const pixels = reinterpret_cast<std::uint8_t*>(image.pixels.data());
      for (std::size_t i = 0; i < size * kr; ++i) pixels[i] = p.codes[i % kr * size + i / kr];
      const exact<float> expected = p.run(kernel);
      INFO(kernel.name << ", O " << g.O << " K " << g.K << " pixels " << p.pixels);
      for (const std::size_t share : {std::size_t{0}, 2 * kernel.nr})
        CHECK(same_bits(p.run(kernel, share, {}, &image), expected));
    }
}
