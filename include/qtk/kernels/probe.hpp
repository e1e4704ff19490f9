#pragma once

#include "qtk/core/buffer.hpp"
#include "qtk/kernels/elementwise.hpp"
#include "qtk/profile/benchmark.hpp"
#include "qtk/profile/roofline.hpp"

namespace qtk::inline QTK_ABI {

/// Speed of reading memory with one thread, GB/s: the median of several passes over a buffer larger
/// than the caches, every page touched before.
[[nodiscard]] inline double read_bandwidth_gbps(isa target = active_isa(),
                                                std::size_t size_bytes = std::size_t{256} << 20) {
  const buffer b(size_bytes);  // zeroed: touched
  const probe_kernels& k = find_probe(target);
  const auto t =
      profile::benchmark([&] { profile::do_not_optimize(k.read(b.data(), b.size_bytes())); },
                         {.warmup = 1, .min_runs = 5, .max_runs = 5, .min_time_ms = 0});
  return static_cast<double>(size_bytes) / t.median;
}

/// The roof of this machine for one thread: register-only multiply-add loops of the ISA's kernels
/// and a read of memory, medians of short runs, about a quarter of a second.
[[nodiscard]] inline profile::peaks measure_peaks(isa target = active_isa()) {
  const probe_kernels& k = find_probe(target);
  const auto rate = [](double (*probe)(std::size_t)) {
    constexpr std::size_t rounds = 100000;
    double operations = 0;
    const auto t =
        profile::benchmark([&] { operations = probe(rounds); },
                           {.warmup = 3, .min_runs = 9, .max_runs = 200, .min_time_ms = 30});
    return operations / t.median;
  };
  return {.fp32_gflops = rate(k.fp32),
          .int8_gops = rate(k.int8),
          .bandwidth_gbps = read_bandwidth_gbps(target)};
}

}  // namespace qtk::inline QTK_ABI
