// OpenBLAS: weights as they are, (N, K) row-major. It packs them in each call.
#include <cblas.h>

#include "gemm_peers.hpp"

namespace bench {
namespace {

struct openblas_sgemm {
  int M, N, K;
  std::vector<float> x, y;  // (M, K), (M, N)
  std::vector<buffer> copies;
  std::size_t next = 0;

  void operator()() {
    const auto* w = reinterpret_cast<const float*>(copies[next].data());  // (N, K)
    next = (next + 1) % copies.size();
    if (M == 1)  // what a user of a BLAS calls; its sgemm is slower here
      cblas_sgemv(CblasRowMajor, CblasNoTrans, N, K, 1.0f, w, K, x.data(), 1, 0.0f, y.data(), 1);
    else
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, N, K, 1.0f, x.data(), K, w, K, 0.0f,
                  y.data(), N);
  }
};

}  // namespace

peer openblas_product(peer_product, gemm_shape s, std::size_t threads) {
  openblas_set_num_threads(static_cast<int>(threads));
  auto p = std::make_shared<openblas_sgemm>(openblas_sgemm{static_cast<int>(s.M),
                                                           static_cast<int>(s.N),
                                                           static_cast<int>(s.K),
                                                           random_floats(s.M * s.K),
                                                           std::vector<float>(s.M * s.N),
                                                           {}});
  const std::size_t bytes = s.N * s.K * sizeof(float);
  for (std::uint32_t i = 0; i < copies_for(s.M, bytes); ++i) {
    p->copies.emplace_back(bytes);
    std::memcpy(p->copies.back().data(), random_weights<fp32>(s.N, s.K, 0, i).data(), bytes);
  }
  return {[p] { (*p)(); }, bytes};
}

}  // namespace bench
