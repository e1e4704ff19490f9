#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "kernels/elementwise.hpp"

using namespace qtk;
using namespace elementwise_tests;

namespace {

struct function {
  unary_op op;
  const char* name;
  double (*exact)(double);
  double bound;  // ulp
  /// Where x is below `least`, the error is absolute instead: at most `absolute` * max(1, |x|).
  float least;
  double absolute;
};

constexpr float all = -std::numeric_limits<float>::infinity();
const function functions[] = {
    {unary_op::exp, "exp", [](double v) { return std::exp(v); }, 2.0, all, 0.0},
    {unary_op::tanh, "tanh", [](double v) { return std::tanh(v); }, 4.0, all, 0.0},
    {unary_op::sigmoid, "sigmoid", [](double v) { return 1.0 / (1.0 + std::exp(-v)); }, 4.0,
     -87.33f, 1.2e-38},
    {unary_op::erf, "erf", [](double v) { return std::erf(v); }, 4.0, all, 0.0},
    {unary_op::silu, "silu", [](double v) { return v / (1.0 + std::exp(-v)); }, 4.0, -87.33f,
     1.2e-38},
    {unary_op::gelu, "gelu", [](double v) { return 0.5 * v * std::erfc(-v / std::sqrt(2.0)); }, 4.0,
     -0.0f, 2e-7},
    {unary_op::sqrt, "sqrt", [](double v) { return std::sqrt(v); }, 0.5, all, 0.0},
};

struct worst {
  double ulp = 0.0, absolute = 0.0;
  float at = 0.0f;
};

/// Over all exponents and both signs: `dense` floats in each binade from 2^-6 to 2^7, where the
/// functions do what they do, 1/16 of that in the others; evenly spaced, with a random offset.
worst sweep(const elementwise_kernels& k, const function& f, std::uint32_t dense) {
  worst w;
  std::mt19937 random(5);
  std::vector<float> x(dense), y(dense);
  for (std::uint32_t exponent = 0; exponent < 255; ++exponent)
    for (const std::uint32_t sign : {0u, 0x80000000u}) {
      const std::uint32_t count = exponent >= 121 && exponent < 134 ? dense : dense / 16 + 1;
      const std::uint32_t spacing = (1u << 23) / count;
      const auto offset = [&] { return static_cast<std::uint32_t>(random()) % spacing; };
      for (std::uint32_t i = 0; i < count; ++i)
        x[i] = std::bit_cast<float>(sign | (exponent << 23) | (i * spacing + offset()));
      k.unary[static_cast<std::size_t>(f.op)](count, x.data(), y.data());
      for (std::uint32_t i = 0; i < count; ++i) {
        const double v = static_cast<double>(x[i]), exact_value = f.exact(v);
        if (x[i] < f.least) {
          const double off = std::fabs(static_cast<double>(y[i]) - exact_value);
          w.absolute = std::max(w.absolute, off / std::max(1.0, std::fabs(v)));
        } else if (const double off = ulps(y[i], exact_value); !(off <= w.ulp)) {
          w.ulp = off, w.at = x[i];
        }
      }
    }
  return w;
}

}  // namespace

TEST_CASE("functions keep their bounds over all exponents", "[kernels]") {
  const auto dense = static_cast<std::uint32_t>(light(20000));
  for (const auto* k : tables())
    for (const function& f : functions) {
      const worst w = sweep(*k, f, dense);
      CAPTURE(name(k->target), f.name, w.at);
      CHECK(w.ulp <= f.bound);
      CHECK(w.absolute <= f.absolute);
    }
}

// Prints the numbers of kernels/math_body.inl: test_kernels "[measure]" -s. Minutes.
TEST_CASE("every second float from 2^-6 to 2^7", "[.measure]") {
  for (const auto* k : tables())
    for (const function& f : functions) {
      const worst w = sweep(*k, f, 1u << 22);
      CAPTURE(name(k->target), f.name, w.at, w.absolute);
      CHECK(w.ulp <= f.bound);
    }
}

TEST_CASE("infinities and NaN have their limits", "[kernels]") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const float x[] = {inf, -inf, std::numeric_limits<float>::quiet_NaN(), 0.0f, 1000.0f, -1000.0f};
  for (const auto* k : tables()) {
    CAPTURE(name(k->target));
    float y[6];
    const auto run = [&](unary_op op) { k->unary[static_cast<std::size_t>(op)](6, x, y); };
    run(unary_op::exp);
    CHECK((y[0] == inf && y[1] == 0 && std::isnan(y[2]) && y[3] == 1 && y[4] == inf && y[5] == 0));
    run(unary_op::tanh);
    CHECK((y[0] == 1 && y[1] == -1 && std::isnan(y[2]) && y[3] == 0 && y[4] == 1 && y[5] == -1));
    run(unary_op::sigmoid);
    CHECK((y[0] == 1 && y[1] == 0 && std::isnan(y[2]) && y[3] == 0.5f && y[4] == 1 && y[5] == 0));
    run(unary_op::erf);
    CHECK((y[0] == 1 && y[1] == -1 && std::isnan(y[2]) && y[3] == 0));
    run(unary_op::relu);
    CHECK((y[0] == inf && y[1] == 0 && std::isnan(y[2])));
  }
}
