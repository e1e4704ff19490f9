// The one translation unit that defines the kernels where QTK_EXTERN_KERNELS is set.
#define QTK_KERNELS_IMPLEMENTATION
#include "qtk/kernels/all.hpp"
