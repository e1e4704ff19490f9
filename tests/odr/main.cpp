// Units of different flags in one program: each keeps its own copy of every inline function.
#include <cmath>
#include <cstdio>

#include "doors.hpp"

double product_base();
#if defined(QTK_ODR_AVX2)
double product_avx2();
#endif

int main() {
  const double here = product(), there = product_base();
  if (here != there || here == 0) {
    std::printf("main %g, base %g\n", here, there);
    return 1;
  }
#if defined(QTK_ODR_AVX2)
  if (!qtk::supported(qtk::isa::avx2)) {
    std::puts("skipped: this CPU does not support avx2");
    return 77;
  }
  const double avx2 = product_avx2();
  // Integer products are exact; only the last rounding to fp32 may differ where the unit fuses.
  if (std::abs(avx2 - here) > 1e-5 * std::abs(here)) {
    std::printf("main %g, avx2 %g\n", here, avx2);
    return 1;
  }
#endif
  std::printf("%g\n", here);
}
