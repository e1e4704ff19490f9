#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "qtk/quantize/quantize.hpp"

namespace qtk::inline QTK_ABI {

/// Scales that were searched for, and what it brought: summed over all blocks, `error_before` of
/// min-max scales and `error_after` of these, in the unit that the search minimizes.
struct scale_search {
  quantization scales;
  double error_before = 0.0, error_after = 0.0;
  double mean_ratio = 1.0;  // of a block's scale to its min-max scale: below 1 it clips
};

/// What the algorithms for weights share: blocks that lie within a row, and sums that are the same
/// bits on every CPU. A product of two floats is exact in double, so that a compiler may fuse it
/// with the addition that follows or not.
namespace detail {

/// qtk::error unless w is (N, K); a convolution's filters are seen as (O, I * kh * kw).
inline void check_matrix(const shape& s, std::string_view where) {
  QTK_CHECK(s.rank() == 2, where, "weights ", s, " are not (N, K)");
}

/// One number for each input channel, or qtk::error.
inline void check_channels(std::size_t given, const shape& s, std::string_view where) {
  check_matrix(s, where);
  QTK_CHECK(given == s[1], where, given, " input channels for weights ", s);
}

/// What x comes back as from codes, not rounded to float: exact.
[[nodiscard]] inline double nearest(float x, block_scale b, code_range codes) noexcept {
  return static_cast<double>(b.scale) *
         (quantize_code(x, b.scale, b.zero_point, codes.min, codes.max) - b.zero_point);
}

struct block_choice {
  block_scale scale;
  double before = 0.0, after = 0.0;
};

/// The search for each block: f(column, values, min_max_scale) -> block_choice. qtk::error for
/// blocks of several rows, and for NaN and infinities with their place.
template <quantized_format F, class Function>
[[nodiscard]] scale_search search_scales(tensor_view<const fp32> w, const granularity& g,
                                         code_range codes, symmetry how, std::string_view where,
                                         executor_ref executor, const Function& f) {
  check_matrix(w.shape(), where);
  QTK_CHECK(g.block(w.shape())[0] == 1, where, "blocks ", g.block(w.shape()), " of ", w.shape(),
            " do not lie within rows");
  scale_search result{.scales = choose_quantization<F>(w, g, how, executor, min_max{}, codes)};
  quantization& q = result.scales;
  q.zero_points.resize(q.scales.size());
  const block_grid blocks(w.shape(), q.block);
  std::vector<block_choice> chosen(q.scales.size());
  for_ranges(w.rows(), executor, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r)
      for_runs(blocks, r, w.cols(), [&](std::size_t c, std::size_t n, std::size_t block) {
        chosen[block] =
            f(c, std::span(w.row(r) + c, n), block_scale{q.scales[block], q.zero_points[block]});
      });
  });
  double ratios = 0.0;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    result.error_before += chosen[i].before;
    result.error_after += chosen[i].after;
    ratios += static_cast<double>(chosen[i].scale.scale / q.scales[i]);
    q.scales[i] = chosen[i].scale.scale;
    q.zero_points[i] = chosen[i].scale.zero_point;
  }
  if (!chosen.empty()) result.mean_ratio = ratios / static_cast<double>(chosen.size());
  drop_zero_points(q);
  return result;
}

}  // namespace detail
}  // namespace qtk::inline QTK_ABI
