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
  std::size_t C, O, height, width;
  std::size_t pad_top = 1, pad_left = 1, pad_bottom = 1, pad_right = 1;

  std::size_t out_height() const { return height + pad_top + pad_bottom - 2; }
  std::size_t out_width() const { return width + pad_left + pad_right - 2; }
  std::size_t pixels() const { return out_height() * out_width(); }
  std::size_t tiles() const { return ceil_div(out_height(), 2) * ceil_div(out_width(), 2); }
};

/// A matrix of 4 x 4 or 3 x 3 in its upper left corner.
using matrix = std::array<std::array<double, 4>, 4>;

constexpr matrix Bt{{{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}}};
constexpr matrix At{{{1, 1, 1, 0}, {0, 1, -1, -1}}};
constexpr matrix G{{{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}}};

/// T x T^t.
matrix around(const matrix& t, const matrix& x) {
  matrix out{};
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 4; ++j)
      for (std::size_t a = 0; a < 4; ++a)
        for (std::size_t b = 0; b < 4; ++b) out[i][j] += t[i][a] * x[a][b] * t[j][b];
  return out;
}
matrix absolute(matrix m) {
  for (auto& row : m)
    for (double& x : row) x = std::abs(x);
  return m;
}

struct problem {
  geometry g;
  exact<float> image, filters, bias, residual;
  epilogue out;

  problem(const geometry& shape, unsigned seed)
      : g(shape),
        image(g.C * g.height * g.width),
        filters(g.O * g.C * 9),
        bias(g.O),
        residual(g.O * g.pixels()) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> pick(-1.0f, 1.0f);
    for (const exact<float>* x : {&image, &filters, &bias, &residual})
      for (float& v : *x) v = pick(random);
    out = {.bias = seed % 2 == 0 ? bias.data() : nullptr,
           .residual = seed % 3 == 0 ? residual.data() : nullptr,
           .act = static_cast<activation>(seed % 4),
           .lo = -0.5f,
           .hi = 1.5f};
  }

  /// In calls of `share` tiles, and of one tile of filters or all.
  exact<float> run(const winograd_kernel& kernel, std::size_t share, bool all = true) const {
    guarded packed(kernel.packed_bytes(g.O, g.C));
    kernel.pack(g.O, g.C, filters.data(), packed.data());
    exact<float> y(g.O * g.pixels());
    const std::size_t each = all ? g.O : kernel.mr;
    for (std::size_t o = 0; o < g.O; o += each)
      for (std::size_t begin = 0; begin < g.tiles(); begin += share) {
        guarded workspace(kernel.workspace_bytes(g.O, g.C, g.out_height(), g.out_width()));
        kernel.run({.tile_begin = begin,
                    .tile_end = std::min(g.tiles(), begin + share),
                    .filter_begin = o / each,
                    .filter_end = all ? ~std::size_t{0} : o / each + 1,
                    .image = image.data(),
                    .height = g.height,
                    .width = g.width,
                    .pad_top = g.pad_top,
                    .pad_left = g.pad_left,
                    .image_stride = g.height * g.width,
                    .filters = packed.data(),
                    .y = y.data(),
                    .out_height = g.out_height(),
                    .out_width = g.out_width(),
                    .y_stride = g.pixels(),
                    .out = out,
                    .workspace = workspace.data()});
        CHECK(workspace.intact());
      }
    CHECK(packed.intact());
    return y;
  }

  double pixel(std::size_t c, std::size_t row, std::size_t column) const {
    const std::size_t h = row - g.pad_top, w = column - g.pad_left;  // wrap in padding
    return h < g.height && w < g.width ? double{image[(c * g.height + h) * g.width + w]} : 0.0;
  }

  /// How many elements of y are further from the sum of products than winograd_types.hpp says.
  std::size_t wrong(const exact<float>& y) const {
    std::size_t count = 0;
    for (std::size_t o = 0; o < g.O; ++o)
      for (std::size_t row = 0; row < g.out_height(); row += 2)
        for (std::size_t column = 0; column < g.out_width(); column += 2) {
          matrix sums{}, magnitudes{};
          for (std::size_t c = 0; c < g.C; ++c) {
            matrix d{}, w{};
            for (std::size_t i = 0; i < 4; ++i)
              for (std::size_t j = 0; j < 4; ++j) d[i][j] = pixel(c, row + i, column + j);
            for (std::size_t i = 0; i < 3; ++i)
              for (std::size_t j = 0; j < 3; ++j)
                w[i][j] = double{filters[((o * g.C + c) * 3 + i) * 3 + j]};
            const matrix u = absolute(around(G, w)), v = around(absolute(Bt), absolute(d));
            for (std::size_t i = 0; i < 4; ++i)
              for (std::size_t j = 0; j < 4; ++j) magnitudes[i][j] += u[i][j] * v[i][j];
            for (std::size_t i = 0; i < 2; ++i)
              for (std::size_t j = 0; j < 2; ++j)
                for (std::size_t k = 0; k < 9; ++k)
                  sums[i][j] += w[k / 3][k % 3] * d[i + k / 3][j + k % 3];
          }
          const matrix bounds = around(absolute(At), magnitudes);
          for (std::size_t i = 0; i < 2; ++i)
            for (std::size_t j = 0; j < 2; ++j) {
              if (row + i >= g.out_height() || column + j >= g.out_width()) continue;
              const std::size_t at = (o * g.out_height() + row + i) * g.out_width() + column + j;
              reference::element e;
              e.value = sums[i][j], e.magnitude = bounds[i][j];
              if (out.bias != nullptr) e.add(double{bias[o]});
              if (out.residual != nullptr) e.add(double{residual[at]});
              e = reference::activated(e, out);
              const double bound = (static_cast<double>(g.C) + 16) * 0x1p-24 * e.magnitude;
              if (!(std::abs(double{y[at]} - e.value) <= bound)) ++count;
            }
        }
    return count;
  }
};

const geometry shapes[] = {
    {1, 1, 1, 1},
    {3, 5, 7, 9},
    {16, 16, 32, 32},
    {8, 13, 16, 16},
    {9, 12, 8, 8},
    {5, 25, 7, 7},
    {2, 3, 3, 40},
    {4, 7, 33, 5},
    {2, 2, 14, 14},
    {3, 4, 28, 31},
    {1, 1, 6, 70},
    {2, 6, 12, 13, 0, 0, 0, 0},
    {2, 6, 3, 3, 0, 0, 0, 0},
    {2, 6, 9, 8, 2, 0, 1, 3},
    {2, 6, 4, 5, 3, 5, 4, 2},
    {0, 3, 4, 4},
};

}  // namespace

TEST_CASE("Winograd's convolutions agree with the reference", "[winograd]") {
  unsigned seed = 0;
  for (const geometry& g : shapes)
    for (int repeat = 0; repeat < 3; ++repeat) {
      const problem p(g, seed++);
      for (const isa target : isas_under_test()) {
        const winograd_kernel& kernel = find_winograd(target);
        INFO(kernel.name << " on " << name(target) << ", " << g.C << " to " << g.O
                         << " channels of " << g.height << " x " << g.width);
        const exact<float> y = p.run(kernel, g.tiles());
        CHECK(p.wrong(y) == 0);
        for (const std::size_t share : {kernel.nr, 3 * kernel.nr})
          CHECK(same_bits(p.run(kernel, share), y));
        CHECK(same_bits(p.run(kernel, g.tiles(), false), y));
      }
    }
}
