// Each GOOD_n compiles and its BAD_n, one step away, does not.
#include <qtk/matmul.hpp>
#include <qtk/quantize.hpp>
#include <string>

qtk::tensor<qtk::fp32> f({2, 4});
const qtk::tensor<qtk::fp32> cf({2, 4});

// 1: codes are integers or small floats, never double.
#if defined(GOOD_1)
auto good_1 = qtk::quantize<qtk::int8>(f, qtk::per_tensor());
#elif defined(BAD_1)
auto bad_1 = qtk::quantize<qtk::fp64>(f, qtk::per_tensor());
#endif

// 2: a const view does not become a mutable one.
#if defined(GOOD_2)
qtk::tensor_view<const qtk::fp32> good_2 = f.view();
#elif defined(BAD_2)
qtk::tensor_view<qtk::fp32> bad_2 = cf.view();
#endif

// 3: formats do not convert silently.
#if defined(GOOD_3)
qtk::tensor<qtk::fp32> good_3 = f;
#elif defined(BAD_3)
qtk::tensor<qtk::int8> bad_3 = f;
#endif

// 4: weights are of a format that a kernel takes.
#if defined(GOOD_4)
qtk::packed_weights good_4(qtk::tensor<qtk::fp16>({2, 4}));
#elif defined(BAD_4)
qtk::packed_weights bad_4(qtk::tensor<qtk::int64>({2, 4}));
#endif

// 5: a tensor has a format, not an element type.
#if defined(GOOD_5)
qtk::tensor<qtk::int32> good_5({2, 4});
#elif defined(BAD_5)
qtk::tensor<float> bad_5({2, 4});
#endif

// 6: nothing is written through a const view.
#if defined(GOOD_6)
void good_6() { f.view().set(0, 0, 1.0f); }
#elif defined(BAD_6)
void bad_6() { cf.view().set(0, 0, 1.0f); }
#endif

// 7: quantized codes are not read as numbers; they are dequantized.
#if defined(GOOD_7)
auto good_7 = qtk::compare(f, qtk::dequantize(qtk::quantize<qtk::int8>(f, qtk::per_channel(0))));
#elif defined(BAD_7)
auto bad_7 = qtk::compare(f, qtk::quantize<qtk::int8>(f, qtk::per_channel(0)));
#endif

// 8: a layer multiplies fp32 activations.
#if defined(GOOD_8)
void good_8(const qtk::linear& layer, qtk::tensor<qtk::fp32>& y) { layer(f, y); }
#elif defined(BAD_8)
void bad_8(const qtk::linear& layer, qtk::tensor<qtk::fp32>& y) {
  layer(qtk::tensor<qtk::int32>({2, 4}), y);
}
#endif

// 9: the result goes where it can be written.
#if defined(GOOD_9)
void good_9(const qtk::linear& layer) { layer(cf, f); }
#elif defined(BAD_9)
void bad_9(const qtk::linear& layer) { layer(f, cf); }
#endif

// 10: a graph's tensor is of one of the formats.
#if defined(GOOD_10)
qtk::any_tensor good_10 = qtk::tensor<qtk::boolean>({2, 4});
#elif defined(BAD_10)
qtk::any_tensor bad_10 = std::string("2x4");
#endif
