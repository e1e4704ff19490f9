#include "doors.hpp"

// Compiled for AVX2, though its neighbors are not.
#if defined(__x86_64__) && !defined(__AVX2__)
#  error "this unit must be compiled for AVX2"
#endif

double product_avx2() { return product(); }
