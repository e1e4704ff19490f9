#include <algorithm>
#include <optional>
#include <qtk/core/thread_pool.hpp>
#include <qtk/ops/conv.hpp>
#include <qtk/quantize.hpp>
#include <random>
#include <vector>

#include "naive.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qtk;
using qtk_test::distance;
using qtk_test::naive_conv;
using qtk_test::random_tensor;

namespace {

struct geometry {
  shape x, w;  // (batch, C, H, W), (O, C / groups, kh, kw)
  window_2d window;
  std::size_t groups = 1;
};

window_2d window(std::size_t k, std::size_t stride, std::size_t pad, std::size_t dilation = 1) {
  return {k, k, stride, stride, dilation, dilation, pad, pad, pad, pad};
}

const geometry cases[] = {
    {{1, 1, 5, 5}, {1, 1, 1, 1}, window(1, 1, 0)},
    {{2, 3, 8, 8}, {16, 3, 3, 3}, window(3, 1, 1)},
    {{1, 16, 9, 7}, {33, 16, 3, 3}, window(3, 2, 1)},
    {{3, 8, 6, 6}, {5, 8, 1, 1}, window(1, 1, 0)},
    {{1, 4, 11, 11}, {6, 4, 5, 5}, window(5, 1, 2)},
    {{1, 2, 9, 9}, {3, 2, 3, 3}, window(3, 1, 2, 2)},
    {{2, 6, 7, 7}, {6, 1, 3, 3}, window(3, 1, 1), 6},
    {{2, 5, 18, 37}, {5, 1, 3, 3}, window(3, 2, 1), 5},
    {{1, 130, 8, 8}, {130, 1, 5, 5}, window(5, 1, 2), 130},
    {{1, 3, 9, 9}, {6, 1, 3, 3}, window(3, 1, 1), 3},
    {{1, 2, 40, 40}, {2, 1, 30, 30}, {30, 30}, 2},
    {{1, 8, 5, 5}, {12, 4, 3, 3}, window(3, 2, 1), 2},
    {{1, 3, 4, 6}, {7, 3, 4, 6}, {4, 6}},
    {{1, 2, 3, 3}, {4, 2, 3, 3}, {3, 3, 1, 1, 1, 1, 2, 0, 0, 1}},
    {{2, 8, 15, 17}, {20, 8, 3, 3}, window(3, 1, 1)},
    {{1, 16, 12, 33}, {20, 8, 3, 3}, {3, 3, 1, 1, 1, 1, 0, 2, 1, 0}, 2},
    {{1, 40, 3, 3}, {9, 40, 3, 3}, window(3, 1, 0)},
    {{2, 4, 60, 90}, {8, 4, 5, 5}, window(5, 1, 2)},
    {{1, 3, 31, 45}, {13, 3, 7, 7}, window(7, 3, 3)},
    {{1, 12, 50, 70}, {6, 12, 5, 3}, {5, 3, 2, 1, 1, 2, 2, 0, 1, 4}},
    {{1, 64, 28, 31}, {5, 64, 3, 3}, window(3, 2, 1)},
    {{1, 8, 60, 121}, {3, 8, 3, 3}, window(3, 2, 1)},
    {{1, 16, 60, 90}, {3, 16, 5, 5}, window(5, 1, 2)},
};

/// Weights as the matrix (O, C / groups * kh * kw).
tensor<fp32> matrix(const tensor<fp32>& w) {
  tensor<fp32> m = w;
  m.reshape({w.shape()[0], w.shape().product(1, 4)});
  return m;
}

template <class F>
conv2d make(const tensor<F>& w, const geometry& g, compute how,
            const std::optional<block_scale>& fixed = {}, std::size_t taps = 0) {
  if (taps == 0) taps = g.window.kernel_h * g.window.kernel_w;
  std::vector<packed_filters> groups;
  const std::size_t rows = w.rows() / g.groups;
  for (std::size_t i = 0; i < g.groups; ++i) {
    quantization q = w.quantization();
    if (F::quantized) {
      const std::size_t runs = q.scales.size() / w.rows();
      const auto first = q.scales.begin() + static_cast<std::ptrdiff_t>(i * rows * runs);
      q.scales.assign(first, first + static_cast<std::ptrdiff_t>(rows * runs));
    }
    groups.emplace_back(
        tensor_view<const F>(w.view().row(i * rows), {rows, w.cols()}, F::quantized ? &q : nullptr),
        how, active_isa(), taps);
  }
  return conv2d(std::make_shared<const std::vector<packed_filters>>(std::move(groups)), g.window,
                fixed);
}

tensor<fp32> run(const conv2d& conv, const tensor<fp32>& x, const epilogue& e,
                 executor_ref executor = {}) {
  tensor<fp32> y(conv.output_shape(x.shape()));
  buffer workspace(conv.workspace_bytes(x.shape(), executor.concurrency()));
  conv.run(x.shape(), x.data(), y.data(), e, workspace.data(), executor);
  return y;
}

/// Images as an integer convolution sees them: one scale each.
tensor<fp32> as_quantized(const tensor<fp32>& x) {
  tensor<fp32> flat = x;
  flat.reshape({x.shape()[0], x.shape().product(1, 4)});
  flat = dequantize(quantize<uint8>(flat, per_token()));
  flat.reshape(x.shape());
  return flat;
}

}  // namespace

TEST_CASE("conv2d equals the formula, for every format of weights", "[ops]") {
  for (const geometry& g : cases) {
    CAPTURE(g.x, g.w, g.groups);
    const auto x = random_tensor(g.x, 1), w = random_tensor(g.w, 2);
    const auto bias = random_tensor({g.w[0]}, 3);
    const shape y{g.x[0], g.w[0], g.window.out_height(g.x[2]), g.window.out_width(g.x[3])};
    const auto residual = random_tensor(y, 4);
    const epilogue e{.bias = bias.data(),
                     .residual = residual.data(),
                     .act = activation::clip,
                     .lo = -0.5f,
                     .hi = 1.5f};
    const auto again = [&](const auto& stored) {  // the matrix back in the shape of a convolution
      tensor<fp32> t = dequantize(stored);
      t.reshape(g.w);
      return t;
    };
    CHECK(distance(run(make(matrix(w), g, compute::real), x, e),
                   naive_conv(x, w, g.window, g.groups, e)) < 1e-5);
    const auto w8 = quantize<int8>(matrix(w), per_channel(0));
    CHECK(distance(run(make(w8, g, compute::real), x, e),
                   naive_conv(x, again(w8), g.window, g.groups, e)) < 1e-5);
    CHECK(distance(run(make(w8, g, compute::integer), x, e),
                   naive_conv(as_quantized(x), again(w8), g.window, g.groups, e)) < 1e-5);
    const auto w4 = quantize<int4>(matrix(w), per_group(32));
    CHECK(distance(run(make(w4, g, compute::real), x, e),
                   naive_conv(x, again(w4), g.window, g.groups, e)) < 1e-5);
    CHECK(distance(run(make(w4, g, compute::integer), x, e),
                   naive_conv(as_quantized(x), again(w4), g.window, g.groups, e)) < 1e-5);
  }
}

TEST_CASE("conv2d does not depend on the number of threads", "[ops]") {
  for (const std::size_t batch : {1u, 2u, 5u})
    for (const geometry& g :  // worth seven threads
         {geometry{{batch, 64, 12, 12}, {70, 64, 3, 3}, window(3, 1, 1)},
          geometry{{batch, 64, 5, 5}, {270, 64, 3, 3}, window(3, 1, 1)},
          geometry{{batch, 16, 60, 90}, {32, 16, 5, 5}, window(5, 2, 2)},
          geometry{{batch, 256, 13, 13}, {320, 256, 1, 1}, window(1, 2, 0)},
          geometry{{batch, 128, 11, 11}, {176, 64, 3, 3}, window(3, 2, 2, 2), 2},
          geometry{{batch, 90, 60, 60}, {90, 1, 3, 3}, window(3, 2, 1), 90}}) {
      const auto x = random_tensor(g.x, 1), w = matrix(random_tensor(g.w, 2));
      const auto w8 = quantize<int8>(w, per_channel(0));
      for (const conv2d& conv : {make(w, g, compute::real), make(w8, g, compute::integer)}) {
        const auto once = run(conv, x, {});
        for (const std::size_t threads : {2u, 3u, 7u}) {
          thread_pool pool(threads);
          CHECK(distance(run(conv, x, {}, pool), once) == 0.0);
        }
      }
    }
}

namespace {

/// Runs each band of output rows of one image alone, from a copy of the rows that it reads with
/// other elements between the channels, and compares with the whole. Returns how many there were.
template <class T, class Run>
std::size_t compare_bands(const conv2d& conv, const geometry& g, const std::vector<T>& x,
                          const std::vector<T>& residual, const std::vector<T>& whole,
                          const Run& run_band) {
  const shape y = conv.output_shape(g.x);
  const std::size_t unit = conv.band_unit(g.x), area = g.x[2] * g.x[3], pixels = y[2] * y[3];
  const T other = 77;
  std::size_t bands = 0;
  for (std::size_t begin = 0; begin < y[2]; begin += unit)
    for (std::size_t end = begin + unit; end < y[2] + unit; end += unit) {
      const row_range rows{begin, std::min(end, y[2])};
      const row_range read = window_band(g.window, g.x[2], rows).rows;
      ++bands;
      const std::size_t n = rows.size() * y[3], stride = read.size() * g.x[3] + 3, gap = n + 5;
      std::vector<T> part(g.x[1] * stride + 64, other), made(y[1] * gap, other), added = made;
      for (std::size_t c = 0; c < g.x[1]; ++c)
        std::copy_n(x.data() + c * area + read.begin * g.x[3], read.size() * g.x[3],
                    part.data() + c * stride);
      for (std::size_t o = 0; o < y[1]; ++o)
        std::copy_n(residual.data() + o * pixels + begin * y[3], n, added.data() + o * gap);
      const buffer workspace(conv.band_workspace_bytes(g.x, rows.size()));
      run_band(rows, part.data(), row_layout{read.begin, stride, part.size()}, added.data(),
               made.data(), row_layout{begin, gap, made.size()},
               const_cast<std::byte*>(workspace.data()));
      bool same = true;
      for (std::size_t o = 0; o < y[1]; ++o) {
        const T *const from = whole.data() + o * pixels + begin * y[3], *at = made.data() + o * gap;
        same = same && std::equal(from, from + n, at) &&
               std::all_of(at + n, at + gap, [&](T v) { return v == other; });
      }
      CAPTURE(rows.begin, rows.end, g.x, g.w, g.groups);
      CHECK(same);
    }
  return bands;
}

std::vector<geometry> images() {
  std::vector<geometry> all(std::begin(cases), std::end(cases));
  for (geometry& g : all) g.x[0] = 1;
  all.push_back({{1, 9, 14, 21}, {10, 9, 3, 3}, window(3, 1, 1)});
  all.push_back({{1, 33, 13, 13}, {70, 33, 1, 1}, window(1, 1, 0)});
  all.push_back({{1, 3, 30, 41}, {16, 3, 3, 3}, window(3, 2, 1)});
  all.push_back({{1, 4, 5, 6}, {4, 1, 3, 3}, {3, 3, 1, 1, 1, 1, 5, 1, 4, 1}, 4});  // pads beyond
  all.push_back({{1, 4, 5, 6}, {5, 4, 2, 3}, {2, 3, 1, 1, 1, 1, 4, 1, 3, 1}});     // the window
  return all;
}

}  // namespace

TEST_CASE("rows of an image are those of the whole one, to the bit", "[ops]") {
  std::size_t bands = 0;
  for (const geometry& g : images()) {
    const conv2d conv = make(matrix(random_tensor(g.w, 2)), g, compute::real);
    if (!conv.runs_in_bands(g.x, false)) continue;
    const auto x = random_tensor(g.x, 1), bias = random_tensor({g.w[0]}, 3),
               residual = random_tensor(conv.output_shape(g.x), 4);
    epilogue e{.bias = bias.data(), .residual = residual.data(), .act = activation::relu};
    const auto values = [](const tensor<fp32>& t) {
      return std::vector<float>(t.span().begin(), t.span().end());
    };
    bands += compare_bands<float>(
        conv, g, values(x), values(residual), values(run(conv, x, e)),
        [&](row_range rows, const float* from, const row_layout& x_rows, const float* added,
            float* to, const row_layout& y_rows, void* workspace) {
          e.residual = added;
          conv.run_band(g.x, rows, from, x_rows, to, y_rows, e, workspace);
        });
  }
  CHECK(bands > 400);  // NEON has fewer ways: 467
}

TEST_CASE("fewer rows need no more memory", "[ops]") {
  std::vector<geometry> all = images();
  // Their bands in the L2 cache are cut to whole panels, shorter images not.
  all.push_back({{1, 16, 119, 23}, {16, 2, 1, 3}, {1, 3, 1, 1, 1, 1, 0, 1, 0, 1}, 8});
  all.push_back({{1, 32, 21, 28}, {16, 32, 5, 5}, window(5, 1, 2)});
  all.push_back({{1, 128, 21, 28}, {16, 128, 5, 5}, window(5, 1, 2)});
  for (const geometry& g : all) {
    const auto w = matrix(random_tensor(g.w, 2));
    const auto w8 = quantize<int8>(w, per_channel(0));
    for (const conv2d& conv :
         {make(w, g, compute::real), make(w8, g, compute::integer, block_scale{0.02f, 130})}) {
      CAPTURE(g.x, g.w, g.groups);
      const std::size_t height = conv.output_shape(g.x)[2];
      for (std::size_t rows = 2; rows <= height; ++rows)
        CHECK(conv.band_workspace_bytes(g.x, rows - 1) <= conv.band_workspace_bytes(g.x, rows));
    }
  }
}

TEST_CASE("rows of codes are those of the whole image", "[ops]") {
  std::size_t bands = 0;
  std::mt19937 random(3);
  for (const geometry& g : images()) {
    const auto w = quantize<int8>(matrix(random_tensor(g.w, 2)), per_channel(0));
    const conv2d conv = make(w, g, compute::integer, block_scale{0.02f, 130});
    if (!conv.runs_in_bands(g.x, true)) continue;
    const shape y = conv.output_shape(g.x);
    const auto codes = [&](std::size_t n) {
      std::vector<std::uint8_t> all(n);
      for (auto& c : all) c = static_cast<std::uint8_t>(random());
      return all;
    };
    const auto x = codes(g.x.elements()), residual = codes(y.elements());
    const auto bias = random_tensor({g.w[0]}, 3);
    const epilogue e{.bias = bias.data(), .act = activation::relu};
    std::vector<std::uint8_t> whole(y.elements());
    epilogue_codes c{.residual = residual.data(),
                     .residual_scale = 0.01f,
                     .residual_zero_point = 100,
                     .y = whole.data(),
                     .y_scale = 0.05f,
                     .y_zero_point = 90};
    buffer workspace(conv.workspace_bytes(g.x));
    conv.run(g.x, x.data(), nullptr, e, workspace.data(), {}, c);
    bands += compare_bands<std::uint8_t>(
        conv, g, x, residual, whole,
        [&](row_range rows, const std::uint8_t* from, const row_layout& x_rows,
            const std::uint8_t* added, std::uint8_t* to, const row_layout& y_rows, void* at) {
          c.residual = added;
          c.y = to;
          conv.run_band(g.x, rows, from, x_rows, nullptr, y_rows, e, at, c);
        });
    // With a residual of floats, between whole images.
    const auto more = random_tensor(y, 4);
    epilogue f{.bias = bias.data(), .residual = more.data()};
    const epilogue_codes to_codes{.y = whole.data(), .y_scale = 0.05f, .y_zero_point = 90};
    conv.run(g.x, x.data(), nullptr, f, workspace.data(), {}, to_codes);
    std::vector<std::uint8_t> made(whole.size());
    const std::size_t pixels = y[2] * y[3];
    for (std::size_t begin = 0, end; begin < y[2]; begin = end) {
      end = std::min(begin + 3, y[2]);
      f.residual = more.data() + begin * y[3];
      epilogue_codes part = to_codes;
      part.y = made.data() + begin * y[3];
      buffer own(conv.band_workspace_bytes(g.x, end - begin));
      conv.run_band(g.x, {begin, end}, x.data(), {0, g.x[2] * g.x[3], x.size()}, nullptr,
                    {begin, pixels, 0}, f, own.data(), part);
    }
    CHECK(made == whole);
    // From floats to floats, where that is a way.
    if (!conv.runs_in_bands(g.x, false)) continue;
    const auto reals = random_tensor(g.x, 1, -3.0f, 3.0f);
    f.residual = more.data();
    const auto truth = run(conv, reals, f);
    bands += compare_bands<float>(
        conv, g, {reals.span().begin(), reals.span().end()},
        {more.span().begin(), more.span().end()}, {truth.span().begin(), truth.span().end()},
        [&](row_range rows, const float* from, const row_layout& x_rows, const float* added,
            float* to, const row_layout& y_rows, void* at) {
          f.residual = added;
          conv.run_band(g.x, rows, from, x_rows, to, y_rows, f, at);
        });
  }
  CHECK(bands > 100);
}

TEST_CASE("short sequences of a batch, side by side, are what each is alone", "[ops]") {
  const geometry sequences[] = {
      {{37, 6, 1, 9}, {20, 6, 1, 3}, {1, 3, 1, 2, 1, 1, 0, 1, 0, 1}},
      {{70, 5, 1, 4}, {33, 5, 1, 1}, {1, 1}},
      {{40, 3, 1, 1}, {50, 3, 1, 3}, {1, 3, 1, 1, 1, 1, 0, 1, 0, 1}},
      {{9, 1, 1, 40}, {7, 1, 1, 16}, {1, 16, 1, 8}},
      {{17, 4, 3, 3}, {6, 2, 3, 3}, {3, 3}, 2},
      {{8, 4, 1, 14}, {12, 2, 1, 3}, {1, 3, 1, 1, 1, 2}, 2},
      {{50, 129, 1, 4}, {140, 129, 1, 3}, {1, 3, 1, 1, 1, 1, 0, 1, 0, 1}},  // worth threads: by
      {{65, 129, 1, 8}, {40, 129, 1, 3}, {1, 3, 1, 1, 1, 1, 0, 1, 0, 1}},   // filters, by pixels
  };
  for (const geometry& g : sequences) {
    CAPTURE(g.x, g.w, g.groups);
    const auto x = random_tensor(g.x, 1), w = random_tensor(g.w, 2);
    const auto bias = random_tensor({g.w[0]}, 3);
    const auto w8 = quantize<int8>(matrix(w), per_channel(0));
    const conv2d real = make(matrix(w), g, compute::real);
    const shape y = real.output_shape(g.x);
    const auto residual = random_tensor(y, 4);
    const epilogue e{.bias = bias.data(), .residual = residual.data(), .act = activation::relu};
    CHECK(distance(run(real, x, e), naive_conv(x, w, g.window, g.groups, e)) < 4e-5);
    for (const conv2d& conv : {real, make(w8, g, compute::integer, block_scale{0.02f, 130})}) {
      const auto all = run(conv, x, e);
      tensor<fp32> one({1, g.x[1], g.x[2], g.x[3]});
      for (std::size_t b = 0; b < g.x[0]; ++b) {
        std::copy_n(x.data() + b * one.elements(), one.elements(), one.data());
        epilogue alone = e;
        alone.residual += b * y.product(1, 4);
        const auto part = run(conv, one, alone);
        CHECK(std::equal(part.span().begin(), part.span().end(), all.data() + b * part.elements()));
      }
      for (const std::size_t threads : {2u, 3u, 7u}) {
        thread_pool pool(threads);
        CHECK(distance(run(conv, x, e, pool), all) == 0.0);
      }
    }
  }
}

TEST_CASE("a window larger than its input is an error", "[ops]") {
  CHECK_THROWS_WITH(window(5, 1, 0).out_height(4), "window: spans 5 of an input of 4");
  CHECK(window(5, 1, 2).out_height(4) == 4);
  CHECK_THROWS_AS(window(0, 1, 0).out_height(4), error);
}

TEST_CASE("a convolution of no channels is its bias", "[ops]") {
  for (const geometry& g :
       {geometry{{2, 0, 1, 1}, {1, 0, 1, 6000}, {1, 6000, 1, 1, 1, 1, 0, 3000, 0, 2999}},
        geometry{{1, 0, 4, 4}, {1, 0, 3, 3}, window(3, 1, 1)}}) {
    const conv2d conv = make(tensor<fp32>({1, 0}), g, compute::real);
    const float bias = 2.5f;
    const tensor<fp32> y = run(conv, tensor<fp32>(g.x), {.bias = &bias});
    for (const float v : y.span()) CHECK(v == bias);
  }
}

TEST_CASE("much padding asks for no more than its image", "[ops]") {
  const geometry g{{1, 2, 1, 1}, {2, 1, 1, 1}, window(1, 1, 500), 2};
  const conv2d conv =
      make(quantize<int8>(random_tensor({2, 1}, 1), per_channel(0)), g, compute::integer);
  CHECK(conv.workspace_bytes(g.x) < (std::size_t{32} << 20));
}

TEST_CASE("codes without a scale or for fp32 weights are errors", "[ops]") {
  const geometry g{{1, 2, 4, 4}, {3, 2, 3, 3}, window(3, 1, 1)};
  const auto w = random_tensor({3, 18}, 1);
  const std::vector<std::uint8_t> codes(32);
  tensor<fp32> y({1, 3, 4, 4});
  std::vector<std::byte> workspace(1 << 20);
  CHECK_THROWS_WITH(
      make(w, g, compute::real).run(g.x, codes.data(), y.data(), {}, workspace.data()),
      Catch::Contains("fp32"));
  CHECK_THROWS_WITH(make(quantize<int8>(w, per_channel(0)), g, compute::integer)
                        .run(g.x, codes.data(), y.data(), {}, workspace.data()),
                    Catch::Contains("without a scale"));
}

TEST_CASE("padding that no image justifies is an error", "[ops]") {
  const geometry g{{1, 1, 2, 2}, {1, 1, 1, 1}, {1, 1, 100000, 100000, 1, 1, 100000, 100000, 0, 0}};
  const auto w = random_tensor({1, 1}, 1);
  CHECK_THROWS_WITH(make(w, g, compute::real).workspace_bytes(g.x),
                    Catch::Contains("padding makes 100002 x"));
}

TEST_CASE("how filters are packed doesn't change integer products", "[ops]") {
  // The last one is too large to be spread out.
  const geometry images[] = {{{2, 8, 15, 17}, {20, 8, 3, 3}, window(3, 1, 1)},
                             {{1, 16, 9, 7}, {33, 16, 3, 3}, window(3, 2, 1)},
                             {{1, 16, 12, 33}, {20, 8, 3, 3}, {3, 3, 1, 1, 1, 1, 0, 2, 1, 0}, 2},
                             {{3, 4, 1, 6}, {5, 4, 1, 3}, {1, 3, 1, 1, 1, 1, 0, 1, 0, 1}},
                             {{1, 64, 4, 500}, {6, 64, 3, 3}, window(3, 1, 1)}};
  thread_pool pool(3);
  for (const geometry& g : images) {
    CAPTURE(g.x, g.w, g.groups);
    const auto x = random_tensor(g.x, 1);
    const auto w = quantize<int8>(matrix(random_tensor(g.w, 2)), per_channel(0));
    for (const auto& fixed :
         {std::optional<block_scale>{}, std::optional(block_scale{0.01f, 77})}) {
      const auto expected = run(make(w, g, compute::integer, fixed, 1), x, {});
      const conv2d conv = make(w, g, compute::integer, fixed);
      CHECK(distance(run(conv, x, {}), expected) == 0.0);
      CHECK(distance(run(conv, x, {}, pool), expected) == 0.0);
    }
  }
}
