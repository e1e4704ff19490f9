#pragma once

#include <sys/mman.h>

#include <functional>
#include <memory>

#include "gemm_formats.hpp"

/// Other libraries' products, each in a file that is compiled where its library was found.
namespace bench {

/// One of them, ready to be called.
struct peer {
  std::function<void()> call;
  std::size_t weight_bytes = 0;
};

peer openblas_product(peer_product what, gemm_shape s, std::size_t threads);
peer onednn_product(peer_product what, gemm_shape s, std::size_t threads);
peer onednn_s8s8_product(peer_product what, gemm_shape s, std::size_t threads);

struct peer_library {
  const char* name;
  peer (*make)(peer_product what, gemm_shape s, std::size_t threads);
  std::uint8_t products;  // bit of each peer_product

  [[nodiscard]] constexpr bool has(peer_product what) const {
    return what != peer_product::none && (products >> static_cast<int>(what) & 1) != 0;
  }
};

inline const std::vector<peer_library> peer_libraries {
#if defined(QTK_BENCH_OPENBLAS)
  {"openblas", openblas_product, 1 << static_cast<int>(peer_product::fp32)},
#endif
#if defined(QTK_BENCH_ONEDNN)
      {"onednn", onednn_product,
       1 << static_cast<int>(peer_product::fp32) | 1 << static_cast<int>(peer_product::int8)},
      {"onednn-s8s8", onednn_s8s8_product, 1 << static_cast<int>(peer_product::int8)},
#endif
};

/// Memory for a peer's weights, on huge pages where the system grants them: with 4 KiB pages a pass
/// over weights takes up to half as long again, and that would not be the library's doing.
class huge_buffer {
 public:
  explicit huge_buffer(std::size_t size_bytes) {
    constexpr std::size_t page = std::size_t{2} << 20;
    const std::size_t size = round_up(std::max<std::size_t>(size_bytes, 1), page);
    data_.reset(std::aligned_alloc(page, size));
    QTK_CHECK(data_ != nullptr, "huge_buffer", "out of memory: ", size_bytes, " bytes asked");
    madvise(data_.get(), size, MADV_HUGEPAGE);
  }
  [[nodiscard]] void* data() const { return data_.get(); }

 private:
  struct release {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<void, release> data_;
};

}  // namespace bench
