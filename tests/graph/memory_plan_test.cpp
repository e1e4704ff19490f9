#include <algorithm>
#include <chrono>
#include <limits>
#include <qtk/graph/memory_plan.hpp>
#include <random>

#include "support/catch.hpp"

using namespace qtk;

namespace {

/// Bytes alive at the busiest step: no arena can be smaller.
std::size_t lower_bound(const std::vector<lifetime>& buffers) {
  std::size_t worst = 0;
  for (const lifetime& at : buffers) {
    std::size_t live = 0;
    for (const lifetime& b : buffers)
      if (b.first <= at.first && at.first <= b.last) live += round_up(b.size_bytes, 64);
    worst = std::max(worst, live);
  }
  return worst;
}

bool overlap(const lifetime& a, const lifetime& b) {
  const bool in_time = a.first <= b.last && b.first <= a.last;
  const bool in_space = a.offset < b.offset + b.size_bytes && b.offset < a.offset + a.size_bytes;
  return in_time && in_space;
}

}  // namespace

TEST_CASE("no two live buffers overlap, and the arena holds them all", "[graph]") {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<lifetime> buffers(1 + random() % 40);
    for (lifetime& b : buffers) {
      b.size_bytes = random() % 5000;
      b.first = random() % 30;
      b.last = b.first + random() % 8;
    }
    const std::size_t arena = plan_memory(buffers);
    CHECK(arena >= lower_bound(buffers));
    CHECK(arena <= 2 * lower_bound(buffers) + 64);
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      CHECK(buffers[i].offset % 64 == 0);
      CHECK(buffers[i].offset + buffers[i].size_bytes <= arena);
      for (std::size_t j = 0; j < i; ++j)
        if (buffers[i].size_bytes != 0 && buffers[j].size_bytes != 0)
          CHECK_FALSE(overlap(buffers[i], buffers[j]));
    }
  }
}

TEST_CASE("each buffer lies at the lowest gap between those alive with it", "[graph]") {
  std::mt19937 random(11);
  for (int round = 0; round < 100; ++round) {
    std::vector<lifetime> buffers(1 + random() % 60);
    for (lifetime& b : buffers) {
      b.size_bytes = 1 + random() % 1000;
      b.first = random() % 50;
      b.last = b.first + random() % (round % 2 == 0 ? 3 : 50);
    }
    plan_memory(buffers);
    std::vector<lifetime> order = buffers;
    std::stable_sort(order.begin(), order.end(), [](const lifetime& a, const lifetime& b) {
      return a.size_bytes > b.size_bytes;
    });
    for (std::size_t i = 0; i < order.size(); ++i) {
      lifetime at = order[i];
      const auto fits = [&](std::size_t offset) {
        at.offset = offset;
        return std::none_of(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(i),
                            [&](const lifetime& b) { return overlap(at, b); });
      };
      std::size_t lowest = 0;
      while (!fits(lowest)) lowest += 64;
      CHECK(order[i].offset == lowest);
    }
  }
}

TEST_CASE("a chain needs the two largest neighbors", "[graph]") {
  std::vector<lifetime> chain{{640, 0, 1}, {1280, 1, 2}, {64, 2, 3}, {1280, 3, 4}};
  CHECK(plan_memory(chain) == 640 + 1280);
}

TEST_CASE("long chains are planned in proportion", "[graph]") {
  std::vector<lifetime> chain;  // a look at all others for each took 22 s
  for (std::size_t i = 0; i < 200000; ++i) chain.push_back({64 + i % 7 * 64, i, i + 1});
  const auto start = std::chrono::steady_clock::now();
  CHECK(plan_memory(chain) == 832);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
}

TEST_CASE("sizes at the end of the address space don't wrap", "[graph]") {
  constexpr std::size_t all = std::numeric_limits<std::size_t>::max();
  for (const std::size_t size : {all, all - 3, all / 2, all / 4, all / 8}) {
    std::vector<lifetime> buffers(9, {size, 0, 1});
    CHECK_THROWS_AS(plan_memory(buffers), error);
  }
}

TEST_CASE("nothing needs nothing", "[graph]") {
  std::vector<lifetime> none, empty{{0, 0, 5}};
  CHECK(plan_memory(none) == 0);
  CHECK(plan_memory(empty) == 0);
}
