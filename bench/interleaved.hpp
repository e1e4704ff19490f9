#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <qtk/profile/benchmark.hpp>
#include <span>
#include <thread>
#include <vector>

/// Times competitors in alternation: in a round each of them runs once, and what counts is the
/// median over rounds. A neighbor's burst or a clock that sinks then meets all of them, where one
/// block after the other would charge it to whoever ran just then.
namespace bench {

using qtk::profile::timing;

struct interleaved_options {
  double seconds = 0.5;    // for each competitor
  double sample_ms = 10;   // a competitor's share of a round: as many calls as fit, at least one
  double rest_ms = 0;      // before a competitor's share, see rest_for()
  std::size_t rounds = 7;  // at least
};

/// OpenMP's and OpenBLAS's idle threads spin for some milliseconds after their work and would take
/// the core from the next competitor's threads: with more than one thread, wait them out.
[[nodiscard]] constexpr double rest_for(std::size_t threads) { return threads > 1 ? 30 : 0; }

namespace detail {

inline double ns_of(const std::function<void()>& call, std::size_t times) {
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < times; ++i) call();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin)
             .count() /
         static_cast<double>(times);
}

}  // namespace detail

/// So many seconds for each competitor; hardly any: it is only run to see that it runs.
[[nodiscard]] inline interleaved_options options_for(double seconds) {
  if (seconds < 0.01) return {.seconds = 0, .sample_ms = 0, .rounds = 1};
  return {.seconds = seconds};
}

/// Nanoseconds of one call of each competitor: statistics over rounds, in the order of `calls`.
/// `tick` is called after each round.
[[nodiscard]] inline std::vector<timing> interleaved(
    std::span<const std::function<void()>> calls, const interleaved_options& o,
    const std::function<void()>& tick = [] {}) {
  const auto rest = [&] {
    if (o.rest_ms > 0)
      std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(o.rest_ms));
  };
  const double sample_ns = o.sample_ms * 1e6;
  std::vector<std::size_t> times;  // calls in a sample
  for (const auto& call : calls) {
    rest();
    call();  // touches its pages, builds what it builds once
    const double guess = detail::ns_of(call, 1);
    const double exact = detail::ns_of(call, guess * 8 < sample_ns ? 8 : 1);
    times.push_back(std::max<std::size_t>(1, static_cast<std::size_t>(sample_ns / exact)));
  }
  std::vector<std::vector<double>> samples(calls.size());
  const double budget_ns = o.seconds * 1e9 * static_cast<double>(calls.size());
  for (double spent = 0; samples.front().size() < o.rounds || spent < budget_ns;) {
    for (std::size_t i = 0; i < calls.size(); ++i) {
      rest();
      if (times[i] > 1) calls[i]();  // wakes its threads; lost in the noise where one call is long
      samples[i].push_back(detail::ns_of(calls[i], times[i]));
      spent += samples[i].back() * static_cast<double>(times[i]);
    }
    tick();
  }
  std::vector<timing> out;
  for (const auto& s : samples) out.push_back(qtk::profile::summarize(s));
  return out;
}

}  // namespace bench
