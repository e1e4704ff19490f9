#include <cstdio>
#include <qtk/cpu/info.hpp>
#include <qtk/kernels/elementwise.hpp>
#include <qtk/kernels/gemm.hpp>
#include <qtk/kernels/probe.hpp>
#include <qtk/report/table.hpp>

#include "options.hpp"

namespace qtk_cli {

void add_cpu(CLI::App& app) {
  auto* command = app.add_subcommand("cpu", "what was detected, what will be used, measured peaks");
  command->callback([] {
    const qtk::cpu_description d = qtk::describe_cpu();
    std::printf("cpu        %s, %zu threads\n", d.name.c_str(), d.threads);
    const auto cache = [](std::size_t bytes) {
      return bytes == 0 ? std::string("unknown") : qtk::cat(bytes >> 10, " KiB");
    };
    std::printf("caches     L1d %s, L2 %s, L3 %s\n", cache(d.l1d_bytes).c_str(),
                cache(d.l2_bytes).c_str(), cache(d.l3_bytes).c_str());
    const qtk::cpu_features& f = qtk::cpu();
    std::printf("features  ");
    for (const auto& [has, name] : {std::pair{f.avx2, "avx2"},
                                    {f.fma, "fma"},
                                    {f.f16c, "f16c"},
                                    {f.avx_vnni, "avx_vnni"},
                                    {f.avx512f, "avx512f"},
                                    {f.avx512bw, "avx512bw"},
                                    {f.avx512dq, "avx512dq"},
                                    {f.avx512vl, "avx512vl"},
                                    {f.avx512_vnni, "avx512_vnni"},
                                    {f.avx512_bf16, "avx512_bf16"},
                                    {f.neon_dotprod, "neon_dotprod"},
                                    {f.neon_i8mm, "neon_i8mm"}})
      if (has) std::printf(" %s", name);
    std::printf("\nisa        %s", qtk::name(qtk::active_isa()).data());
    std::printf(" (of");
    for (const qtk::isa i : qtk::all_isas)
      if (qtk::supported(i)) std::printf(" %s", qtk::name(i).data());
    std::printf("; QTK_ISA forces one)\n");
    for (std::size_t op = 0; op < qtk::gemm_op_count; ++op) {
      const auto& k = qtk::find_gemm(static_cast<qtk::gemm_op>(op), qtk::active_isa());
      std::printf("kernel     %-9s %s (%s)\n", qtk::name(k.op), k.name, qtk::name(k.target).data());
    }
    const qtk::profile::peaks peaks = qtk::measure_peaks(qtk::active_isa());
    std::printf("fp32       %.1f GFLOP/s on one core\n", peaks.fp32_gflops);
    std::printf("int8       %.1f GOP/s on one core\n", peaks.int8_gops);
    std::printf("read       %.1f GB/s on one core\n", peaks.bandwidth_gbps);
  });
}

}  // namespace qtk_cli
