#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

#if defined(__linux__)
#  include <sys/mman.h>
#endif

#include "qtk/core/numeric.hpp"

namespace qtk::inline QTK_ABI {

/// Alignment of every owned buffer: a cache line, and a full AVX-512 register.
inline constexpr std::size_t buffer_alignment = 64;

/// From this size on, buffers start on a boundary of it and ask for pages of this size: one pass
/// over 1 GiB of weights reads 21 GB/s from pages of 4 KiB and 31 GB/s from these, and the first
/// touch of 3 MiB takes 1.6 ms and 0.4 ms (Zen 4, a virtual machine).
inline constexpr std::size_t huge_page = std::size_t{2} << 20;

/// Owned, 64-byte aligned, zero-initialized bytes; or bytes that somebody keeps (a mapped file), of
/// which a private copy is made before they are first written. Moves in O(1); copies are explicit
/// in tensor.
class buffer {
 public:
  buffer() = default;

  /// qtk::error where memory runs out.
  explicit buffer(std::size_t size_bytes) : size_bytes_(size_bytes) {
    if (size_bytes == 0) return;
    QTK_CHECK(size_bytes <= static_cast<std::size_t>(-1) / 2, "buffer", size_bytes, " bytes asked");
    const bool large = size_bytes >= huge_page;
    const std::size_t alignment = large ? huge_page : buffer_alignment;
    // aligned_alloc wants a size that is a multiple of the alignment.
    data_ = std::aligned_alloc(alignment, round_up(size_bytes, alignment));
    QTK_CHECK(data_ != nullptr, "buffer", "out of memory: ", size_bytes, " bytes asked");
#if defined(__linux__)
    // A wish: where the system grants none, nothing is lost.
    if (large) madvise(data_, size_bytes / huge_page * huge_page, MADV_HUGEPAGE);
#endif
    std::memset(data_, 0, size_bytes);
  }
  /// The bytes at `data`, of any alignment, for which `keeper` (a shared pointer, say) stays alive.
  template <class Keeper>
  buffer(Keeper keeper, const std::byte* data, std::size_t size_bytes)
      : data_(const_cast<std::byte*>(data)),
        size_bytes_(size_bytes),
        keeper_(new Keeper(std::move(keeper))),
        release_([](void* kept) { delete static_cast<Keeper*>(kept); }) {}
  buffer(const buffer& other) : buffer(other.size_bytes_) {
    if (size_bytes_ != 0) std::memcpy(data_, other.data_, size_bytes_);
  }
  buffer(buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_bytes_(std::exchange(other.size_bytes_, 0)),
        keeper_(std::exchange(other.keeper_, nullptr)),
        release_(other.release_) {}
  buffer& operator=(buffer other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    std::swap(keeper_, other.keeper_);
    std::swap(release_, other.release_);
    return *this;
  }
  ~buffer() {
    if (keeper_ != nullptr)
      release_(keeper_);
    else
      std::free(data_);
  }

  std::byte* data() {
    if (keeper_ != nullptr) *this = buffer(std::as_const(*this));
    return static_cast<std::byte*>(data_);
  }
  const std::byte* data() const noexcept { return static_cast<const std::byte*>(data_); }
  std::size_t size_bytes() const noexcept { return size_bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t size_bytes_ = 0;
  void* keeper_ = nullptr;  // null: owned
  void (*release_)(void*) = nullptr;
};

}  // namespace qtk::inline QTK_ABI
