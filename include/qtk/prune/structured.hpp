#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include "qtk/prune/mask.hpp"
#include "qtk/quantize/finite.hpp"

namespace qtk::inline QTK_ABI {

/// How much a neuron or channel weighs.
///   l1  sum |w|
///   l2  sqrt(sum w^2)
enum class slice_norm : std::uint8_t { l1, l2 };

/// The norm of each index of `axis`, in double: axis 0 ranks neurons of (N, K) and output channels
/// of (O, I, kh, kw), axis 1 their inputs. qtk::error for NaN and infinities.
[[nodiscard]] inline std::vector<double> slice_norms(tensor_view<const fp32> x, std::ptrdiff_t axis,
                                                     slice_norm norm = slice_norm::l1) {
  check_finite(x, "prune");
  const std::size_t a = x.shape().axis(axis);
  const std::size_t count = x.shape()[a], inner = x.shape().product(a + 1, x.shape().rank());
  std::vector<double> norms(count);
  for (std::size_t r = 0, i = 0; r < x.rows(); ++r)
    for (std::size_t c = 0; c < x.cols(); ++c, ++i) {
      const double w = x.row(r)[c];
      norms[i / inner % count] += norm == slice_norm::l1 ? std::fabs(w) : w * w;
    }
  if (norm == slice_norm::l2)
    for (double& n : norms) n = std::sqrt(n);
  return norms;
}

/// The `count` indices of largest norm, ascending. Of equal norms the ones that come first go
/// first.
[[nodiscard]] inline std::vector<std::size_t> strongest(std::span<const double> norms,
                                                        std::size_t count) {
  QTK_CHECK(count <= norms.size(), "prune", "keep ", count, " of ", norms.size());
  std::vector<std::size_t> order(norms.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return norms[a] < norms[b]; });
  order.erase(order.begin(), order.end() - static_cast<std::ptrdiff_t>(count));
  std::sort(order.begin(), order.end());
  return order;
}

/// The indices of `axis` to keep when a share of them is removed: prune_count(n, sparsity) go, but
/// one always stays, because a layer without outputs is no layer.
[[nodiscard]] inline std::vector<std::size_t> channels_to_keep(tensor_view<const fp32> x,
                                                               double sparsity,
                                                               std::ptrdiff_t axis = 0,
                                                               slice_norm norm = slice_norm::l1) {
  const std::vector<double> norms = slice_norms(x, axis, norm);
  const std::size_t removed = prune_count(norms.size(), sparsity);
  return strongest(norms, std::max(norms.size() - removed, std::min<std::size_t>(norms.size(), 1)));
}

/// The slices of x at `indices` of `axis`, in that order: a smaller tensor. Axis 0 drops neurons
/// and output channels (weights, and bias or batch-norm vectors with the same indices), axis 1 the
/// inputs that the layer before no longer has. Not for quantized formats: prune first. qtk::error
/// for an index out of range.
template <storage_format F>
requires(!std::remove_const_t<F>::quantized)
    [[nodiscard]] tensor<std::remove_const_t<F>> take(tensor_view<F> x, std::ptrdiff_t axis,
                                                      std::span<const std::size_t> indices) {
  const shape& s = x.shape();
  const std::size_t a = s.axis(axis);
  for (const std::size_t i : indices)
    QTK_CHECK(i < s[a], "take", "index ", i, " of axis ", a, " in ", s);
  shape smaller = s;
  smaller[a] = indices.size();
  tensor<std::remove_const_t<F>> out(smaller);
  const std::size_t outer = s.product(0, a), inner = s.product(a + 1, s.rank());
  auto* to = out.data();
  for (std::size_t o = 0; o < outer; ++o)
    for (const std::size_t index : indices)
      for (std::size_t i = 0; i < inner; ++i) {
        const std::size_t from = (o * s[a] + index) * inner + i;
        *to++ = x.row(from / s.cols())[from % s.cols()];
      }
  return out;
}
template <storage_format F>
[[nodiscard]] tensor<F> take(const tensor<F>& x, std::ptrdiff_t axis,
                             std::span<const std::size_t> indices) {
  return take(x.view(), axis, indices);
}

/// Each index as `width` consecutive ones: channels kept before a Flatten are these columns of the
/// Linear after it, width = height * width of the image.
[[nodiscard]] inline std::vector<std::size_t> spread(std::span<const std::size_t> indices,
                                                     std::size_t width) {
  std::vector<std::size_t> out;
  out.reserve(indices.size() * width);
  for (const std::size_t index : indices)
    for (std::size_t i = 0; i < width; ++i) out.push_back(index * width + i);
  return out;
}

}  // namespace qtk::inline QTK_ABI
