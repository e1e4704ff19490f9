#include <qtk/kernels/avx2/gemm_tile.hpp>
#include <qtk/kernels/driver.hpp>

#include "kernels/gemm_problem.hpp"
#include "support/catch.hpp"

/// The kernels of avx_vnni with the EVEX form of the same instruction: so CPUs and emulators that
/// have AVX-512-VNNI test them, too.
#if QTK_X86_64
QTK_TARGET_BEGIN(QTK_FEATURES_AVX512_VNNI)
namespace qtk::inline QTK_ABI::vnni256_by_evex {

using avx2::broadcast4, avx2::gemm_finish_run, avx2::panels_for, avx2::simd;

inline constexpr isa vnni256_target = isa::avx_vnni;

QTK_ALWAYS_INLINE __m256i dot(__m256i sum, __m256i u, __m256i s) {
  return _mm256_dpbusd_epi32(sum, u, s);
}

#  include <qtk/kernels/gemm_s8s4_body.inl>
#  include <qtk/kernels/gemm_vnni256_body.inl>

}  // namespace qtk::inline QTK_ABI::vnni256_by_evex
QTK_TARGET_END

using namespace qtk_test;

TEST_CASE("the kernels of AVX-VNNI give the floats of the scalar ones", "[gemm]") {
  if (!supported(isa::avx512_vnni)) {
    QTK_SKIP("needs AVX-512-VNNI");
    return;
  }
  namespace kernels = qtk::vnni256_by_evex;
  const gemm_kernel* const all[] = {&gemm_entry<kernels::gemm_6x16c4<std::uint8_t>>,
                                    &gemm_entry<kernels::gemm_s8s4s32_6x16c4>,
                                    &gemm_entry<kernels::gemm_s8s4f32_6x16c4>};
  for (const gemm_kernel* kernel : all)
    for (unsigned seed = 0; seed < (light() ? 4u : 24u); ++seed) {
      problem p(kernel->op, 1 + seed, 40 + seed % 3, 96 + 17 * seed, 32, seed);
      p.add_bias();
      INFO(kernel->name << " M " << p.M << " N " << p.N << " K " << p.K);
      CHECK(same_bits(p.run(*kernel), p.run(find_gemm(p.op, isa::scalar))));
    }
}
#endif
