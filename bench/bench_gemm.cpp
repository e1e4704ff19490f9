// GEMM kernels on one thread, as fractions of the register-only peak of the same ISA.
//   names: gemm/<op>/M:<M>/N:<N>/K:<K>/isa:<isa>
//   gops: 2 * M * N * K a second; peak_fraction: of the fp32 multiply-add loop for f32_*, of the
//   integer sequence that the ISA's u8_s8 kernel uses for u8_s8 and s8_s4 (int4 may pass 1: AVX2
//   multiplies it by a denser instruction); weights_gb_s: packed weights read a second.
#include <benchmark/benchmark.h>

#include <qtk/core/buffer.hpp>
#include <qtk/kernels/gemm.hpp>
#include <qtk/kernels/probe.hpp>
#include <random>
#include <string>
#include <vector>

#if __has_include(<cblas.h>) && defined(QTK_BENCH_CBLAS)
#  include <cblas.h>
#endif

using namespace qtk;

namespace {

struct shape_mnk {
  std::size_t M, N, K;
};

bool integer(gemm_op op) { return op == gemm_op::u8_s8 || op == gemm_op::s8_s4; }

void run_gemm(benchmark::State& state, gemm_op op, isa target, shape_mnk s, double peak_ops) {
  const gemm_kernel& kernel = find_gemm(op, target);
  const std::size_t group = op == gemm_op::f32_s4 || op == gemm_op::s8_s4 ? 32 : s.K;
  std::mt19937 random(1);
  std::vector<std::uint8_t> weights(s.N * s.K * 4), codes(s.M * s.K);
  for (auto& x : weights) x = static_cast<std::uint8_t>(random() % 60);  // as floats: small, finite
  for (auto& x : codes) x = static_cast<std::uint8_t>(random());
  std::vector<float> a(s.M * s.K), c(s.M * s.N), a_scales(s.M, 0.01f), bias(s.N, 1.0f),
      scales(s.N * ceil_div(s.K, group), 0.01f);
  std::uniform_real_distribution<float> pick(-1.0f, 1.0f);
  for (float& x : a) x = pick(random);
  const std::vector<std::int32_t> zero_points(s.M, 127);

  buffer packed(kernel.packed_bytes(s.N, s.K, group));
  kernel.pack({.N = s.N,
               .K = s.K,
               .data = weights.data(),
               .row_stride = s.K,
               .group_size = group,
               .scales = scales.data()},
              packed.data());
  buffer workspace(kernel.workspace_bytes(s.M, s.N, s.K, group));
  gemm_args args{.M = s.M, .N = s.N, .K = s.K, .m_end = s.M, .n_end = s.N, .lda = s.K};
  args.a = integer(op) ? static_cast<const void*>(codes.data()) : a.data();
  args.a_scales = a_scales.data();
  if (op == gemm_op::u8_s8) args.a_zero_points = zero_points.data();
  args.b = packed.data();
  args.c = c.data();
  args.c_row_stride = s.N;
  args.out = {.bias = bias.data(), .act = activation::relu};
  args.workspace = workspace.data();

  for (auto _ : state) {
    kernel.run(args);
    benchmark::ClobberMemory();
  }
  const double operations = 2.0 * static_cast<double>(s.M * s.N * s.K);
  const auto rate = [&](double amount) {
    return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
  };
  state.counters["gops"] = rate(operations * 1e-9);
  state.counters["peak_fraction"] = rate(operations / peak_ops);
  state.counters["weights_gb_s"] = rate(static_cast<double>(packed.size_bytes()) * 1e-9);
  state.SetLabel(kernel.name);
}

#if __has_include(<cblas.h>) && defined(QTK_BENCH_CBLAS)
void run_cblas(benchmark::State& state, shape_mnk s, double peak_ops) {
  const std::vector<float> a(s.M * s.K, 0.5f), w(s.N * s.K, 0.25f);
  std::vector<float> c(s.M * s.N);
  const auto M = static_cast<int>(s.M), N = static_cast<int>(s.N), K = static_cast<int>(s.K);
  for (auto _ : state) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, N, K, 1.0f, a.data(), K, w.data(), K,
                0.0f, c.data(), N);
    benchmark::ClobberMemory();
  }
  const double operations = 2.0 * static_cast<double>(s.M * s.N * s.K);
  state.counters["gops"] =
      benchmark::Counter(operations * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["peak_fraction"] =
      benchmark::Counter(operations / peak_ops, benchmark::Counter::kIsIterationInvariantRate);
}
#endif

}  // namespace

int main(int argc, char** argv) {
  // A square one, one and few rows against a large matrix, and the layers of a small ResNet.
  const shape_mnk shapes[] = {{1024, 1024, 1024}, {1, 4096, 4096}, {8, 4096, 4096},
                              {1024, 16, 144},    {256, 32, 288},  {64, 64, 576}};
  constexpr gemm_op ops[] = {gemm_op::f32_f32, gemm_op::f32_f16, gemm_op::f32_bf16, gemm_op::f32_s8,
                             gemm_op::f32_s4,  gemm_op::u8_s8,   gemm_op::s8_s4};
  for (const isa target : all_isas) {
    if (!supported(target)) continue;
    const profile::peaks roof = measure_peaks(target);
    for (const gemm_op op : ops)
      for (const shape_mnk& s : shapes) {
        const double peak_ops = 1e9 * (integer(op) ? roof.int8_gops : roof.fp32_gflops);
        benchmark::RegisterBenchmark(
            cat("gemm/", name(op), "/M:", s.M, "/N:", s.N, "/K:", s.K, "/isa:", name(target))
                .c_str(),
            [=](benchmark::State& state) { run_gemm(state, op, target, s, peak_ops); })
            ->Unit(benchmark::kMicrosecond);
      }
#if __has_include(<cblas.h>) && defined(QTK_BENCH_CBLAS)
    if (target == best_isa())
      for (const shape_mnk& s : shapes)
        benchmark::RegisterBenchmark(
            cat("cblas_sgemm/M:", s.M, "/N:", s.N, "/K:", s.K).c_str(),
            [=](benchmark::State& state) { run_cblas(state, s, 1e9 * roof.fp32_gflops); })
            ->Unit(benchmark::kMicrosecond);
#endif
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
