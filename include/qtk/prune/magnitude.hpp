#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "qtk/prune/mask.hpp"
#include "qtk/quantize/finite.hpp"

namespace qtk::inline QTK_ABI {

namespace detail {

/// |x| as an integer of the same order: floats of one sign sort like their bits.
[[nodiscard]] constexpr std::uint32_t magnitude_bits(float x) noexcept {
  return std::bit_cast<std::uint32_t>(x) & 0x7fffffffu;
}

/// The magnitude of rank `count` (from 1, smallest first) and how many are smaller. Two passes of a
/// radix select, high half then low half: no copy of the weights, whatever their number.
struct magnitude_rank {
  std::uint32_t threshold = 0;
  std::size_t below = 0;
};
[[nodiscard]] inline magnitude_rank select_magnitude(
    std::span<const tensor_view<const fp32>> tensors, std::size_t count) {
  magnitude_rank rank;
  for (const unsigned shift : {16u, 0u}) {
    std::vector<std::size_t> histogram(1u << 16);
    for (const auto& t : tensors)
      for (std::size_t r = 0; r < t.rows(); ++r)
        for (std::size_t c = 0; c < t.cols(); ++c) {
          const std::uint32_t bits = magnitude_bits(t.row(r)[c]);
          if (shift == 16 || bits >> 16 == rank.threshold >> 16)
            ++histogram[bits >> shift & 0xffffu];
        }
    std::uint32_t digit = 0;
    while (rank.below + histogram[digit] < count) rank.below += histogram[digit++];
    rank.threshold |= digit << shift;
  }
  return rank;
}

}  // namespace detail

/// Prunes the weights of smallest magnitude across all tensors with one threshold, exactly
/// prune_count(total, sparsity) of them: layers that matter less lose more. Of equal magnitudes the
/// ones that come first, by tensor and then by index, go first. One mask for each tensor.
/// qtk::error for NaN and infinities, with their place.
[[nodiscard]] inline std::vector<mask> global_magnitude_masks(
    std::span<const tensor_view<const fp32>> tensors, double sparsity) {
  std::size_t total = 0;
  std::vector<mask> masks;
  for (const auto& t : tensors) {
    check_finite(t, "prune");
    total += t.shape().elements();
    masks.push_back({t.shape(), std::vector<std::uint8_t>(t.shape().elements(), 1)});
  }
  const std::size_t count = prune_count(total, sparsity);
  if (count == 0) return masks;
  const auto [threshold, below] = detail::select_magnitude(tensors, count);
  std::size_t ties = count - below;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& t = tensors[i];
    std::uint8_t* keep = masks[i].keep.data();
    for (std::size_t r = 0; r < t.rows(); ++r)
      for (std::size_t c = 0; c < t.cols(); ++c, ++keep) {
        const std::uint32_t bits = detail::magnitude_bits(t.row(r)[c]);
        if (bits < threshold) *keep = 0;
        if (bits == threshold && ties != 0) *keep = 0, --ties;
      }
  }
  return masks;
}

/// The same for one tensor: exactly prune_count(elements, sparsity) weights are pruned.
[[nodiscard]] inline mask magnitude_mask(tensor_view<const fp32> x, double sparsity) {
  return std::move(global_magnitude_masks({&x, 1}, sparsity)[0]);
}

}  // namespace qtk::inline QTK_ABI
