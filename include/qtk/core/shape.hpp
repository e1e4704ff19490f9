#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>

#include "qtk/core/numeric.hpp"

namespace qtk::inline QTK_ABI {

/// Up to max_rank dimensions, no heap. A scalar has rank 0 and one element.
class shape {
 public:
  static constexpr std::size_t max_rank = 8;

  constexpr shape() = default;
  constexpr shape(std::initializer_list<std::size_t> dims)
      : shape(std::span<const std::size_t>(dims.begin(), dims.size())) {}
  constexpr explicit shape(std::span<const std::size_t> dims) {
    for (const std::size_t d : dims) push_back(d);
  }

  constexpr std::size_t rank() const noexcept { return rank_; }
  constexpr bool empty() const noexcept { return rank_ == 0; }
  constexpr std::size_t operator[](std::size_t i) const noexcept { return dims_[i]; }
  constexpr std::size_t& operator[](std::size_t i) noexcept { return dims_[i]; }
  constexpr std::size_t front() const noexcept { return dims_[0]; }
  constexpr std::size_t back() const noexcept { return dims_[rank_ - 1]; }
  constexpr const std::size_t* begin() const noexcept { return dims_.data(); }
  constexpr const std::size_t* end() const noexcept { return dims_.data() + rank_; }

  constexpr void push_back(std::size_t d) {
    QTK_CHECK(rank_ < max_rank, "shape", "rank above ", max_rank);
    dims_[rank_++] = d;
  }

  /// Product of all dimensions; qtk::error if it overflows.
  constexpr std::size_t elements() const { return product(0, rank_); }

  /// Product of the dimensions [first, last).
  constexpr std::size_t product(std::size_t first, std::size_t last) const {
    std::size_t n = 1;
    for (std::size_t i = first; i < last; ++i) n = checked_mul(n, dims_[i], "shape");
    return n;
  }

  /// The tensor seen as a matrix: the last dimension is the row, all others count rows.
  constexpr std::size_t cols() const noexcept { return rank_ == 0 ? 1 : back(); }
  constexpr std::size_t rows() const { return rank_ == 0 ? 1 : product(0, rank_ - 1); }

  /// -1 is the last axis; qtk::error where out of range.
  constexpr std::size_t axis(std::ptrdiff_t a) const {
    const auto r = static_cast<std::ptrdiff_t>(rank_);
    QTK_CHECK(a >= -r && a < r, "shape", "axis ", a, " of rank ", r);
    return static_cast<std::size_t>(a < 0 ? a + r : a);
  }

  friend constexpr bool operator==(const shape& a, const shape& b) noexcept {
    if (a.rank_ != b.rank_) return false;
    for (std::size_t i = 0; i < a.rank_; ++i)
      if (a.dims_[i] != b.dims_[i]) return false;
    return true;
  }

 private:
  std::array<std::size_t, max_rank> dims_{};
  std::size_t rank_ = 0;
};

/// "[2, 3, 4]"
[[nodiscard]] inline std::string to_string(const shape& s) {
  std::string out = "[";
  for (std::size_t i = 0; i < s.rank(); ++i) out += cat(i ? ", " : "", s[i]);
  return out + "]";
}

}  // namespace qtk::inline QTK_ABI
