#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <qtk/core/thread_pool.hpp>
#include <qtk/quantize.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qtk;
using qtk_test::random_tensor;

namespace {

template <class F>
std::vector<int> codes_list(const tensor<F>& t) {
  std::vector<int> out;
  for (std::size_t r = 0; r < t.rows(); ++r)
    for (std::size_t c = 0; c < t.cols(); ++c) out.push_back(t.at(r, c));
  return out;
}

/// Which scale an element uses, in words of the granularity, without blocks or grids.
std::vector<std::size_t> scale_key(const granularity& g, const shape& s, std::size_t flat) {
  std::vector<std::size_t> index(s.rank());
  for (std::size_t d = s.rank(), rest = flat; d-- > 0; rest /= s[d]) index[d] = rest % s[d];
  if (g.what == granularity::kind::tensor) return {};
  if (g.what == granularity::kind::channel) return {index[s.axis(g.axis)]};
  index.back() /= std::min(g.group_size, s.back());
  return index;
}

/// The formulas of ONNX QuantizeLinear with std::nearbyint, element by element.
template <class F>
void check_against_naive(const tensor<fp32>& x, const granularity& g, symmetry how) {
  const tensor<F> q = quantize<F>(x, g, how);
  const tensor<fp32> back = dequantize(q);
  const std::size_t n = x.elements();
  std::map<std::vector<std::size_t>, std::pair<float, float>> ranges;
  for (std::size_t i = 0; i < n; ++i) {
    auto& [lo, hi] = ranges[scale_key(g, x.shape(), i)];
    lo = std::min(lo, x.data()[i]);
    hi = std::max(hi, x.data()[i]);
  }
  REQUIRE(q.quantization().scales.size() == ranges.size());
  // Keys sort like the row-major grid of scales.
  std::size_t k = 0;
  for (const auto& [key, range] : ranges) {
    const auto [lo, hi] = range;
    const int middle = F::code_min < 0 ? 0 : (F::code_max + 1) / 2;
    float scale = how == symmetry::symmetric
                      ? std::max(-lo, hi) / static_cast<float>(F::code_max - middle)
                      : (hi - lo) / static_cast<float>(F::code_max - F::code_min);
    if (lo == hi) scale = 1.0f;
    const int zero = how == symmetry::symmetric
                         ? middle
                         : F::code_min + static_cast<int>(std::nearbyint(-lo / scale));
    REQUIRE(q.quantization().scales[k] == scale);
    REQUIRE(q.quantization().zero_point(k) == zero);
    for (std::size_t i = 0; i < n; ++i) {
      if (scale_key(g, x.shape(), i) != key) continue;
      const int code = std::clamp(static_cast<int>(std::nearbyint(x.data()[i] / scale)) + zero,
                                  static_cast<int>(F::code_min), static_cast<int>(F::code_max));
      REQUIRE(q.at(i / x.cols(), i % x.cols()) == code);
      REQUIRE(back.data()[i] == scale * static_cast<float>(code - zero));
      // A zero point of the middle of two codes costs another half step at the ends.
      const float bound = how == symmetry::symmetric ? 0.5f * scale : scale;
      REQUIRE(std::fabs(back.data()[i] - x.data()[i]) <= bound * (1.0f + 1e-5f));
    }
    ++k;
  }
}

template <class F>
std::uint64_t fnv1a(const tensor<F>& t) {
  std::uint64_t hash = 14695981039346656037u;
  const auto add = [&](const void* data, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i)
      hash = (hash ^ static_cast<const std::uint8_t*>(data)[i]) * 1099511628211u;
  };
  add(t.data(), t.span().size_bytes());
  add(t.quantization().scales.data(), t.quantization().scales.size() * sizeof(float));
  add(t.quantization().zero_points.data(),
      t.quantization().zero_points.size() * sizeof(std::int32_t));
  return hash;
}

/// Magnitudes from 2^-7 to 2^8 in one tensor; exact products, so no compiler can change the input.
tensor<fp32> rough_tensor(const shape& s, std::uint32_t seed) {
  auto x = random_tensor(s, seed);
  for (std::size_t i = 0; i < x.elements(); ++i)
    x.data()[i] *= std::ldexp(1.0f, static_cast<int>(i * 7 % 16) - 7);
  return x;
}

}  // namespace

TEST_CASE("int8 codes: ties to even, extremes, zeros", "[quantize]") {
  const tensor<fp32> x({2, 8}, {127.0f, -127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f,  //
                                0.0f, -0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f});
  const auto q = quantize<int8>(x, per_channel(0));
  CHECK(q.quantization().scales == std::vector<float>{1.0f, 1.0f});
  CHECK(q.quantization().symmetric());
  CHECK(codes_list(q) == std::vector<int>{127, -127, 0, 2, 2, 0, -2, -2, 0, 0, 0, 0, 0, 0, 0, 0});
}

TEST_CASE("int4 codes: two in a byte, odd columns end in a zero nibble", "[quantize]") {
  const tensor<fp32> x({2, 5}, {7.0f, -7.0f, 0.5f, 1.5f, -3.4f, 1.0f, 2.0f, 14.0f, -14.0f, 5.0f});
  const auto q = quantize<int4>(x, per_channel(0));
  CHECK(q.quantization().scales == std::vector<float>{1.0f, 2.0f});
  CHECK(codes_list(q) == std::vector<int>{7, -7, 0, 2, -3, 0, 1, 7, -7, 2});
  const std::vector<int> bytes{0x97, 0x20, 0x0d, 0x10, 0x97, 0x02};
  REQUIRE(q.span().size() == bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) CHECK(q.data()[i] == bytes[i]);
}

TEST_CASE("uint4 fills its codes", "[quantize]") {
  const tensor<fp32> x({1, 5}, {-5.0f, 10.0f, 0.0f, 0.5f, 1.5f});
  const auto q = quantize<uint4>(x, per_tensor());
  CHECK(q.quantization().zero_points == std::vector<std::int32_t>{5});
  CHECK(codes_list(q) == std::vector<int>{0, 15, 5, 5, 7});
}

TEST_CASE("ONNX DynamicQuantizeLinear's own examples", "[quantize]") {
  const auto check = [](std::initializer_list<float> values, float scale, std::int32_t zero_point,
                        const std::vector<int>& codes) {
    const auto q = quantize<uint8>(tensor<fp32>({values.size()}, values), per_tensor());
    CHECK(q.quantization().scales.at(0) == Approx(scale).epsilon(1e-7));
    CHECK(q.quantization().zero_point(0) == zero_point);
    CHECK(codes_list(q) == codes);
  };
  check({0.0f, 2.0f, -3.0f, -2.5f, 1.34f, 0.5f}, 0.0196078438f, 153, {153, 255, 0, 26, 221, 179});
  check({-1.0f, -2.1f, -1.3f, -2.5f, -3.34f, -4.0f}, 0.0156862754f, 255,
        {191, 121, 172, 96, 42, 0});
  check({1.0f, 2.1f, 1.3f, 2.5f, 3.34f, 4.0f, 1.5f, 2.6f, 3.9f, 4.0f, 3.0f, 2.345f}, 0.0156862754f,
        0, {64, 134, 83, 159, 213, 255, 96, 166, 249, 255, 191, 149});
}

TEST_CASE("given ranges saturate, and NaN and infinities are errors", "[quantize]") {
  const tensor<fp32> x({1, 6}, {1e30f, -1e30f, 127.4f, 127.6f, -128.6f, 3e38f});
  const quantization q{.block = {1, 6}, .scales = {1.0f}, .zero_points = {}};
  CHECK(codes_list(quantize<int8>(x, q)) == std::vector<int>{127, -128, 127, 127, -128, 127});
  CHECK(codes_list(quantize<int4>(x, q)) == std::vector<int>{7, -8, 7, 7, -8, 7});
  CHECK(codes_list(quantize<uint8>(x, q)) == std::vector<int>{255, 0, 127, 128, 0, 255});
  CHECK(codes_list(quantize<uint4>(x, q)) == std::vector<int>{15, 0, 15, 15, 0, 15});
}

TEMPLATE_TEST_CASE("NaN and infinities are named by row and column", "[quantize]", int8, uint8,
                   int4, uint4) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    auto x = random_tensor({4, 40}, 1);
    const quantization q = choose_quantization<TestType>(x, per_group(8));
    x.view().set(2, 37, bad);
    for (const granularity& g : {per_tensor(), per_channel(0), per_channel(1), per_group(16)}) {
      thread_pool pool(3);
      CHECK_THROWS_WITH(quantize<TestType>(x, g), Catch::Contains("row 2, column 37 of [4, 40]"));
      CHECK_THROWS_WITH(quantize<TestType>(x, g, symmetry::asymmetric, pool),
                        Catch::Contains("row 2, column 37 of [4, 40]"));
    }
    CHECK_THROWS_WITH(quantize<TestType>(x, q), Catch::Contains("row 2, column 37"));
    CHECK_THROWS_WITH(quantize<fp16>(x), Catch::Contains("row 2, column 37"));
    CHECK_THROWS_WITH(quantize<bf16>(x), Catch::Contains("row 2, column 37"));
  }
}

TEMPLATE_TEST_CASE("every granularity against formulas written out", "[quantize]", int8, uint8,
                   int4, uint4) {
  const auto how = GENERATE(symmetry::symmetric, symmetry::asymmetric);
  for (const shape& s : {shape{}, shape{1}, shape{13}, shape{1, 1}, shape{3, 5}, shape{4, 32},
                         shape{2, 33}, shape{6, 3, 5}, shape{5, 3, 3, 2}, shape{1, 4, 7}}) {
    const auto x = rough_tensor(s, 11);
    CAPTURE(to_string(s));
    check_against_naive<TestType>(x, per_tensor(), how);
    for (std::size_t axis = 0; axis < s.rank(); ++axis)
      check_against_naive<TestType>(x, per_channel(static_cast<std::ptrdiff_t>(axis)), how);
    if (s.rank() == 0) continue;
    check_against_naive<TestType>(x, per_channel(-1), how);
    check_against_naive<TestType>(x, per_token(), how);
    for (const std::size_t group : {1u, 2u, 3u, 8u, 32u, 1000u})
      check_against_naive<TestType>(x, per_group(group), how);
  }
}

TEMPLATE_TEST_CASE("one-sided, denormal and huge values survive the round trip", "[quantize]", int8,
                   uint8, int4, uint4) {
  for (const float magnitude : {1e-45f, 1e-40f, 1e-38f, 1e-30f, 1e30f, 1.5e38f})
    for (const float sign : {1.0f, -1.0f}) {
      auto x = random_tensor({3, 17}, 8, 0.0f, 1.0f);
      for (float& v : x.span()) v *= sign * magnitude;
      const auto q = quantize<TestType>(x, per_channel(0));
      const auto back = dequantize(q);
      for (std::size_t r = 0; r < 3; ++r)
        for (std::size_t c = 0; c < 17; ++c)
          REQUIRE(std::fabs(back.at(r, c) - x.at(r, c)) <= 0.50001f * q.quantization().scales[r]);
    }
}

TEST_CASE("uint8 covers one-sided data with twice the steps of int8", "[quantize]") {
  const auto x = random_tensor({16, 256}, 9, 0.0f, 1.0f);
  const double s = compare(x, dequantize(quantize<int8>(x, per_token()))).sqnr_db;
  const double a = compare(x, dequantize(quantize<uint8>(x, per_token()))).sqnr_db;
  CHECK(a - s == Approx(6.0).margin(0.3));
}

TEST_CASE("the same bytes on every compiler, CPU and optimization level", "[quantize]") {
  const auto x = rough_tensor({37, 101}, 2024);
  CHECK(fnv1a(quantize<int8>(x, per_tensor())) == 0x13e70c577f97755fu);
  CHECK(fnv1a(quantize<int8>(x, per_channel(0))) == 0xc68645a7b844776eu);
  CHECK(fnv1a(quantize<int8>(x, per_channel(1), symmetry::asymmetric)) == 0x3a86889e2add1b19u);
  CHECK(fnv1a(quantize<uint8>(x, per_token())) == 0x82bec3c61bd1440fu);
  CHECK(fnv1a(quantize<int4>(x, per_group(32))) == 0xb10dd454f0c473b1u);
  CHECK(fnv1a(quantize<int4>(x, per_group(7), symmetry::asymmetric)) == 0x98a816ec48d6fb1cu);
  CHECK(fnv1a(quantize<uint4>(x, per_group(32))) == 0x3a084ebc8612ca82u);
  CHECK(fnv1a(quantize<uint4>(x, per_channel(0), symmetry::symmetric)) == 0xa6161608eac304deu);
  CHECK(fnv1a(quantize<fp16>(x)) == 0x11f31150a5d90a59u);
  CHECK(fnv1a(quantize<bf16>(x)) == 0x49b17908b50ae385u);
  CHECK(fnv1a(dequantize(quantize<uint4>(x, per_group(32)))) == 0x4d9e3b35a08cf57fu);
}

TEMPLATE_TEST_CASE("the executor does not change a byte", "[quantize]", int8, uint8, int4, uint4) {
  for (const shape& s : {shape{0, 5}, shape{1, 300}, shape{7, 33}, shape{64, 9}, shape{6, 5, 3, 3}})
    for (const granularity& g :
         {per_tensor(), per_channel(0), per_channel(1), per_group(8), per_token()}) {
      const auto x = rough_tensor(s, 77);
      const auto serial = quantize<TestType>(x, g);
      const auto real = dequantize(serial);
      for (const std::size_t threads : {1u, 2u, 3u, 8u}) {
        thread_pool pool(threads);
        const auto split = quantize<TestType>(x, g, default_symmetry<TestType>, pool);
        REQUIRE(fnv1a(split) == fnv1a(serial));
        REQUIRE(fnv1a(dequantize(split, pool)) == fnv1a(real));
      }
    }
}

TEST_CASE("no block has rows in two bands, whatever its shape", "[quantize]") {
  const shape s{4, 5, 6, 7};
  for (std::size_t a = 1; a <= 4; ++a)
    for (std::size_t b = 1; b <= 5; ++b)
      for (std::size_t c = 1; c <= 6; ++c) {
        const shape block{a, b, c, 3};
        const block_grid blocks(s, block);
        const std::size_t band = detail::rows_per_band(s, block);
        CAPTURE(to_string(block), band);
        std::map<std::size_t, std::size_t> owner;  // first block of a row -> band
        for (std::size_t r = 0; r < s.rows(); ++r)
          REQUIRE(owner.emplace(blocks.first_block(r), r / band).first->second == r / band);
      }
  // And where they can be, bands are small.
  CHECK(detail::rows_per_band(s, per_token().block(s)) == 1);
  CHECK(detail::rows_per_band(s, per_group(2).block(s)) == 1);
  CHECK(detail::rows_per_band(s, per_channel(0).block(s)) == 30);
  CHECK(detail::rows_per_band(s, per_tensor().block(s)) == 120);
}

TEMPLATE_TEST_CASE("views with gaps between rows are read and written in place", "[quantize]", int8,
                   uint8, int4, uint4) {
  const auto x = rough_tensor({5, 11}, 21);
  std::vector<float> wide(5 * 16, std::numeric_limits<float>::quiet_NaN());  // never read
  for (std::size_t i = 0; i < 55; ++i) wide[i / 11 * 16 + i % 11] = x.data()[i];
  const tensor_view<const fp32> gapped(wide.data(), {5, 11}, 16, nullptr);
  for (const granularity& g : {per_tensor(), per_channel(0), per_channel(1), per_group(4)}) {
    const auto expected = quantize<TestType>(x, g);
    CHECK(fnv1a(quantize<TestType>(gapped, g)) == fnv1a(expected));

    const quantization& q = expected.quantization();
    using storage = typename TestType::storage_type;
    std::vector<storage> codes(5 * 20, storage{0x5a});
    const tensor_view<TestType> to(codes.data(), {5, 11}, 20, &q);
    quantize_into<TestType>(x, q, to);
    for (std::size_t i = 0; i < 55; ++i)
      REQUIRE(to.at(i / 11, i % 11) == expected.at(i / 11, i % 11));
    CHECK(to.row(0)[19 / TestType::per_unit] == storage{0x5a});

    std::vector<float> out(5 * 13, 4.0f);
    const tensor_view<fp32> y(out.data(), {5, 11}, 13, nullptr);
    dequantize_into(to, y);
    const auto real = dequantize(expected);
    for (std::size_t i = 0; i < 55; ++i) REQUIRE(y.at(i / 11, i % 11) == real.data()[i]);
    CHECK(out[12] == 4.0f);
  }
}

TEMPLATE_TEST_CASE("fake_quantize is dequantize of quantize", "[quantize]", int8, uint8, int4,
                   uint4) {
  const auto how = GENERATE(symmetry::symmetric, symmetry::asymmetric);
  const auto x = rough_tensor({9, 5, 14}, 31);
  for (const granularity& g :
       {per_tensor(), per_channel(0), per_channel(1), per_channel(2), per_group(4), per_token()}) {
    quantization q = choose_quantization<TestType>(x, g, how);
    for (float& s : q.scales) s *= 0.75f;  // so that some values saturate
    const auto expected = dequantize(quantize<TestType>(x, q));
    auto y = x;
    fake_quantize<TestType>(y, q, y);  // in place
    CHECK(fnv1a(y) == fnv1a(expected));
    // What is on the grid stays there.
    auto again = y;
    fake_quantize<TestType>(y, q, again);
    CHECK(fnv1a(again) == fnv1a(y));
  }
}

TEST_CASE("fp16 and bf16 round trip all 65536 bit patterns", "[quantize]") {
  tensor<fp16> h({256, 256});
  tensor<bf16> b({256, 256});
  for (std::size_t i = 0; i < 65536; ++i) {
    h.data()[i].bits = static_cast<std::uint16_t>(i);
    b.data()[i].bits = static_cast<std::uint16_t>(i);
    // Patterns that are not finite become 0 here; quantize refuses them.
    if ((i & 0x7c00) == 0x7c00) h.data()[i].bits = 0;
    if ((i & 0x7f80) == 0x7f80) b.data()[i].bits = 0;
  }
  CHECK(fnv1a(quantize<fp16>(dequantize(h))) == fnv1a(h));
  CHECK(fnv1a(quantize<bf16>(dequantize(b))) == fnv1a(b));
}

TEST_CASE("floats that round to infinity are refused, the largest that do not are kept",
          "[quantize]") {
  const float fp16_end = 65520.0f, bf16_end = 0x1.ffp127f;
  const auto below = [](float x) { return std::nextafter(x, 0.0f); };
  const auto one = [](float x) { return tensor<fp32>({1}, {x}); };
  CHECK(dequantize(quantize<fp16>(one(below(fp16_end)))).at(0, 0) == 65504.0f);
  CHECK_THROWS_WITH(quantize<fp16>(one(fp16_end)), Catch::Contains("quantize to fp16: 65520"));
  CHECK_THROWS_AS(quantize<fp16>(one(-fp16_end)), error);
  CHECK(dequantize(quantize<bf16>(one(-below(bf16_end)))).at(0, 0) == -0x1.fep127f);
  CHECK_THROWS_AS(quantize<bf16>(one(bf16_end)), error);
  CHECK(quantize<fp32>(one(1e38f)).at(0, 0) == 1e38f);
}

TEST_CASE("dequantize takes any tensor of a weight format", "[quantize]") {
  const auto x = rough_tensor({4, 9}, 3);
  const auto q = quantize<int4>(x, per_group(4));
  CHECK(fnv1a(dequantize(any_tensor(q))) == fnv1a(dequantize(q)));
  CHECK(fnv1a(dequantize(any_tensor(x))) == fnv1a(x));
  CHECK(compare(x, dequantize(any_tensor(quantize<fp16>(x)))).sqnr_db > 60.0);
  CHECK_THROWS_WITH(dequantize(any_tensor(tensor<int64>({2, 3}))),
                    Catch::Contains("int64 [2, 3] is no format of weights"));
}

TEST_CASE("shapes and scales that do not fit are errors", "[quantize]") {
  const tensor<fp32> x({4, 8});
  tensor<int8> codes({4, 8});
  tensor<fp32> small({4, 7});
  CHECK_THROWS_AS(dequantize(codes), error);  // no scales
  CHECK_THROWS_AS(quantize<int8>(x, per_channel(2)), error);
  CHECK_THROWS_AS(quantize<int8>(x, per_group(0)), error);
  CHECK_THROWS_AS(quantize<int8>(x, quantization{.block = {4, 8}, .scales = {}, .zero_points = {}}),
                  error);
  CHECK_THROWS_AS(
      quantize<int8>(x, quantization{.block = {8}, .scales = {1.0f}, .zero_points = {}}), error);
  CHECK_THROWS_AS(dequantize_into(quantize<int8>(x, per_tensor()).view(), small.view()), error);
  CHECK_THROWS_AS(fake_quantize<int8>(x, choose_quantization<int8>(x, per_tensor()), small), error);
}

TEST_CASE("empty tensors quantize to empty tensors", "[quantize]") {
  for (const granularity& g : {per_tensor(), per_channel(0), per_group(4), per_token()})
    for (const shape& s : {shape{0}, shape{0, 4}, shape{4, 0}}) {
      const auto q = quantize<int4>(tensor<fp32>(s), g);
      CHECK(q.elements() == 0);
      CHECK(dequantize(q).shape() == s);
    }
}
