#include <qtk/onnx.hpp>

#include "models.hpp"
#include "support/catch.hpp"

using namespace qtk;
using qtk_test::random_tensor;
using qtk_test::residual_model;
TEST_CASE("x", "[graph]") {
  calibrator seen(residual_model(), {.hessians = true});
  const any_tensor x(random_tensor({16, 3, 8, 8}, 1));
  seen.observe({&x, 1});
  CHECK(seen.samples() == 16);
  const model q = quantize_static<int8>(residual_model(), seen);
  for (auto a : weight_algorithms) {
    const model r = quantize_weights<int4>(residual_model(), {.algorithm = a}, &seen);
  }
}
