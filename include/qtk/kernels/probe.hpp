#pragma once

#include "qtk/core/buffer.hpp"
#include "qtk/core/executor.hpp"
#include "qtk/kernels/elementwise.hpp"
#include "qtk/profile/benchmark.hpp"
#include "qtk/profile/roofline.hpp"

namespace qtk::inline QTK_ABI {

/// Speed of reading memory, GB/s: the median of several passes over a buffer larger than the
/// caches, every page touched before, each thread of the executor reading a part of its own.
[[nodiscard]] inline double read_bandwidth_gbps(isa target = active_isa(), executor_ref on = {},
                                                std::size_t size_bytes = std::size_t{256} << 20) {
  const buffer b(size_bytes);  // zeroed: touched
  const probe_kernels& k = find_probe(target);
  const std::size_t part = b.size_bytes() / on.concurrency() / 64 * 64;
  const auto t = profile::benchmark(
      [&] {
        on(on.concurrency(),
           [&](std::size_t i) { profile::do_not_optimize(k.read(b.data() + i * part, part)); });
      },
      {.warmup = 1, .min_runs = 5, .max_runs = 5, .min_time_ms = 0});
  return static_cast<double>(part * on.concurrency()) / t.median;
}

/// The roof of this machine for the threads of an executor, one by default: register-only
/// multiply-add loops of the ISA's kernels and a read of memory, medians of short runs, about a
/// quarter of a second.
[[nodiscard]] inline profile::peaks measure_peaks(isa target = active_isa(), executor_ref on = {}) {
  const probe_kernels& k = find_probe(target);
  const auto rate = [&](double (*probe)(std::size_t)) {
    constexpr std::size_t rounds = 100000;
    const double operations = probe(1) * static_cast<double>(rounds * on.concurrency());
    const auto t = profile::benchmark(
        [&] {
          on(on.concurrency(), [&](std::size_t) { profile::do_not_optimize(probe(rounds)); });
        },
        {.warmup = 3, .min_runs = 9, .max_runs = 200, .min_time_ms = 30});
    return operations / t.median;
  };
  return {.fp32_gflops = rate(k.fp32),
          .bf16_gflops = rate(k.bf16),
          .int8_gops = rate(k.int8),
          .bandwidth_gbps = read_bandwidth_gbps(target, on)};
}

}  // namespace qtk::inline QTK_ABI
