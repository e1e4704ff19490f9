#include <array>
#include <atomic>
#include <ctime>
#include <qtk/core/error.hpp>
#include <qtk/core/thread_pool.hpp>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace qtk;

TEST_CASE("every task runs once, on any executor", "[core]") {
  for (const std::size_t threads : {1u, 2u, 3u, 8u}) {
    thread_pool pool(threads);
    CHECK(pool.concurrency() == threads);
    for (const std::size_t tasks : {0u, 1u, 2u, 100u, 1000u}) {
      std::vector<std::atomic<int>> runs(tasks);
      executor_ref{pool}(tasks, [&](std::size_t i) { ++runs[i]; });
      for (const auto& r : runs) CHECK(r == 1);
    }
  }
  std::size_t sum = 0;
  executor_ref{}(5, [&](std::size_t i) { sum += i; });
  CHECK(sum == 10);
}

TEST_CASE("an exception of a task reaches the caller, and the pool lives on", "[core]") {
  thread_pool pool(3);
  const auto failing = [](std::size_t i) {
    if (i == 7) fail("seven");
  };
  CHECK_THROWS_WITH(executor_ref{pool}(20, failing), "seven");
  std::atomic<int> n{0};
  executor_ref{pool}(20, [&](std::size_t) { ++n; });
  CHECK(n == 20);
}

TEST_CASE("two callers share one pool", "[core]") {
  thread_pool pool(2);
  std::atomic<int> n{0};
  std::thread other([&] {
    for (int i = 0; i < 50; ++i) executor_ref{pool}(4, [&](std::size_t) { ++n; });
  });
  for (int i = 0; i < 50; ++i) executor_ref{pool}(4, [&](std::size_t) { ++n; });
  other.join();
  CHECK(n == 400);
}

TEST_CASE("any callable of the same shape is an executor", "[core]") {
  struct reversed {
    std::size_t concurrency() const { return 4; }
    void operator()(std::size_t tasks, task_ref body) {
      for (std::size_t i = tasks; i-- > 0;) body(i);
    }
  } executor;
  std::vector<std::size_t> order;
  executor_ref{executor}(3, [&](std::size_t i) { order.push_back(i); });
  CHECK(order == std::vector<std::size_t>{2, 1, 0});
}

TEST_CASE("runs that are as short as a run can be", "[core]") {
  for (const std::size_t threads : {2u, 3u, 8u}) {
    thread_pool pool(threads);
    std::size_t failures = 0;
    for (std::size_t run = 0; run < 2000; ++run) {
      // Some follow while the workers look for tasks, some after they have gone to sleep.
      if (run % 500 == 0) std::this_thread::sleep_for(2 * thread_pool::patience);
      std::vector<std::size_t> results(2 +
                                       run % threads);  // not atomic: a run's end shows them all
      executor_ref{pool}(results.size(), [&](std::size_t i) { results[i] += run + i; });
      for (std::size_t i = 0; i < results.size(); ++i) failures += results[i] != run + i;
    }
    CHECK(failures == 0);
  }
}

TEST_CASE("a thread meets the same task again", "[core]") {
  constexpr std::size_t threads = 3;
  thread_pool pool(threads);
  std::array<std::thread::id, threads> who;
  for (int run = 0; run < 50; ++run) {
    std::atomic<std::size_t> begun{0};
    std::array<std::thread::id, threads> now;
    pool(threads, [&](std::size_t task) {
      now[task] = std::this_thread::get_id();
      // Until all have one, so that none takes another's.
      for (++begun; begun != threads;) std::this_thread::yield();
    });
    if (run != 0) CHECK(now == who);
    who = now;
  }
  CHECK(who[0] == std::this_thread::get_id());
}

TEST_CASE("an idle pool takes no CPU", "[core]") {
  thread_pool pool(2);
  executor_ref{pool}(2, [](std::size_t) {});
  const std::clock_t before = std::clock();  // of all threads of the process
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  CHECK(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC < 0.05);
}
