// A user's first program: no flag, no option; the best kernels of this CPU are used all the same.
#include <cstdio>
#include <qtk/matmul.hpp>
#include <qtk/quantize.hpp>

int main() {
  qtk::tensor<qtk::fp32> w({4, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}), x({1, 3}, {1, 0, -1}),
      y({1, 4});
  const qtk::linear layer(qtk::quantize<qtk::int8>(w, qtk::per_channel(0)));
  layer(x, y);
  std::printf("y = %g %g %g %g\n", y.at(0, 0), y.at(0, 1), y.at(0, 2), y.at(0, 3));
  std::puts(layer.weights().explain().c_str());
  for (std::size_t i = 0; i < 4; ++i)
    if (y.at(0, i) < -2.2f || y.at(0, i) > -1.8f) return 1;  // every row's w0 - w2 is -2

#if defined(__x86_64__)
  __builtin_cpu_init();  // the compiler's own answer, not the library's
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return layer.weights().kernel().target >= qtk::isa::avx2 ? 0 : 2;
#endif
}
