#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <qtk/cpu/isa.hpp>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#  define QTK_TEST_ASAN
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer)
#    define QTK_TEST_ASAN
#  endif
#endif
#if defined(QTK_TEST_ASAN)
#  include <sanitizer/asan_interface.h>
#endif

/// Buffers of exact size and the instruction sets to test: what all tests of kernels share.
namespace qtk_test {

using namespace qtk;

/// Exactly `count` elements, the first of them `lead` elements off the alignment of `new`.
template <class T>
class exact {
 public:
  explicit exact(std::size_t count = 0, std::size_t lead = 1)
      : count_(count), lead_(lead), owned_(new T[count + lead]()) {}
  T* data() const { return owned_.get() + lead_; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) const { return data()[i]; }
  T* begin() const { return data(); }
  T* end() const { return data() + count_; }

 private:
  std::size_t count_, lead_;
  std::unique_ptr<T[]> owned_;
};

/// 64-byte aligned bytes. Whatever follows them is checked for writes by intact(), and by
/// AddressSanitizer for reads as well.
class guarded {
 public:
  explicit guarded(std::size_t size) : size_(size), bytes_((size + 63) / 64 * 64 + 128, 0xa5) {
#if defined(QTK_TEST_ASAN)
    ASAN_POISON_MEMORY_REGION(end(), behind());
#endif
  }
  guarded(const guarded&) = delete;
  guarded& operator=(const guarded&) = delete;
  ~guarded() { unpoison(); }

  void* data() {
    const auto at = reinterpret_cast<std::uintptr_t>(bytes_.data());
    return bytes_.data() + (64 - at % 64) % 64;
  }
  bool intact() {
    unpoison();
    return std::all_of(end(), bytes_.data() + bytes_.size(),
                       [](unsigned char byte) { return byte == 0xa5; });
  }

 private:
  unsigned char* end() { return static_cast<unsigned char*>(data()) + size_; }
  [[maybe_unused]] std::size_t behind() {
    return static_cast<std::size_t>(bytes_.data() + bytes_.size() - end());
  }
  void unpoison() {
#if defined(QTK_TEST_ASAN)
    ASAN_UNPOISON_MEMORY_REGION(end(), behind());
#endif
  }

  std::size_t size_;
  std::vector<unsigned char> bytes_;
};

/// The instruction sets to test: QTK_ISA alone where it is set, else all that run here.
inline std::vector<isa> isas_under_test() {
  if (const char* forced = std::getenv("QTK_ISA"); forced != nullptr && *forced != '\0')
    return {active_isa()};
  std::vector<isa> all;
  for (const isa i : all_isas)
    if (supported(i)) all.push_back(i);
  return all;
}

/// QTK_TEST_LIGHT: a smaller sample, for emulators.
inline bool light() { return std::getenv("QTK_TEST_LIGHT") != nullptr; }

inline bool same_bits(const exact<float>& a, const exact<float>& b) {
  return a.size() == b.size() &&
         (a.size() == 0 || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace qtk_test
