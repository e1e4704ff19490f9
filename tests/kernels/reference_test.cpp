#include <qtk/kernels/reference.hpp>

#include "support/catch.hpp"

using namespace qtk;

// The reference is compared with numbers worked out by hand, not with a kernel.

TEST_CASE("reference: fp32 with bias, residual and activation", "[gemm]") {
  const float a[] = {1, 2, 3, /**/ -1, 0, 2}, w[] = {1, 0, -1, /**/ 2, 2, 2};
  const float bias[] = {10, 20}, residual[] = {100, 200, 300, 400};
  const gemm_weights weights{.N = 2, .K = 3, .data = w, .row_stride = 3, .group_size = 3};
  gemm_args args{.M = 2, .N = 2, .K = 3, .a = a, .lda = 3, .c_row_stride = 2};
  const auto value = [&](std::size_t m, std::size_t n) {
    return reference::product(gemm_op::f32_f32, weights, args, m, n).value;
  };
  CHECK(value(0, 0) == -2.0);
  CHECK(value(0, 1) == 12.0);
  CHECK(value(1, 0) == -3.0);
  CHECK(reference::product(gemm_op::f32_f32, weights, args, 0, 0).magnitude == 4.0);
  args.out.bias = bias;
  args.out.residual = residual;
  CHECK(value(1, 1) == 2.0 + 20.0 + 400.0);
  args.out = {.act = activation::relu};
  CHECK(value(0, 0) == 0.0);
  args.out = {.act = activation::leaky_relu, .alpha = 0.5f};
  CHECK(value(0, 0) == -1.0);
  args.out = {.act = activation::clip, .lo = -1.0f, .hi = 6.0f};
  CHECK(value(0, 0) == -1.0);
  CHECK(value(0, 1) == 6.0);
}

TEST_CASE("reference: u8 x s8 with zero points and scales", "[gemm]") {
  const std::uint8_t a[] = {0, 255, 128};
  const std::int8_t w[] = {-128, 127, 1};
  const float a_scale = 0.5f, scale = 0.25f;
  const std::int32_t zero = 128;
  const gemm_weights weights{
      .N = 1, .K = 3, .data = w, .row_stride = 3, .group_size = 3, .scales = &scale};
  const gemm_args args{
      .M = 1, .N = 1, .K = 3, .a = a, .lda = 3, .a_scales = &a_scale, .a_zero_points = &zero};
  CHECK(reference::integer_product(gemm_op::u8_s8, weights, args, 0, 0) == 128 * 128 + 127 * 127);
  CHECK(reference::product(gemm_op::u8_s8, weights, args, 0, 0).value ==
        (128 * 128 + 127 * 127) * 0.125);
}

TEST_CASE("reference: int4 groups, low nibble first", "[gemm]") {
  const float a[] = {1, 10, 100};
  const std::uint8_t w[] = {0x8f, 0x07};  // -1, -8 | 7
  const float scales[] = {1.0f, 0.5f};    // groups of 2: two codes, then one
  const std::int32_t zero_points[] = {1, -1};
  const gemm_weights weights{.N = 1,
                             .K = 3,
                             .data = w,
                             .row_stride = 4,
                             .group_size = 2,
                             .scales = scales,
                             .zero_points = zero_points};
  const gemm_args args{.M = 1, .N = 1, .K = 3, .a = a, .lda = 3};
  CHECK(reference::product(gemm_op::f32_s4, weights, args, 0, 0).value ==
        -2.0 - 90.0 + 100 * 0.5 * 8);
}

TEST_CASE("reference: rows of a convolution are pieces of the image", "[conv]") {
  const float image[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};  // 3 x 3, window 2 x 2
  const float filter[] = {1, 10, 100, 1000};
  const std::size_t offsets[] = {0, 1, 3, 4};
  const conv_filters f{.O = 1, .K = 4, .data = filter};
  conv_args args{.pixel_end = 4, .out_width = 2, .row_step = 3, .image = image, .image_size = 9};
  args.offsets = offsets;
  args.y_stride = 4;
  CHECK(reference::convolution(conv_op::f32, f, args, {4, 4, 1}, 0, 1).value == 6532.0);
  CHECK(reference::convolution(conv_op::f32, f, args, {4, 4, 1}, 0, 2).value == 8754.0);

  const std::uint8_t codes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  const std::int8_t weights[] = {1, -1, 2, -128};
  const float scales[] = {0.5f, 2.0f};  // groups of 2
  args.image = codes;
  args.image_scale = 4.0f;
  args.image_zero_point = 5;
  const conv_filters g{.O = 1, .K = 4, .data = weights, .group_size = 2, .scales = scales};
  // Pixel 3: codes 5 6 8 9, less the zero point 0 1 3 4.
  CHECK(reference::convolution(conv_op::int8, g, args, {4, 2, 1}, 0, 3).value ==
        4.0 * 0.5 * -1.0 + 4.0 * 2.0 * (6.0 - 512.0));
}
