#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "qtk/core/error.hpp"
#include "qtk/profile/clock.hpp"

namespace qtk::inline QTK_ABI::profile {

/// Keeps a value from being optimized away.
template <class T>
inline void do_not_optimize(const T& value) noexcept {
  __asm__ volatile("" : : "r,m"(value) : "memory");
}

/// What many runs took, in nanoseconds.
struct timing {
  std::size_t runs = 0;
  double min = 0, p05 = 0, median = 0, p95 = 0, max = 0, mean = 0;
  double mad = 0;  // median of |t - median|: the spread that outliers don't move
};

/// The q-quantile of sorted values, linear between neighbors (Hyndman and Fan 1996, type 7).
[[nodiscard]] inline double quantile(const std::vector<double>& sorted, double q) {
  QTK_CHECK(!sorted.empty(), "quantile", "of nothing");
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - std::floor(at)) * (sorted[above] - sorted[below]);
}

[[nodiscard]] inline timing summarize(std::vector<double> ns) {
  QTK_CHECK(!ns.empty(), "summarize", "no runs");
  std::sort(ns.begin(), ns.end());
  timing t{.runs = ns.size(),
           .min = ns.front(),
           .p05 = quantile(ns, 0.05),
           .median = quantile(ns, 0.5),
           .p95 = quantile(ns, 0.95),
           .max = ns.back()};
  double sum = 0.0;
  for (const double x : ns) sum += x;
  t.mean = sum / static_cast<double>(ns.size());
  for (double& x : ns) x = std::fabs(x - t.median);
  std::sort(ns.begin(), ns.end());
  t.mad = quantile(ns, 0.5);
  return t;
}

struct benchmark_options {
  std::size_t warmup = 3;  // runs before the clock counts
  std::size_t min_runs = 10, max_runs = 1000;
  double min_time_ms = 100;  // stop when both minima are met
  std::function<void()> synchronize =
      {};  // waits for an asynchronous device; called around each run
};

/// Times of single runs of `f`, in nanoseconds, by three rules: warm up; synchronize before the
/// clock is read; run often enough for a median with its spread (summarize()).
template <class Function>
[[nodiscard]] std::vector<double> measure(Function&& f, const benchmark_options& options = {}) {
  const auto wait = [&] {
    if (options.synchronize) options.synchronize();
  };
  for (std::size_t i = 0; i < options.warmup; ++i) f();
  wait();
  std::vector<ticks> taken;
  const ticks start = detail::steady_ns();
  while (taken.size() < options.max_runs &&
         (taken.size() < options.min_runs ||
          static_cast<double>(detail::steady_ns() - start) < options.min_time_ms * 1e6)) {
    const ticks begin = now();
    f();
    wait();
    taken.push_back(now() - begin);
  }
  const double scale = ns_per_tick();
  std::vector<double> ns;
  ns.reserve(taken.size());
  for (const ticks t : taken) ns.push_back(static_cast<double>(t) * scale);
  return ns;
}

template <class Function>
[[nodiscard]] timing benchmark(Function&& f, const benchmark_options& options = {}) {
  return summarize(measure(f, options));
}

}  // namespace qtk::inline QTK_ABI::profile
