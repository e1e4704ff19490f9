// aarch64_instructions.py counts what this executes: one product of zeros, M N K, by the best
// kernel of the CPU. Prints the kernel's name and ISA, or without arguments those of all
// operations.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <qtk/core/numeric.hpp>
#include <qtk/kernels/gemm.hpp>

namespace {

constexpr std::size_t group_size = 32;

struct release {
  void operator()(void* p) const noexcept { std::free(p); }
};
using zeros = std::unique_ptr<void, release>;

zeros make_zeros(std::size_t size_bytes) {
  size_bytes = qtk::round_up(size_bytes + 1, 64);
  zeros p(std::aligned_alloc(64, size_bytes));
  if (p == nullptr) std::abort();
  std::memset(p.get(), 0, size_bytes);
  return p;
}

void multiply(const qtk::gemm_kernel& kernel, std::size_t M, std::size_t N, std::size_t K) {
  const zeros weights = make_zeros(N * K * sizeof(float));
  const zeros packed = make_zeros(kernel.packed_bytes(N, K, group_size));
  kernel.pack({.N = N, .K = K, .data = weights.get(), .row_stride = K, .group_size = group_size},
              packed.get());
  const zeros a = make_zeros(M * K * sizeof(float)), c = make_zeros(M * N * sizeof(float));
  const zeros scales = make_zeros(M * sizeof(float)), zero_points = make_zeros(M * sizeof(int));
  const zeros workspace = make_zeros(kernel.workspace_bytes(M, N, K, group_size));
  qtk::gemm_args args;
  args.M = args.m_end = M;
  args.N = args.n_end = args.c_row_stride = N;
  args.K = args.lda = K;
  args.a = a.get();
  args.b = packed.get();
  args.c = static_cast<float*>(c.get());
  args.workspace = workspace.get();
  if (qtk::is_integer(kernel.op)) {
    args.a_scales = static_cast<const float*>(scales.get());
    args.a_zero_points = static_cast<const std::int32_t*>(zero_points.get());
  }
  kernel.run(args);
}

}  // namespace

int main(int argc, char** argv) {
  for (std::size_t i = 0; i < qtk::gemm_op_count; ++i) {
    const auto op = static_cast<qtk::gemm_op>(i);
    const qtk::gemm_kernel& kernel = qtk::find_gemm(op, qtk::active_isa());
    if (argc == 1)
      std::printf("%s %s %s\n", qtk::name(op), qtk::name(kernel.target).data(), kernel.name);
    else if (argc == 5 && std::strcmp(argv[1], qtk::name(op)) == 0)
      multiply(kernel, std::strtoull(argv[2], nullptr, 10), std::strtoull(argv[3], nullptr, 10),
               std::strtoull(argv[4], nullptr, 10));
  }
}
