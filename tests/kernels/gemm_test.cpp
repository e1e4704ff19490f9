#include <cmath>
#include <limits>
#include <random>

#include "kernels/gemm_problem.hpp"
#include "support/catch.hpp"

using namespace qtk_test;

namespace {

/// The kernel of `op` that belongs to `i`, if it has one of its own.
const gemm_kernel* own_kernel(gemm_op op, isa i) {
  const gemm_kernel& k = find_gemm(op, i);
  return k.target == i || std::getenv("QTK_ISA") != nullptr ? &k : nullptr;
}

/// Runs `p` on every instruction set and compares with the reference.
void check(const problem& p) {
  const gemm_weights w = p.source();
  const gemm_args args = p.args();
  std::vector<reference::element> expected(p.M * p.N);
  for (std::size_t m = 0; m < p.M; ++m)
    for (std::size_t n = 0; n < p.N; ++n)
      expected[m * p.N + n] = reference::product(p.op, w, args, m, n);
  for (const isa target : isas_under_test()) {
    const gemm_kernel* kernel = own_kernel(p.op, target);
    if (kernel == nullptr) continue;
    const exact<float> c = p.run(*kernel);
    std::size_t wrong = 0;
    for (std::size_t m = 0; m < p.M; ++m)
      for (std::size_t n = 0; n < p.N; ++n) {
        const reference::element& e = expected[m * p.N + n];
        const double error = std::abs(static_cast<double>(c[p.c_index(m, n)]) - e.value);
        if (!(error <= p.bound(e.magnitude))) ++wrong;
      }
    INFO(kernel->name << " on " << name(target) << ", M " << p.M << " N " << p.N << " K " << p.K
                      << " group " << p.group << " act " << static_cast<int>(p.out.act));
    CHECK(wrong == 0);
  }
}

}  // namespace

TEST_CASE("every operation on every ISA agrees with the reference", "[gemm]") {
  // Around the sizes of tiles (4 6 12), panels (8 16), steps of k (1 2 4 8) and blocks (144, 192,
  // 256, 512, 1024).
  const std::vector<std::size_t> rows{1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 17, 31, 65};
  const std::vector<std::size_t> columns{1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 130};
  const std::vector<std::size_t> depths{1,  2,  3,   7,   8,   15,  16,  17,  31,  33,  63,   64,
                                        65, 96, 127, 130, 191, 193, 255, 257, 511, 513, 1023, 1025};
  const std::size_t groups[] = {32, 8, 6, 128};
  std::mt19937 random(7);
  const auto pick = [&](const auto& from) { return from[random() % from.size()]; };
  const unsigned rounds = light() ? 6 : 60;
  for (const gemm_op op : all_ops)
    for (unsigned i = 0; i < rounds; ++i) {
      problem p(op, pick(rows), pick(columns), pick(depths), groups[i % 4], i);
      p.transposed = i % 3 == 2;
      p.out.act = static_cast<activation>(i % 4);
      if (i % 2 != 0) p.add_bias();
      if (i % 5 == 0) p.add_residual();
      check(p);
    }
}

TEST_CASE("blocks of rows and of k", "[gemm]") {
  for (const gemm_op op : all_ops) {
    problem p(op, light() ? 30 : 300, 20, 530, 32, 3);
    check(p);
  }
}

TEST_CASE("the epilogue in every combination", "[gemm]") {
  for (const gemm_op op :
       {gemm_op::f32_f32, gemm_op::u8_s8, gemm_op::s8_s4_channel, gemm_op::s8_s4})
    for (int parts = 0; parts < 8; ++parts)
      for (const activation act :
           {activation::none, activation::relu, activation::leaky_relu, activation::clip}) {
        problem p(op, 7, 19, 33, 32, static_cast<unsigned>(parts));
        p.transposed = (parts & 4) != 0;
        p.out = {.act = act, .alpha = 0.3f, .lo = -0.25f, .hi = 0.5f};
        if (parts & 1) p.add_bias();
        if (parts & 2) p.add_residual();
        check(p);
      }
}

TEST_CASE("the result may be its own residual", "[gemm]") {
  for (const bool transposed : {false, true})
    for (const isa target : isas_under_test()) {
      problem p(gemm_op::f32_f32, 13, 37, 20, 20, 1);
      p.transposed = transposed;
      p.add_residual();
      const gemm_kernel& k = find_gemm(p.op, target);
      const exact<float> expected = p.run(k);
      guarded packed(k.packed_bytes(p.N, p.K, p.K)), workspace(k.workspace_bytes(13, 37, 20, 20));
      k.pack(p.source(), packed.data());
      gemm_args a = p.args();
      a.b = packed.data();
      a.workspace = workspace.data();
      a.c = p.residual.data();
      k.run(a);
      for (std::size_t m = 0; m < p.M; ++m)
        for (std::size_t n = 0; n < p.N; ++n)
          REQUIRE(p.residual[p.c_index(m, n)] == expected[p.c_index(m, n)]);
    }
}

TEST_CASE("sizes of zero", "[gemm]") {
  for (const gemm_op op : all_ops)
    for (const isa target : isas_under_test()) {
      const gemm_kernel& k = find_gemm(op, target);
      CHECK(problem(op, 0, 5, 7, 4, 0).run(k).size() == 0);
      CHECK(problem(op, 5, 0, 7, 4, 0).run(k).size() == 0);
      problem p(op, 5, 18, 0, 4, 0);  // an empty sum: the epilogue alone
      p.add_bias();
      p.out.act = activation::relu;
      const exact<float> c = p.run(k);
      for (std::size_t m = 0; m < p.M; ++m)
        for (std::size_t n = 0; n < p.N; ++n)
          REQUIRE(c[p.c_index(m, n)] == std::fmax(p.bias[n], 0.0f));
    }
}

TEST_CASE("integers are exact at the ends of their range", "[gemm]") {
  // 255 * -128 twice is what vpmaddubsw saturates; zero points at both ends.
  const std::uint8_t a_ends[] = {0, 255};
  const std::uint8_t w_ends[] = {0x80, 0x7f};  // -128, 127
  for (const std::size_t K : {1u, 2u, 7u, 64u, 1030u})
    for (unsigned pattern = 0; pattern < 8; ++pattern) {
      problem p(gemm_op::u8_s8, 9, 35, K, K, pattern);
      std::mt19937 random(pattern);
      for (auto& x : p.a_codes) x = a_ends[pattern < 4 ? pattern & 1 : random() & 1];
      for (auto& x : p.weights) x = w_ends[pattern < 4 ? pattern >> 1 : random() & 1];
      for (auto& z : p.a_zero_points) z = random() & 1 ? 255 : 0;
      const gemm_weights w = p.source();
      const gemm_args args = p.args();
      for (const isa target : isas_under_test()) {
        const exact<std::int32_t> c = p.run_integers(find_gemm(p.op, target));
        std::size_t wrong = 0;
        for (std::size_t m = 0; m < p.M; ++m)
          for (std::size_t n = 0; n < p.N; ++n)
            wrong += c[p.c_index(m, n)] != reference::integer_product(p.op, w, args, m, n);
        INFO(name(target) << " K " << K << " pattern " << pattern);
        CHECK(wrong == 0);
      }
    }
}

TEST_CASE("integers are exact whatever the spread of the weights", "[gemm]") {
  // AVX2 sums bytes in int16 and treats by itself what exceeds: from no weights to all of them, and
  // those of one column alone.
  for (const double sigma : {5.0, 28.0, 34.0, 40.0, 1000.0})
    for (const std::size_t K : {1u, 97u, 1001u, 2300u})
      for (const bool one_column : {false, true}) {
        problem p(gemm_op::u8_s8, 29, 35, K, K, 0);
        std::mt19937 random(7);
        std::normal_distribution<double> bell(0.0, sigma);
        for (auto& x : p.a_codes) x = static_cast<std::uint8_t>(random() & 1 ? 255 : random());
        for (auto& x : p.weights)
          x = static_cast<std::uint8_t>(
              static_cast<std::int8_t>(std::clamp(std::nearbyint(bell(random)), -128.0, 127.0)));
        if (one_column) std::fill_n(p.weights.begin(), K, std::uint8_t{0x80});
        const gemm_weights w = p.source();
        const gemm_args args = p.args();
        for (const isa target : isas_under_test()) {
          const exact<std::int32_t> c = p.run_integers(find_gemm(p.op, target));
          std::size_t wrong = 0;
          for (std::size_t m = 0; m < p.M; ++m)
            for (std::size_t n = 0; n < p.N; ++n)
              wrong += c[p.c_index(m, n)] != reference::integer_product(p.op, w, args, m, n);
          INFO(name(target) << " sigma " << sigma << " K " << K);
          REQUIRE(wrong == 0);
        }
      }
}

TEST_CASE("int32 accumulators hold K = 65793 at the extremes", "[gemm]") {
  constexpr std::size_t K = 65793;  // 255 * 128 * 65793 = 2^31 - 128; one more product overflows
  static_assert(255ll * 128 * K <= 0x7fffffff && 255ll * 128 * (K + 1) > 0x7fffffff);
  problem p(gemm_op::u8_s8, 1, 1, K, K, 0);
  std::fill(p.a_codes.begin(), p.a_codes.end(), std::uint8_t{255});
  std::fill(p.weights.begin(), p.weights.end(), std::uint8_t{0x80});
  p.a_zero_points[0] = 0;
  for (const isa target : isas_under_test())
    CHECK(p.run_integers(find_gemm(p.op, target))[0] == -255 * 128 * static_cast<int>(K));
}

TEST_CASE("int4 groups are exact at the ends of their range", "[gemm]") {
  // -128 x 15 eight times over: the most that an int16 accumulator of the AVX2 kernel receives.
  for (const std::size_t group : {4u, 32u, 36u, 300u}) {
    problem p(gemm_op::s8_s4, 7, 20, 300, group, 0);
    for (auto& x : p.a_codes) x = 0x80;    // -128
    for (auto& x : p.weights) x = 0x77;    // 7, stored as 15
    for (auto& z : p.zero_points) z = -8;  // 15 * -128 and no compensation
    for (auto& s : p.scales) s = 1.0f;
    for (auto& s : p.a_scales) s = 1.0f;
    for (const isa target : isas_under_test()) {
      const exact<float> c = p.run(find_gemm(p.op, target));
      for (std::size_t m = 0; m < p.M; ++m)
        for (std::size_t n = 0; n < p.N; ++n)
          REQUIRE(c[p.c_index(m, n)] == -128.0f * 15.0f * 300.0f);
    }
  }
}

TEST_CASE("int4 sums under one scale are exact at the ends of their range", "[gemm]") {
  const std::uint8_t ends[] = {0x80, 0x7f};  // -128, 127; as two codes: -8 and 0, 7 and -1
  for (const std::size_t K : {1u, 2u, 7u, 33u, 64u, 1030u})
    for (unsigned pattern = 0; pattern < 8; ++pattern) {
      problem p(gemm_op::s8_s4_channel, 9, 35, K, K, pattern);
      std::mt19937 random(pattern);
      for (auto& x : p.a_codes) x = ends[pattern < 4 ? pattern & 1 : random() & 1];
      for (auto& x : p.weights) x = pattern < 4 ? (pattern & 2 ? 0x77 : 0x88) : random() & 0xff;
      const gemm_weights w = p.source();
      const gemm_args args = p.args();
      for (const isa target : isas_under_test()) {
        const exact<std::int32_t> c = p.run_integers(find_gemm(p.op, target));
        std::size_t wrong = 0;
        for (std::size_t m = 0; m < p.M; ++m)
          for (std::size_t n = 0; n < p.N; ++n)
            wrong += c[p.c_index(m, n)] != reference::integer_product(p.op, w, args, m, n);
        INFO(name(target) << " K " << K << " pattern " << pattern);
        CHECK(wrong == 0);
      }
    }
}

TEST_CASE("groups of zeros give zeros", "[gemm]") {
  for (const gemm_op op :
       {gemm_op::f32_s8, gemm_op::f32_s4, gemm_op::s8_s4_channel, gemm_op::s8_s4})
    for (const isa target : isas_under_test()) {
      problem p(op, 5, 17, 64, 32, 0);
      for (auto& s : p.scales) s = 0.0f;
      const exact<float> c = p.run(find_gemm(op, target));
      for (std::size_t m = 0; m < p.M; ++m)
        for (std::size_t n = 0; n < p.N; ++n) REQUIRE(c[p.c_index(m, n)] == 0.0f);
    }
}

TEST_CASE("unsigned int4 codes and absent scales", "[gemm]") {
  for (const gemm_op op : {gemm_op::f32_s4, gemm_op::s8_s4_channel, gemm_op::s8_s4})
    for (const isa target : isas_under_test()) {
      problem p(op, 3, 18, 40, 8, 5);
      for (auto& z : p.zero_points) z += 8;  // 0..15
      gemm_weights w = p.source();
      w.unsigned_codes = true;
      w.scales = nullptr;
      const gemm_kernel& k = find_gemm(op, target);
      guarded packed(k.packed_bytes(18, 40, 8)), workspace(k.workspace_bytes(3, 18, 40, 8));
      k.pack(w, packed.data());
      exact<float> c(p.c_size());
      gemm_args a = p.args();
      a.b = packed.data();
      a.c = c.data();
      a.workspace = workspace.data();
      k.run(a);
      for (std::size_t m = 0; m < p.M; ++m)
        for (std::size_t n = 0; n < p.N; ++n) {
          const reference::element e = reference::product(op, w, a, m, n);
          REQUIRE(std::abs(static_cast<double>(c[p.c_index(m, n)]) - e.value) <=
                  p.bound(e.magnitude));
        }
    }
}

TEST_CASE("a result doesn't depend on how the work is shared out", "[gemm]") {
  for (const gemm_op op : all_ops)
    for (const isa target : isas_under_test()) {
      const gemm_kernel& k = find_gemm(op, target);
      problem p(op, light() ? 20 : 160, 70, 600, 32, 4);
      const exact<float> whole = p.run(k);
      INFO(k.name << " on " << name(target));
      CHECK(same_bits(p.run(k, 1), whole));  // one row at a time: the GEMV forms
      CHECK(same_bits(p.run(k, 7), whole));
      CHECK(same_bits(p.run(k, 0, 1), whole));  // one panel at a time
      CHECK(same_bits(p.run(k, 3, 3), whole));
    }
}

TEST_CASE("integer products give the same floats on every ISA", "[gemm]") {
  for (const gemm_op op : {gemm_op::u8_s8, gemm_op::s8_s4_channel, gemm_op::s8_s4})
    for (unsigned seed = 0; seed < (light() ? 2u : 12u); ++seed) {
      problem p(op, 5 + seed, 40, 96 + 17 * seed, 32, seed);
      p.transposed = seed % 2 != 0;
      p.out.act = static_cast<activation>(seed % 4);
      p.add_bias();
      if (seed % 3 == 0) p.add_residual();
      const exact<float> expected = p.run(find_gemm(op, isa::scalar));
      for (const isa target : isas_under_test()) {
        INFO(name(op) << " on " << name(target));
        CHECK(same_bits(p.run(find_gemm(op, target)), expected));
      }
    }
}

TEST_CASE("fp32 on ISAs with FMA is the chain of fused multiply-adds, bit for bit", "[gemm]") {
  problem p(gemm_op::f32_f32, 14, 33, 700, 700, 2);
  const auto* w = reinterpret_cast<const float*>(p.weights.data());
  for (const isa target : isas_under_test()) {
    if (target == isa::scalar || target == isa::generic) continue;
    const exact<float> c = p.run(find_gemm(p.op, target));
    for (std::size_t m = 0; m < p.M; ++m)
      for (std::size_t n = 0; n < p.N; ++n) {
        float sum = 0.0f;
        for (std::size_t k = 0; k < p.K; ++k)
          sum = std::fma(p.a_f32[m * p.lda + k], w[n * p.row_stride + k], sum);
        REQUIRE(c[p.c_index(m, n)] == sum);
      }
  }
}

TEST_CASE("weight-only products are those of the dequantized weights, bit for bit", "[gemm]") {
  for (const gemm_op op : {gemm_op::f32_f16, gemm_op::f32_bf16, gemm_op::f32_s8, gemm_op::f32_s4})
    for (const std::size_t M : {1u, 2u, 3u, 4u, 13u})
      for (const isa target : isas_under_test()) {
        problem p(op, M, 40, 330, 32, 6);
        const gemm_weights w = p.source();
        problem plain(gemm_op::f32_f32, M, 40, 330, 330, 6);
        plain.a_f32 = exact<float>(p.a_f32.size());
        std::copy(p.a_f32.begin(), p.a_f32.end(), plain.a_f32.begin());
        for (std::size_t n = 0; n < p.N; ++n)
          for (std::size_t k = 0; k < p.K; ++k) {
            const std::size_t g = reference::weight_group(w, n, k);
            const auto code = static_cast<float>(reference::weight_code(op, w, n, k));
            const float x =
                is_grouped(op) ? p.scales[g] * (code - static_cast<float>(p.zero_points[g])) : code;
            std::memcpy(plain.weights.data() + (n * plain.row_stride + k) * 4, &x, 4);
          }
        INFO(name(op) << " on " << name(target) << ", M " << M);
        CHECK(same_bits(p.run(find_gemm(op, target)),
                        plain.run(find_gemm(gemm_op::f32_f32, target))));
      }
}

TEST_CASE("NaN reaches the result through every activation", "[gemm]") {
  for (const activation act :
       {activation::none, activation::relu, activation::leaky_relu, activation::clip})
    for (const isa target : isas_under_test()) {
      problem p(gemm_op::f32_f32, 2, 20, 5, 5, 0);
      p.a_f32[3] = std::numeric_limits<float>::quiet_NaN();
      p.out.act = act;
      const exact<float> c = p.run(find_gemm(p.op, target));
      for (std::size_t n = 0; n < p.N; ++n) {
        REQUIRE(std::isnan(c[p.c_index(0, n)]));
        REQUIRE(!std::isnan(c[p.c_index(1, n)]));
      }
    }
}

TEST_CASE("an ISA without a kernel of its own is served by one below", "[gemm]") {
  for (const gemm_op op : all_ops)
    for (const isa target : all_isas) {
      const gemm_kernel& k = find_gemm(op, target);
      CHECK(k.op == op);
      CHECK(k.target <= target);
      CHECK((supported(k.target) || !supported(target)));
    }
  CHECK(find_gemm(gemm_op::f32_f32, isa::scalar).target == isa::scalar);
}
