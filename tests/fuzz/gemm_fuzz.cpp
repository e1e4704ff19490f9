#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "kernels/gemm_problem.hpp"

/// A product of any operation, shape and codes: all instruction sets of this CPU agree. Integers,
/// and floats that come of them, are equal bit by bit; other floats are within the stated bound of
/// the reference. Operands lie in buffers of exact size.
///
/// Input: operation, M, N, K (two bytes), group, flags, seed; then codes, repeated over W.

namespace {

using namespace qtk_test;

[[noreturn]] void disagree(const problem& p, isa target, std::size_t m, std::size_t n, double got,
                           double expected) {
  std::fprintf(stderr,
               "%s on %s, M %zu N %zu K %zu group %zu: C(%zu, %zu) is %.9g instead of %.9g\n",
               name(p.op), name(target).data(), p.M, p.N, p.K, p.group, m, n, got, expected);
  std::abort();
}

void compare(const problem& p) {
  const exact<float> plain = p.run(find_gemm(p.op, isa::scalar));
  const gemm_weights w = p.source();
  const gemm_args args = p.args();
  for (const isa target : isas_under_test()) {
    const exact<float> c = p.run(find_gemm(p.op, target));
    const exact<float> by_rows = p.run(find_gemm(p.op, target), 3, 1);
    for (std::size_t m = 0; m < p.M; ++m)
      for (std::size_t n = 0; n < p.N; ++n) {
        const std::size_t at = p.c_index(m, n);
        if (by_rows[at] != c[at]) disagree(p, target, m, n, by_rows[at], c[at]);
        if (is_integer(p.op)) {
          if (c[at] != plain[at]) disagree(p, target, m, n, c[at], plain[at]);
        }
        const reference::element e = reference::product(p.op, w, args, m, n);
        if (!(std::abs(double{c[at]} - e.value) <= p.bound(e.magnitude)))
          disagree(p, target, m, n, c[at], e.value);
      }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  const gemm_op op = all_ops[data[0] % all_ops.size()];
  const std::size_t M = 1 + data[1] % 40, N = 1 + data[2] % 100;
  const std::size_t K = (data[3] | std::size_t{data[4]} << 8) % 1100;
  const unsigned flags = data[6];
  problem p(op, M, N, K, 1 + data[5] % 130, data[7]);
  const std::uint8_t* const codes = data + 8;
  const bool floats = !is_integer(op) && !is_affine(op);
  if (size > 8 && !floats)
    for (std::size_t i = 0; i < p.weights.size(); ++i) p.weights[i] = codes[i % (size - 8)];
  if (size > 8)
    for (std::size_t i = 0; i < p.a_codes.size(); ++i) p.a_codes[i] = codes[i * 7 % (size - 8)];
  p.transposed = (flags & 1) != 0;
  p.out.act = static_cast<activation>(flags >> 1 & 3);
  if (flags & 8) p.add_bias();
  if (flags & 16) p.add_residual();
  compare(p);
  return 0;
}
