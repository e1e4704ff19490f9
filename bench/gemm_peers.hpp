#pragma once

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
peer onednn_scaled_product(peer_product what, gemm_shape s, std::size_t threads);
peer onednn_s8s8_product(peer_product what, gemm_shape s, std::size_t threads);

struct peer_library {
  const char* name;
  peer (*make)(peer_product what, gemm_shape s, std::size_t threads);
  std::uint8_t products;  // bit of each peer_product

  [[nodiscard]] bool has(peer_product what) const {
    if (what == peer_product::bf16 && !cpu().avx512_bf16) return false;  // oneDNN has no fallback
    return what != peer_product::none && (products >> static_cast<int>(what) & 1) != 0;
  }
};

inline const std::vector<peer_library> peer_libraries {
#if defined(QTK_BENCH_OPENBLAS)
  {"openblas", openblas_product, 1 << static_cast<int>(peer_product::fp32)},
#endif
#if defined(QTK_BENCH_ONEDNN)
      {"onednn", onednn_product,
       1 << static_cast<int>(peer_product::fp32) | 1 << static_cast<int>(peer_product::bf16) |
           1 << static_cast<int>(peer_product::int8)},
      {"onednn-scaled", onednn_scaled_product, 1 << static_cast<int>(peer_product::int8)},
      {"onednn-s8s8", onednn_s8s8_product, 1 << static_cast<int>(peer_product::int8)},
#endif
};

}  // namespace bench
