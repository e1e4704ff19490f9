#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "qtk/core/shape.hpp"

namespace qtk::inline QTK_ABI {

/// Which elements share a scale, before the tensor is known. Per tensor, channel, group and token
/// are one thing with four block shapes: `block(s)` is the largest box of s with one scale.
struct granularity {
  enum class kind : std::uint8_t { tensor, channel, group };
  kind what = kind::tensor;
  std::ptrdiff_t axis = 0;     // channel: the axis with one scale per index
  std::size_t group_size = 0;  // group: consecutive elements of a row

  [[nodiscard]] shape block(const shape& s) const {
    shape b = s;
    if (what == kind::channel) {
      const std::size_t keep = s.axis(axis);
      for (std::size_t d = 0; d < s.rank(); ++d) b[d] = d == keep ? 1 : s[d];
    } else if (what == kind::group) {
      QTK_CHECK(group_size > 0 && s.rank() > 0, "per_group", "group size ", group_size, " on ", s);
      for (std::size_t d = 0; d < s.rank(); ++d) b[d] = 1;
      // A group longer than the row is the row.
      b[s.rank() - 1] = group_size < s.back() ? group_size : s.back();
    }
    for (std::size_t d = 0; d < b.rank(); ++d) b[d] = b[d] == 0 ? 1 : b[d];
    return b;
  }
};

/// One scale for the whole tensor: block = shape.
[[nodiscard]] constexpr granularity per_tensor() noexcept { return {}; }
/// One scale per index of `axis`: (N, K) weights use per_channel(0), block (1, K).
[[nodiscard]] constexpr granularity per_channel(std::ptrdiff_t axis) noexcept {
  return {granularity::kind::channel, axis, 0};
}
/// One scale per `group_size` consecutive elements of the last axis: block (1, ..., group_size).
/// The last group of a row may be shorter.
[[nodiscard]] constexpr granularity per_group(std::size_t group_size) noexcept {
  return {granularity::kind::group, -1, group_size};
}
/// One scale per row, for activations (M, K): block (1, ..., K).
[[nodiscard]] constexpr granularity per_token() noexcept {
  return {granularity::kind::group, -1, static_cast<std::size_t>(-1)};
}

/// How the codes of a tensor map to reals: real = scale * (code - zero_point), with one (scale,
/// zero_point) for each block. Blocks tile the tensor from its origin; scales are row-major over
/// the grid of blocks, grid[d] = ceil(shape[d] / block[d]).
struct quantization {
  shape block;
  std::vector<float> scales;              // > 0, one per block
  std::vector<std::int32_t> zero_points;  // one per block, or empty: all zero (symmetric)

  [[nodiscard]] bool symmetric() const noexcept { return zero_points.empty(); }
  [[nodiscard]] std::int32_t zero_point(std::size_t i) const noexcept {
    return zero_points.empty() ? 0 : zero_points[i];
  }
  /// fp32 scales, and zero points as int32.
  [[nodiscard]] std::size_t size_bytes() const noexcept {
    return scales.size() * sizeof(float) + zero_points.size() * sizeof(std::int32_t);
  }
};

/// Walks the blocks of a tensor row by row: a row is cut by `block` into runs that share a scale.
class block_grid {
 public:
  block_grid(const shape& s, const shape& block) : shape_(s), block_(block) {
    QTK_CHECK(s.rank() == block.rank(), "quantization", "block ", block, " for tensor ", s);
    for (std::size_t d = 0; d < s.rank(); ++d) {
      QTK_CHECK(block[d] > 0, "quantization", "block ", block, " has a zero");
      grid_.push_back(ceil_div(s[d], block[d]));
    }
  }

  /// Number of blocks.
  [[nodiscard]] std::size_t size() const { return grid_.elements(); }
  [[nodiscard]] const shape& grid() const noexcept { return grid_; }
  [[nodiscard]] std::size_t run_length() const noexcept { return block_.cols(); }
  [[nodiscard]] std::size_t runs_per_row() const noexcept { return grid_.cols(); }

  /// Index of the first block that row `r` crosses; the j-th run of the row uses this + j.
  [[nodiscard]] std::size_t first_block(std::size_t r) const noexcept {
    std::size_t index = 0, stride = grid_.cols();
    for (std::size_t d = shape_.rank() < 2 ? 0 : shape_.rank() - 1; d-- > 0;) {
      index += r % shape_[d] / block_[d] * stride;
      r /= shape_[d];
      stride *= grid_[d];
    }
    return index;
  }

 private:
  shape shape_, block_, grid_;
};

}  // namespace qtk::inline QTK_ABI
