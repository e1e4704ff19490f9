#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "qtk/profile/clock.hpp"

/// Scopes: who took the time.
namespace qtk::inline QTK_ABI::profile {

/// What a scope did: operations (a multiply-add counts two) and bytes moved, each once.
struct work {
  double flops = 0;
  double bytes = 0;
  bool integer = false;          // compare with the integer roof
  const char* kernel = nullptr;  // static or interned: which code ran
};

/// One finished scope.
struct event {
  const char* name = "";
  ticks begin = 0, end = 0;
  std::uint32_t depth = 0;   // scopes open around it on its thread
  std::uint32_t thread = 0;  // in order of each thread's first scope
  profile::work work;
};

/// A string that lives as long as the program: for names that aren't literals.
[[nodiscard]] inline const char* intern(std::string_view text) {
  static std::mutex mutex;
  static std::deque<std::string> kept;  // stable addresses
  static std::unordered_map<std::string_view, const char*> known;
  const std::lock_guard lock(mutex);
  const auto it = known.find(text);
  if (it != known.end()) return it->second;
  const std::string& s = kept.emplace_back(text);
  known.emplace(s, s.c_str());
  return s.c_str();
}

namespace detail {

/// Events of one thread. The owner appends and publishes the count; readers copy up to the count
/// that they saw, so recording never waits for them. Full: later events are counted, not kept, so
/// that a program left running keeps its beginning and a bounded size (64 Ki events, about 4 MB a
/// thread).
struct thread_log {
  static constexpr std::size_t capacity = std::size_t{1} << 16;
  std::unique_ptr<event[]> events{new event[capacity]};
  std::atomic<std::size_t> count{0};
  std::atomic<std::size_t> dropped{0};
  std::uint32_t depth = 0;  // the owner's alone
  std::uint32_t index = 0;
  std::size_t first = 0;  // events before it were reset away; under the registry's mutex
};

struct registry {
  std::mutex mutex;
  std::vector<std::shared_ptr<thread_log>> logs;  // threads that have ended keep theirs
  std::atomic<bool> enabled{false};
};

inline registry& the_registry() {
  static registry r;
  return r;
}

inline thread_log& this_thread_log() {
  thread_local const std::shared_ptr<thread_log> log = [] {
    auto made = std::make_shared<thread_log>();
    registry& r = the_registry();
    const std::lock_guard lock(r.mutex);
    made->index = static_cast<std::uint32_t>(r.logs.size());
    r.logs.push_back(made);
    return made;
  }();
  return *log;
}

}  // namespace detail

/// Recording is off until asked for; off, a scope costs one relaxed load.
inline void enable(bool on = true) noexcept {
  static_cast<void>(detail::first_moment());  // calibration starts now
  detail::the_registry().enabled.store(on, std::memory_order_relaxed);
}
[[nodiscard]] inline bool enabled() noexcept {
  return detail::the_registry().enabled.load(std::memory_order_relaxed);
}

/// All finished scopes, thread by thread, in the order in which they ended. Other threads may go on
/// recording.
[[nodiscard]] inline std::vector<event> snapshot() {
  std::vector<event> all;
  detail::registry& r = detail::the_registry();
  const std::lock_guard lock(r.mutex);
  for (const auto& log : r.logs) {
    const std::size_t n = log->count.load(std::memory_order_acquire);
    all.insert(all.end(), log->events.get() + std::min(log->first, n), log->events.get() + n);
  }
  return all;
}

/// Events that found a full log.
[[nodiscard]] inline std::size_t dropped() {
  std::size_t n = 0;
  detail::registry& r = detail::the_registry();
  const std::lock_guard lock(r.mutex);
  for (const auto& log : r.logs) n += log->dropped.load(std::memory_order_relaxed);
  return n;
}

/// Forgets what was recorded. Call it while no scope is open on another thread: their logs are only
/// emptied by reading from here on.
inline void reset() {
  detail::registry& r = detail::the_registry();
  detail::thread_log& own = detail::this_thread_log();
  const std::lock_guard lock(r.mutex);
  for (const auto& log : r.logs) {
    log->first = log->count.load(std::memory_order_acquire);
    log->dropped.store(0, std::memory_order_relaxed);
  }
  own.first = 0;  // the caller's own log can be emptied for good
  own.count.store(0, std::memory_order_release);
}

#if defined(QTK_NO_PROFILE)

/// Compiled out.
class scope {
 public:
  explicit scope(const char*, const work& = {}) noexcept {}
  ~scope() {}
};

#else

/// Times the block that it lives in.
///   { profile::scope s("conv1", {.flops = 2.0 * M * N * K, .bytes = traffic}); ... }
/// `name` must live as long as the program: a literal, or intern(). Costs at most 40 ns
/// (bench/bench_scope).
class scope {
 public:
  explicit scope(const char* name, const profile::work& w = {})
      : log_(enabled() ? &detail::this_thread_log() : nullptr) {
    if (log_ == nullptr) return;
    ++log_->depth;
    work_ = w;
    name_ = name;
    begin_ = now();
  }
  ~scope() {
    if (log_ == nullptr) return;
    const ticks end = now();
    --log_->depth;
    const std::size_t n = log_->count.load(std::memory_order_relaxed);
    if (n == detail::thread_log::capacity) {
      log_->dropped.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    log_->events[n] = {name_, begin_, end, log_->depth, log_->index, work_};
    log_->count.store(n + 1, std::memory_order_release);
  }
  scope(const scope&) = delete;
  scope& operator=(const scope&) = delete;

 private:
  detail::thread_log* log_;
  const char* name_;
  ticks begin_;
  profile::work work_;
};

#endif

}  // namespace qtk::inline QTK_ABI::profile
