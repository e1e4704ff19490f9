#include <cstdlib>
#include <qtk/tensor.hpp>

void take(const qtk::tensor<qtk::fp32>& t);
void take(const qtk::tensor<qtk::fp32>& t) {
  if (t.rows() != 2) std::abort();
}
