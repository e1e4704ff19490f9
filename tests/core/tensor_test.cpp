#include <array>
#include <memory>
#include <qtk/tensor.hpp>

#include "support/catch.hpp"

using namespace qtk;

TEST_CASE("tensors own aligned zeros, copy by value and view without", "[core]") {
  tensor<fp32> a({2, 3}, {1, 2, 3, 4, 5, 6});
  CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % buffer_alignment == 0);
  tensor<fp32> b = a;
  b.data()[0] = 9;
  CHECK(a.at(0, 0) == 1);
  const tensor_view<fp32> v = a;
  v.set(1, 2, 7);
  CHECK(a.at(1, 2) == 7);
  const tensor_view<const fp32> c = v;
  CHECK(c.at(1, 2) == 7);
  CHECK(tensor<int8>({5}).at(0, 4) == 0);
  CHECK(tensor<fp32>(shape{}).elements() == 1);
  CHECK(tensor<fp32>({0, 4}).size_bytes() == 0);
}

TEST_CASE("what somebody else keeps is viewed until it is written", "[core]") {
  const auto kept = std::make_shared<std::array<float, 4>>(std::array{1.0f, 2.0f, 3.0f, 4.0f});
  const auto* bytes = reinterpret_cast<const std::byte*>(kept->data());
  tensor<fp32> t({2, 2}, buffer(kept, bytes, 16));
  CHECK(std::as_const(t).data() == kept->data());
  tensor<fp32> copy = t;
  CHECK(std::as_const(copy).data() != kept->data());
  any_tensor moved(std::move(t));
  CHECK(std::as_const(moved).data() == bytes);
  CHECK(kept.use_count() == 2);
  moved.as<fp32>().data()[3] = 9;  // a copy of its own from here on
  CHECK(kept.use_count() == 1);
  CHECK((*kept)[3] == 4);
  CHECK(moved.as<fp32>().at(1, 1) == 9);
  CHECK(moved.as<fp32>().at(0, 1) == 2);
  CHECK_THROWS_AS(tensor<fp32>({3, 2}, buffer(kept, bytes, 16)), error);
}

TEST_CASE("4-bit rows start on a byte, low nibble first", "[core]") {
  tensor<int4> t({2, 3}, {-8, 7, -1, 1, 2, 3});
  REQUIRE(t.span().size() == 4);
  CHECK(t.span()[0] == 0x78);
  CHECK(t.span()[1] == 0x0f);
  CHECK(t.span()[2] == 0x21);
  CHECK(t.at(0, 0) == -8);
  CHECK(t.at(0, 2) == -1);
  CHECK(t.at(1, 2) == 3);
  CHECK(tensor<uint4>({1, 2}, {15, 9}).at(0, 0) == 15);
}

TEST_CASE("views step over gaps", "[core]") {
  const tensor<fp32> t({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  const tensor_view<const fp32> left(t.data(), {2, 2}, 4, nullptr);
  CHECK(left.at(1, 1) == 6);
  CHECK_FALSE(left.contiguous());
  CHECK_THROWS_AS(tensor_view<const fp32>(t.data(), {2, 4}, 3, nullptr), error);
}

TEST_CASE("granularities are block shapes", "[core]") {
  const shape w{8, 4, 3, 3};
  CHECK(per_tensor().block(w) == w);
  CHECK(per_channel(0).block(w) == shape{1, 4, 3, 3});
  CHECK(per_channel(-1).block(w) == shape{8, 4, 3, 1});
  CHECK(per_group(2).block(w) == shape{1, 1, 1, 2});
  CHECK(per_group(32).block({4, 20}) == shape{1, 20});
  CHECK(per_token().block({4, 20}) == shape{1, 20});
  CHECK_THROWS_AS(per_channel(4).block(w), error);
  CHECK_THROWS_AS(per_group(0).block(w), error);
}

TEST_CASE("block_grid finds the block of each element", "[core]") {
  const shape s{4, 3, 5};
  for (const shape& block :
       {shape{4, 3, 5}, shape{1, 3, 5}, shape{4, 1, 5}, shape{2, 2, 2}, shape{1, 1, 1}}) {
    const block_grid grid(s, block);
    for (std::size_t i = 0; i < 4; ++i)
      for (std::size_t j = 0; j < 3; ++j)
        for (std::size_t k = 0; k < 5; ++k) {
          const std::size_t expected =
              (i / block[0] * grid.grid()[1] + j / block[1]) * grid.grid()[2] + k / block[2];
          CHECK(grid.first_block(i * 3 + j) + k / block[2] == expected);
        }
  }
  CHECK_THROWS_AS(block_grid(s, {4, 3}), error);
  CHECK_THROWS_AS(block_grid(s, {4, 0, 5}), error);
}

TEST_CASE("quantization must fit its tensor", "[core]") {
  tensor<int8> t({2, 4});
  CHECK_THROWS_WITH(t.set_quantization({.block = {1, 4}, .scales = {1.0f}, .zero_points = {}}),
                    "quantization: 1 scales for 2 blocks of [1, 4] in [2, 4]");
  t.set_quantization({.block = {1, 4}, .scales = {1.0f, 2.0f}, .zero_points = {}});
  CHECK(t.size_bytes() == 8 + 8);
  CHECK(t.view().quantization()->scales[1] == 2.0f);
  CHECK_THROWS_AS(t.reshape({4, 2}), error);
}

TEST_CASE("any_tensor knows its format", "[core]") {
  const any_tensor a(tensor<int4>({2, 3}));
  CHECK(a.dtype() == dtype::int4);
  CHECK(a.size_bytes() == 4);
  CHECK(a.shape() == shape{2, 3});
  CHECK(a.get_if<int8>() == nullptr);
  CHECK_THROWS_WITH(a.as<fp32>(), "any_tensor: is int4, not fp32");
  for (const dtype d :
       {dtype::fp32, dtype::fp16, dtype::bf16, dtype::int8, dtype::uint8, dtype::int4, dtype::uint4,
        dtype::int32, dtype::int64, dtype::boolean, dtype::fp64})
    CHECK(any_tensor(d, {3}).dtype() == d);
}

TEST_CASE("shapes refuse what does not fit", "[core]") {
  CHECK_THROWS_AS((shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), error);
  CHECK_THROWS_AS((shape{std::size_t{1} << 40, std::size_t{1} << 40}).elements(), error);
  CHECK(shape{}.elements() == 1);
  CHECK(shape{2, 3}.axis(-1) == 1);
  CHECK_THROWS_WITH((shape{2, 3}.axis(2)), "shape: axis 2 of rank 2");
  CHECK(to_string(shape{2, 3}) == "[2, 3]");
}
