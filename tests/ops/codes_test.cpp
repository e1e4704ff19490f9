#include <qtk/core/thread_pool.hpp>
#include <qtk/ops/conv.hpp>
#include <qtk/ops/pool.hpp>
#include <qtk/quantize.hpp>

#include "naive.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qtk;
using qtk_test::distance;
using qtk_test::random_tensor;

namespace {

std::vector<std::uint8_t> codes_of_reals(const tensor<fp32>& x, const block_scale& s) {
  std::vector<std::uint8_t> out;
  for (const float v : x.span())
    out.push_back(static_cast<std::uint8_t>(quantize_code(v, s.scale, s.zero_point, 0, 255)));
  return out;
}
tensor<fp32> reals_of_codes(const std::vector<std::uint8_t>& codes, const shape& s,
                            const block_scale& b) {
  tensor<fp32> out(s);
  for (std::size_t i = 0; i < codes.size(); ++i)
    out.data()[i] = b.scale * static_cast<float>(static_cast<int>(codes[i]) - b.zero_point);
  return out;
}

const block_scale x_scales[] = {{0.01f, 128}, {0.004f, 0}, {0.007f, 255}};
const block_scale y_scales[] = {{0.02f, 0}, {0.05f, 140}, {1e-3f, 255}};
constexpr block_scale residual_scale{0.013f, 90};

/// Whether a layer gives the same, bit by bit, from codes and to codes as from and to floats.
/// run(x, y, epilogue, executor, codes); residuals come as codes, as floats, or not at all.
template <class Run>
void check_layer(const shape& xs, const shape& ys, std::size_t channels, const block_scale& of_x,
                 const block_scale& of_y, const Run& run) {
  const auto x_codes = codes_of_reals(random_tensor(xs, 1, -2.0f, 2.0f), of_x);
  const tensor<fp32> x = reals_of_codes(x_codes, xs, of_x), bias = random_tensor({channels}, 3);
  const auto residual_codes = codes_of_reals(random_tensor(ys, 4), residual_scale);
  const tensor<fp32> residual = reals_of_codes(residual_codes, ys, residual_scale);
  for (const activation act : {activation::none, activation::relu, activation::leaky_relu})
    for (const int residuals : {0, 1, 2}) {
      CAPTURE(xs, ys, of_x.scale, of_y.scale, residuals);
      epilogue e{
          .bias = bias.data(), .residual = residuals != 0 ? residual.data() : nullptr, .act = act};
      tensor<fp32> expected(ys);
      run(layer_input(x.data()), expected.data(), e, executor_ref{}, epilogue_codes{});
      epilogue_codes codes{.residual_scale = residual_scale.scale,
                           .residual_zero_point = residual_scale.zero_point};
      if (residuals == 2) {
        e.residual = nullptr;
        codes.residual = residual_codes.data();
      }
      for (const std::size_t threads : {1u, 2u, 3u}) {
        thread_pool pool(threads);
        tensor<fp32> y(ys);
        run(layer_input(x_codes.data()), y.data(), e, pool, codes);
        CHECK(distance(y, expected) == 0.0);
        std::vector<std::uint8_t> out = residual_codes;  // in place, where it is the residual
        epilogue_codes to = codes;
        if (residuals == 2) to.residual = out.data();
        to.y = out.data();
        to.y_scale = of_y.scale;
        to.y_zero_point = of_y.zero_point;
        run(layer_input(x_codes.data()), nullptr, e, pool, to);
        CHECK(out == codes_of_reals(expected, of_y));
        run(layer_input(x.data()), nullptr, e, pool,
            {.y = out.data(), .y_scale = of_y.scale, .y_zero_point = of_y.zero_point});
        if (residuals != 2) CHECK(out == codes_of_reals(expected, of_y));
      }
    }
}

}  // namespace

TEST_CASE("conv2d reads, adds and writes codes as it does floats", "[ops]") {
  struct geometry {
    shape x, w;  // (batch, C, H, W), (O, C / groups, kh, kw)
    window_2d window;
    std::size_t groups = 1;
  };
  const geometry cases[] = {
      {{2, 3, 8, 8}, {16, 3, 3, 3}, {3, 3, 1, 1, 1, 1, 1, 1, 1, 1}},
      {{1, 16, 9, 7}, {33, 16, 3, 3}, {3, 3, 2, 2, 1, 1, 1, 1, 1, 1}},
      {{3, 8, 6, 6}, {5, 8, 1, 1}, {1, 1}},
      {{2, 5, 7, 7}, {19, 5, 1, 1}, {1, 1, 2, 1}},
      {{1, 8, 5, 5}, {12, 4, 3, 3}, {3, 3, 2, 2, 1, 1, 1, 1, 1, 1}, 2},
      {{2, 4, 31, 33}, {7, 4, 3, 5}, {3, 5, 1, 1, 2, 1, 0, 3, 1, 2}},
      {{1, 64, 17, 90}, {3, 64, 3, 3}, {3, 3, 1, 2, 1, 1, 2, 1, 1, 1}},
      {{2, 6, 7, 7}, {6, 1, 3, 3}, {3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, 6},
      {{1, 130, 8, 8}, {130, 1, 5, 5}, {5, 5, 1, 1, 1, 1, 2, 2, 2, 2}, 130},
  };
  for (const geometry& g : cases)
    for (const granularity& weights : {per_channel(0), per_tensor()})
      for (std::size_t s = 0; s < 3; ++s) {
        tensor<fp32> matrix = random_tensor(g.w, 2);
        matrix.reshape({g.w[0], g.w.product(1, 4)});
        std::vector<packed_filters> groups;
        const std::size_t rows = g.w[0] / g.groups;
        for (std::size_t i = 0; i < g.groups; ++i) {
          tensor<fp32> part({rows, matrix.cols()});
          std::copy_n(matrix.data() + i * part.elements(), part.elements(), part.data());
          groups.emplace_back(quantize<int8>(part, weights), compute::integer, active_isa(),
                              g.window.kernel_h * g.window.kernel_w);
        }
        const conv2d conv(std::make_shared<const std::vector<packed_filters>>(std::move(groups)),
                          g.window, x_scales[s]);
        const shape y = conv.output_shape(g.x);
        check_layer(g.x, y, g.w[0], x_scales[s], y_scales[s],
                    [&](layer_input x, float* to, const epilogue& e, executor_ref executor,
                        const epilogue_codes& codes) {
                      const buffer workspace(conv.workspace_bytes(g.x, executor.concurrency()));
                      conv.run(g.x, x, to, e, const_cast<std::byte*>(workspace.data()), executor,
                               codes);
                    });
      }
}

TEST_CASE("in units of the scale of y codes differ by one at most, and seldom", "[ops]") {
  const shape xs{4, 16, 32, 32};
  const block_scale of_x{0.013f, 11}, of_y{0.0377f, 3};
  const auto x = codes_of_reals(random_tensor(xs, 1, -0.2f, 3.0f), of_x);
  const tensor<fp32> bias = random_tensor({16}, 3);
  const auto filters = std::make_shared<const std::vector<packed_filters>>(
      1, packed_filters(quantize<int8>(random_tensor({16, 144}, 2, -0.1f, 0.1f), per_channel(0)),
                        compute::integer, active_isa(), 9));
  const window_2d window{3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
  const auto codes = [&](float unit) {
    const conv2d conv(filters, window, block_scale{of_x.scale / unit, of_x.zero_point});
    tensor<fp32> b = bias;
    for (float& v : b.span()) v /= unit;
    std::vector<std::uint8_t> y(conv.output_shape(xs).elements());
    const buffer workspace(conv.workspace_bytes(xs));
    conv.run(xs, x.data(), nullptr, {.bias = b.data(), .act = activation::relu},
             const_cast<std::byte*>(workspace.data()), {},
             {.y = y.data(), .y_scale = of_y.scale / unit, .y_zero_point = of_y.zero_point});
    return y;
  };
  const auto by_division = codes(1.0f), in_units = codes(of_y.scale);
  std::size_t differ = 0;
  int most = 0;
  for (std::size_t i = 0; i < in_units.size(); ++i) {
    differ += in_units[i] != by_division[i];
    most = std::max(most, std::abs(in_units[i] - by_division[i]));
  }
  CHECK(most <= 1);
  CHECK(differ <= in_units.size() / 10000);
}

TEST_CASE("linear reads, adds and writes codes as it does floats", "[ops]") {
  for (const auto& [M, N, K] : {std::tuple{1u, 10u, 42u}, {7u, 33u, 65u}, {40u, 64u, 128u}})
    for (std::size_t s = 0; s < 3; ++s) {
      const linear layer(quantize<int8>(random_tensor({N, K}, 2), per_channel(0)));
      check_layer({M, K}, {M, N}, N, x_scales[s], y_scales[s],
                  [&, M = M, N = N, K = K](layer_input x, float* to, const epilogue& e,
                                           executor_ref executor, const epilogue_codes& codes) {
                    const buffer workspace(layer.workspace_bytes(M, executor.concurrency(), true));
                    layer.run(M, x, K, to, N, e, const_cast<std::byte*>(workspace.data()), executor,
                              x_scales[s], codes);
                  });
    }
}

TEST_CASE("the maximum of codes is the code of the maximum", "[ops]") {
  const window_2d windows[] = {
      {2, 2, 2, 2}, {3, 3, 2, 2, 1, 1, 1, 1, 1, 1}, {3, 2, 1, 3, 1, 1, 0, 1}};
  const block_scale s{0.01f, 130};
  for (const window_2d& w : windows) {
    const auto x = random_tensor({6, 9, 11}, 1, -2.0f, 2.0f);
    const std::size_t oh = w.out_height(9), ow = w.out_width(11);
    tensor<fp32> y({6, oh, ow});
    pool_2d(pool_kind::max, w, 6, 9, 11, oh, ow, x.data(), y.data());
    std::vector<std::uint8_t> codes(y.elements());
    max_pool_2d(w, 6, 9, 11, oh, ow, codes_of_reals(x, s).data(), codes.data());
    CHECK(codes == codes_of_reals(y, s));
  }
}
