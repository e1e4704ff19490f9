#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "qtk/core/executor.hpp"
#include "qtk/core/numeric.hpp"

#if defined(__linux__)
#  include <sched.h>
#endif

namespace qtk::inline QTK_ABI {

/// An executor with an explicit number of threads, the caller being one of them. Who waits, for
/// tasks or for their end, looks again and again for at most thread_pool::patience, then sleeps: an
/// idle pool takes no CPU. One run at a time: a second caller waits.
///
/// Of each run, thread i takes the i-th share of the tasks first, and then what others have left:
/// what a task of one run wrote is in the cache of whom the same task of the next run comes to.
class thread_pool {
 public:
  /// Some times as long as waking a sleeper takes: two tasks meet after 20 to 50 us where the
  /// worker slept, after 1 where it looked (Linux, a virtual machine of two CPUs). Layers of a
  /// model follow each other faster, and so do runs of it; with 50 us the small steps at the end of
  /// one let the worker sleep, and the next waited for it (ultraface: 1.63 ms, so 1.56; 1 ms: the
  /// same).
  static constexpr std::chrono::microseconds patience{200};

  explicit thread_pool(std::size_t threads)
      : patient_(threads <= usable_cpus()), shares_(std::max<std::size_t>(1, threads)) {
    for (std::size_t i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
  }
  ~thread_pool() {
    start(workers_.size(), nullptr);
    for (std::thread& t : workers_) t.join();
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  std::size_t concurrency() const noexcept { return workers_.size() + 1; }

  /// Calls body(0 .. tasks - 1), returns when all are done: a worker that comes too late for a task
  /// is not waited for. The first exception of a task is thrown here, after the others have ended.
  /// A task must not call the same pool.
  void operator()(std::size_t tasks, task_ref body) {
    const std::lock_guard one_run(run_mutex_);
    start(tasks, &body);
    while (take_ticket()) run_task(take_task(0));
    wait(done_, [this] { return unfinished_.load(std::memory_order_acquire) == 0; });
#if QTK_HAS_EXCEPTIONS
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
#endif
  }

 private:
  /// No body: each worker that takes a ticket ends.
  void start(std::size_t tasks, const task_ref* body) {
    body_ = body;
    for (std::size_t i = 0; i < shares_.size(); ++i) {
      shares_[i].end = ceil_div(tasks * (i + 1), shares_.size());
      shares_[i].left.store(shares_[i].end - ceil_div(tasks * i, shares_.size()),
                            std::memory_order_relaxed);
    }
    unfinished_.store(tasks, std::memory_order_relaxed);
    tickets_.store(tasks, std::memory_order_release);
    wake(started_, std::min(tasks, workers_.size()));
  }

  /// Who holds one keeps the run from ending, may read body_ and finds a task.
  bool take_ticket() noexcept {
    std::size_t n = tickets_.load(std::memory_order_relaxed);
    while (n != 0 && !tickets_.compare_exchange_weak(n, n - 1, std::memory_order_acquire,
                                                     std::memory_order_relaxed)) {
    }
    return n != 0;
  }

  std::size_t take_task(std::size_t thread) noexcept {
    for (std::size_t i = thread;; i = (i + 1) % shares_.size()) {
      std::size_t n = shares_[i].left.load(std::memory_order_relaxed);
      while (n != 0)
        if (shares_[i].left.compare_exchange_weak(n, n - 1, std::memory_order_relaxed))
          return shares_[i].end - n;
    }
  }

  void run_task(std::size_t task) {
#if QTK_HAS_EXCEPTIONS
    try {
      (*body_)(task);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
#else
    (*body_)(task);
#endif
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) wake(done_, 1);
  }

  void work(std::size_t thread) {
    for (;;) {
      wait(started_, [this] { return tickets_.load(std::memory_order_relaxed) != 0; });
      while (take_ticket()) {
        if (body_ == nullptr) return;
        run_task(take_task(thread));
      }
    }
  }

  template <class Ready>
  void wait(std::condition_variable& sleep, const Ready& ready) {
    using clock = std::chrono::steady_clock;
    if (ready()) return;
    if (patient_)
      for (const auto end = clock::now() + patience; clock::now() < end;)
        for (int i = 0; i < 16; ++i) {
          pause();
          if (ready()) return;
        }
    std::unique_lock lock(mutex_);
    sleep.wait(lock, ready);
  }
  void wake(std::condition_variable& sleep, std::size_t threads) {
    { const std::lock_guard lock(mutex_); }  // nobody is between its last look and its sleep
    for (; threads > 0; --threads) sleep.notify_one();
  }

  static void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb");  // `yield` takes no time on most cores
#endif
  }

  /// CPUs that this thread may run on.
  static std::size_t usable_cpus() noexcept {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
      return static_cast<std::size_t>(CPU_COUNT(&set));
#endif
    return std::thread::hardware_concurrency();
  }

  struct alignas(64) share {
    std::atomic<std::size_t> left{0};  // tasks [end - left, end)
    std::size_t end = 0;
  };

  const bool patient_;         // who looks must not take the CPU of whom it waits for
  std::vector<share> shares_;  // of each thread, the caller first
  std::vector<std::thread> workers_;
  std::mutex mutex_, run_mutex_;
  std::condition_variable started_, done_;
  const task_ref* body_ = nullptr;
  std::exception_ptr failure_;
  alignas(64) std::atomic<std::size_t> tickets_{0};     // tasks that nobody has taken
  alignas(64) std::atomic<std::size_t> unfinished_{0};  // tasks that haven't ended
};

}  // namespace qtk::inline QTK_ABI
