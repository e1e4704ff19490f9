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
  CHECK(reference::integer_product(weights, args, 0, 0) == 128 * 128 + 127 * 127);
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

TEST_CASE("reference: a window is padded with zero, or with the zero point", "[gemm]") {
  const float image[] = {1, 2, 3, 4};  // 2 x 2, window 3 x 3, padding 1
  const conv_window window{.channels = 1,
                           .height = 2,
                           .width = 2,
                           .kernel_h = 3,
                           .kernel_w = 3,
                           .pad_top = 1,
                           .pad_left = 1,
                           .out_height = 2,
                           .out_width = 2};
  gemm_args args{.M = 4, .N = 1, .K = 9, .a = image, .window = &window};
  const double expected[] = {0, 0, 0, 0, 1, 2, 0, 3, 4};  // at output pixel (0, 0)
  for (std::size_t k = 0; k < 9; ++k)
    CHECK(reference::row_code(gemm_op::f32_f32, args, 0, k) == expected[k]);
  CHECK(reference::row_code(gemm_op::f32_f32, args, 3, 0) == 1.0);  // pixel (1, 1), tap (0, 0)

  const std::uint8_t codes[] = {1, 2, 3, 4};
  const std::int32_t zero_point = 77;
  args.a = codes;
  args.a_zero_points = &zero_point;
  args.a_scale_stride = 0;
  CHECK(reference::row_code(gemm_op::u8_s8, args, 0, 0) == 77.0);
  CHECK(reference::row_code(gemm_op::u8_s8, args, 3, 4) == 4.0);
}
