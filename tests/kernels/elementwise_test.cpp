#include "kernels/elementwise.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <qtk/core/numeric.hpp>
#include <random>
#include <vector>

using namespace qtk;
using namespace elementwise_tests;

namespace {

/// Floats of all kinds: specials, ties, codes' neighborhoods, random bit patterns.
std::vector<float> samples(std::size_t random_count) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  std::vector<float> x{0.0f,
                       -0.0f,
                       inf,
                       -inf,
                       std::numeric_limits<float>::quiet_NaN(),
                       std::numeric_limits<float>::max(),
                       -std::numeric_limits<float>::max(),
                       std::numeric_limits<float>::denorm_min(),
                       std::numeric_limits<float>::min(),
                       4194304.5f,
                       8388609.0f,
                       2147483648.0f,
                       -2147483904.0f};
  for (int i = -2100; i <= 2100; ++i) x.push_back(static_cast<float>(i) * 0.125f);
  std::mt19937 random(3);
  for (std::size_t i = 0; i < random_count; ++i)
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  for (std::size_t i = 0; i < random_count; ++i)
    x.push_back((static_cast<float>(random() >> 8) * 0x1p-23f - 1.0f) * 300.0f);
  return x;
}

}  // namespace

TEST_CASE("codes equal quantize_code on every ISA, for every float and length", "[kernels]") {
  const auto x = samples(light(300000));
  for (const auto* k : tables())
    for (const float scale : {1.0f, 0.5f, 0.0173f, 3e-5f, 1e30f, 1.2e-38f})
      for (const std::int32_t zero : {0, 1, 127, 128, 255}) {
        CAPTURE(name(k->target), scale, zero);
        std::vector<std::uint8_t> u(x.size());
        std::vector<std::int8_t> s(x.size());
        k->quantize_u8(x.size(), x.data(), scale, zero, u.data());
        k->quantize_s8(x.size(), x.data(), scale, zero - 128, s.data());
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
          wrong += u[i] != quantize_code(x[i], scale, zero, 0, 255);
          wrong += s[i] != quantize_code(x[i], scale, zero - 128, -128, 127);
        }
        CHECK(wrong == 0);
      }
}

TEST_CASE("codes equal quantize_code next to ties, for scales of every size", "[kernels]") {
  std::mt19937 random(7);
  for (std::size_t round = 0; round < light(2000); ++round) {
    // Of all normal numbers whose multiples by 255 are finite.
    const auto exponent = 1 + static_cast<std::uint32_t>(random()) % 245;
    const auto mantissa = static_cast<std::uint32_t>(random()) >> 9;
    const auto scale = std::bit_cast<float>(exponent << 23 | mantissa);
    std::vector<float> x;
    for (int code = -256; code < 256; ++code) {
      const float tie = (static_cast<float>(code) + 0.5f) * scale;
      for (std::uint32_t off = 0; off < 5; ++off)
        x.push_back(std::bit_cast<float>(std::bit_cast<std::uint32_t>(tie) + off - 2));
    }
    for (const auto* k : tables()) {
      CAPTURE(name(k->target), scale);
      std::vector<std::uint8_t> u(x.size());
      std::vector<std::int8_t> s(x.size());
      k->quantize_u8(x.size(), x.data(), scale, 128, u.data());
      k->quantize_s8(x.size(), x.data(), scale, 0, s.data());
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        wrong += u[i] != quantize_code(x[i], scale, 128, 0, 255);
        wrong += s[i] != quantize_code(x[i], scale, 0, -128, 127);
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("dequantized codes are scale * (code - zero_point), rounded once", "[kernels]") {
  for (const auto* k : tables()) {
    std::vector<std::uint8_t> u(256);
    std::vector<std::int8_t> s(256);
    for (std::size_t i = 0; i < 256; ++i)
      u[i] = static_cast<std::uint8_t>(i),
      s[i] = static_cast<std::int8_t>(static_cast<int>(i) - 128);
    std::vector<float> yu(256), ys(256);
    k->dequantize_u8(256, u.data(), 0.0173f, 77, yu.data());
    k->dequantize_s8(256, s.data(), 0.0173f, -5, ys.data());
    for (std::size_t i = 0; i < 256; ++i) {
      CHECK(yu[i] == 0.0173f * (static_cast<float>(i) - 77));
      CHECK(ys[i] == 0.0173f * (static_cast<float>(i) - 128 + 5));
    }
  }
}

TEST_CASE("widening and bf16 equal those of the core", "[kernels]") {
  std::vector<half> h(65536);
  std::vector<bfloat16> b(65536);
  for (unsigned i = 0; i < 65536; ++i) h[i].bits = b[i].bits = static_cast<std::uint16_t>(i);
  const auto x = samples(light(500000));
  for (const auto* k : tables()) {
    CAPTURE(name(k->target));
    std::vector<float> f(65536), g(65536);
    k->f16_to_f32(65536, h.data(), f.data());
    k->bf16_to_f32(65536, b.data(), g.data());
    std::size_t wrong = 0;
    for (unsigned i = 0; i < 65536; ++i) {
      wrong += std::bit_cast<std::uint32_t>(f[i]) != std::bit_cast<std::uint32_t>(to_float(h[i]));
      wrong += std::bit_cast<std::uint32_t>(g[i]) != std::bit_cast<std::uint32_t>(to_float(b[i]));
    }
    CHECK(wrong == 0);
    std::vector<bfloat16> bx(x.size());
    k->f32_to_bf16(x.size(), x.data(), bx.data());
    wrong = 0;
    for (std::size_t i = 0; i < x.size(); ++i) wrong += bx[i] != to_bfloat16(x[i]);
    CHECK(wrong == 0);
  }
}

TEST_CASE("rounding to fp16 equals that of the core", "[kernels][f16]") {
  const auto x = samples(light(500000));
  for (const auto* k : tables()) {
    CAPTURE(name(k->target));
    std::vector<half> y(x.size());
    k->f32_to_f16(x.size(), x.data(), y.data());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < x.size(); ++i) wrong += y[i] != to_half(x[i]);
    CHECK(wrong == 0);
  }
}

TEST_CASE("every length works on buffers of exactly that length", "[kernels]") {
  for (const auto* k : tables())
    for (std::size_t n = 0; n < 70; ++n) {
      exact<float> a(n), b(n), y(n);
      for (std::size_t i = 0; i < n; ++i)
        a[i] = static_cast<float>(i) - 20.0f, b[i] = 0.5f * static_cast<float>(i) + 1.0f;
      const auto check = [&](binary_op op, auto&& f) {
        k->binary[static_cast<std::size_t>(op)](n, a.data(), b.data(), y.data());
        for (std::size_t i = 0; i < n; ++i) CHECK(y[i] == f(a[i], b[i]));
        k->binary_scalar[static_cast<std::size_t>(op)](n, a.data(), 3.0f, y.data());
        for (std::size_t i = 0; i < n; ++i) CHECK(y[i] == f(a[i], 3.0f));
      };
      check(binary_op::add, [](float p, float q) { return p + q; });
      check(binary_op::divide, [](float p, float q) { return p / q; });
      check(binary_op::maximum, [](float p, float q) { return std::fmax(p, q); });
      const epilogue e{.residual = b.data(), .act = activation::clip, .lo = -3.0f, .hi = 5.0f};
      k->activate(n, a.data(), e, y.data());
      for (std::size_t i = 0; i < n; ++i) CHECK(y[i] == activate(e, a[i] + b[i]));
      float lo = 9, hi = 9;
      k->minmax(n, a.data(), &lo, &hi);
      CHECK(lo == (n == 0 ? 0.0f : -20.0f));
      CHECK(hi == (n == 0 ? 0.0f : static_cast<float>(n) - 21.0f));
      exact<std::uint8_t> codes(n);
      k->quantize_u8(n, a.data(), 0.5f, 40, codes.data());
      k->dequantize_u8(n, codes.data(), 0.5f, 40, y.data());
      for (std::size_t i = 0; i < n; ++i) CHECK(y[i] == std::max(a[i], -20.0f));
      double squares = 0.0;
      const double s = k->sum(n, a.data(), &squares);
      double expected = 0.0, expected_squares = 0.0;
      for (std::size_t i = 0; i < n; ++i) expected += a[i], expected_squares += a[i] * a[i];
      CHECK(s == expected);
      CHECK(squares == expected_squares);
    }
}

TEST_CASE("minmax ignores NaN", "[kernels]") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  for (const auto* k : tables()) {
    std::vector<float> x(100, nan);
    float lo = 9, hi = 9;
    k->minmax(x.size(), x.data(), &lo, &hi);
    CHECK((lo == 0 && hi == 0));
    x[50] = -2;
    x[99] = 3;
    k->minmax(x.size(), x.data(), &lo, &hi);
    CHECK((lo == -2 && hi == 3));
  }
}
