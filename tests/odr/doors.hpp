#pragma once

#include <qtk/matmul.hpp>
#include <qtk/profile.hpp>
#include <qtk/prune.hpp>
#include <qtk/qtk.hpp>
#include <qtk/quantize.hpp>
#include <qtk/tensor.hpp>

/// y = x * w^T with int8 weights, in the calling unit's own flags; a sum of y that is the same for
/// all.
inline namespace QTK_ABI {
inline double product() {
  qtk::tensor<qtk::fp32> w({33, 70}), x({5, 70}), y({5, 33});
  for (std::size_t i = 0; i < w.elements(); ++i) w.data()[i] = static_cast<float>(i % 23) - 11.0f;
  for (std::size_t i = 0; i < x.elements(); ++i) x.data()[i] = static_cast<float>(i % 17) - 8.0f;
  const qtk::linear layer(qtk::quantize<qtk::int8>(w, qtk::per_channel(0)));
  layer(x, y);
  double sum = 0;
  for (const float v : y.span()) sum += v;
  return sum;
}
}  // namespace QTK_ABI
