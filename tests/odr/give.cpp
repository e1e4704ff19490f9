#include <qtk/tensor.hpp>

void take(const qtk::tensor<qtk::fp32>& t);

int main() { take(qtk::tensor<qtk::fp32>({2, 3})); }
