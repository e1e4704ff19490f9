#include <algorithm>
#include <qtk/core/thread_pool.hpp>
#include <qtk/quantize.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qtk;
using qtk_test::random_tensor;

TEST_CASE("codes of fewer bits", "[quantize]") {
  CHECK(codes_of_bits<int4>(4) == codes_of<int4>);
  CHECK(codes_of_bits<int4>(3) == code_range{-4, 3});
  CHECK(codes_of_bits<int4>(2) == code_range{-2, 1});
  CHECK(codes_of_bits<uint4>(3) == code_range{0, 7});
  CHECK(codes_of_bits<uint4>(2) == code_range{0, 3});
  CHECK(codes_of_bits<int8>(6) == code_range{-32, 31});
  CHECK(codes_of_bits<uint8>(8) == codes_of<uint8>);
  CHECK_THROWS_AS(codes_of_bits<int4>(5), error);
  CHECK_THROWS_AS(codes_of_bits<int4>(1), error);
}

TEST_CASE("bytes without gaps", "[quantize]") {
  CHECK(packed_bytes({3, 8}, 3) == 9);
  CHECK(packed_bytes({3, 9}, 3) == 12);  // rows end on a byte
  CHECK(packed_bytes({5, 7}, 2) == 10);
  CHECK(packed_bytes({5, 7}, 4) == tensor<int4>({5, 7}).span().size());
  CHECK_THROWS_AS(packed_bytes({2, static_cast<std::size_t>(-1) / 2}, 3), error);
}

TEMPLATE_TEST_CASE("codes stay within their bits, and fill them", "[quantize]", int4, uint4, int8) {
  const auto how = GENERATE(symmetry::symmetric, symmetry::asymmetric);
  const auto w = random_tensor({16, 96}, 5);
  for (const int bits : {2, 3, 4}) {
    const code_range range = codes_of_bits<TestType>(bits);
    const auto q = quantize<TestType>(w, per_group(32), how, {}, range);
    int lowest = 99, highest = -99;
    for (std::size_t r = 0; r < 16; ++r)
      for (std::size_t c = 0; c < 96; ++c) {
        lowest = std::min<int>(lowest, q.at(r, c));
        highest = std::max<int>(highest, q.at(r, c));
      }
    CHECK(lowest == (how == symmetry::symmetric ? range.min + 1 : range.min));
    CHECK(highest == range.max);
    // No element is further than half a step, or a whole one where the zero point was rounded.
    const auto back = dequantize(q);
    const block_grid blocks(w.shape(), q.quantization().block);
    for (std::size_t r = 0; r < 16; ++r)
      for (std::size_t c = 0; c < 96; ++c) {
        const float step = q.quantization().scales[blocks.first_block(r) + c / 32];
        REQUIRE(std::abs(back.at(r, c) - w.at(r, c)) <=
                (how == symmetry::symmetric ? 0.5f : 1.0f) * step * 1.0001f);
      }
    tensor<fp32> fake(w.shape());
    fake_quantize<TestType>(w, q.quantization(), fake, {}, range);
    CHECK(std::equal(fake.span().begin(), fake.span().end(), back.span().begin()));
  }
}

TEST_CASE("one bit less is 6 dB less", "[quantize]") {
  const auto w = random_tensor({64, 256}, 6);
  const auto db = [&](int bits) {
    return compare(w, dequantize(quantize<uint4>(w, per_channel(0), symmetry::asymmetric, {},
                                                 codes_of_bits<uint4>(bits))))
        .sqnr_db;
  };
  CHECK(db(4) - db(3) == Approx(6.6).margin(1.0));
  CHECK(db(3) - db(2) == Approx(7.4).margin(1.5));
}

TEST_CASE("given scales saturate at the codes asked for", "[quantize]") {
  const tensor<fp32> x({1, 4}, {9.0f, -9.0f, 1.0f, 2.6f});
  const quantization q{.block = {1, 4}, .scales = {1.0f}, .zero_points = {}};
  const auto codes = quantize<int4>(x, q, {}, codes_of_bits<int4>(3));
  CHECK(codes.at(0, 0) == 3);
  CHECK(codes.at(0, 1) == -4);
  CHECK(codes.at(0, 2) == 1);
  CHECK(codes.at(0, 3) == 3);
}

TEST_CASE("codes that the format lacks are refused", "[quantize]") {
  const tensor<fp32> x({1, 4});
  for (const code_range bad : {code_range{-9, 7}, code_range{-8, 8}, code_range{3, 3}}) {
    CHECK_THROWS_AS(quantize<int4>(x, per_channel(0), symmetry::symmetric, {}, bad), error);
    const quantization q{.block = {1, 4}, .scales = {1.0f}, .zero_points = {}};
    CHECK_THROWS_AS(quantize<int4>(x, q, {}, bad), error);
  }
}
