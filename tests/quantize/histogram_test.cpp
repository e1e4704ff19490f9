#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <qtk/calibrate.hpp>
#include <random>
#include <vector>

#include "support/catch.hpp"
#include "support/normal.hpp"

using namespace qtk;

namespace {
std::size_t allocated = 0;  // bytes, in all
}  // namespace
void* operator new(std::size_t size) {
  allocated += size;
  if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
  std::abort();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return operator new(size); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace {
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float smallest = std::numeric_limits<float>::denorm_min();
constexpr float largest = std::numeric_limits<float>::max();

bool same(const value_histogram& a, const value_histogram& b) {
  const auto equal = [](auto x, auto y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end());
  };
  return a.width() == b.width() && a.zeros() == b.zeros() && a.range() == b.range() &&
         equal(a.negative(), b.negative()) && equal(a.positive(), b.positive());
}

/// Values of every exponent from 2^-149 to 2^127, both signs, and zeros.
std::vector<float> all_magnitudes(std::size_t n, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<float> x(n);
  for (float& v : x) {
    const int exponent = static_cast<int>(generator() % 276) - 149;
    const float m = 1.0f + static_cast<float>(generator() >> 9) * 0x1p-23f;
    v = generator() % 16 == 0 ? 0.0f : std::ldexp(generator() % 2 == 0 ? m : -m, exponent);
  }
  return x;
}
}  // namespace

TEST_CASE("histogram: every value is in its bin, however the range grew", "[quantize]") {
  for (const std::size_t bins : {std::size_t{256}, std::size_t{2048}}) {
    std::vector<float> x = all_magnitudes(20000, 5);
    std::sort(x.begin(), x.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); });
    value_histogram h(bins);
    for (std::size_t n = 0; n < x.size(); n += 500) {
      h.observe(std::span(x).subspan(n, 500));
      const double w = h.width();
      const double top = static_cast<double>(std::fabs(x[n + 499])) / w;
      REQUIRE(top < static_cast<double>(bins));
      REQUIRE((top >= static_cast<double>(bins / 2) || std::fabs(x[n + 499]) < 0x1p-126f));
      std::vector<std::uint64_t> positive(bins), negative(bins);
      std::uint64_t zeros = 0;
      for (std::size_t i = 0; i < n + 500; ++i) {
        const double v = static_cast<double>(x[i]);
        if (v == 0.0)
          ++zeros;
        else
          ++(v < 0.0 ? negative : positive)[static_cast<std::size_t>(std::fabs(v) / w)];
      }
      const auto matches = [](const std::vector<std::uint64_t>& all, auto used) {
        return std::equal(used.begin(), used.end(), all.begin()) &&
               std::all_of(all.begin() + static_cast<std::ptrdiff_t>(used.size()), all.end(),
                           [](std::uint64_t c) { return c == 0; });
      };
      REQUIRE(h.zeros() == zeros);
      REQUIRE(matches(positive, h.positive()));
      REQUIRE(matches(negative, h.negative()));
    }
  }
}

TEST_CASE("histogram: neither order nor pieces nor parts matter", "[quantize]") {
  std::vector<float> x = all_magnitudes(5000, 6);
  value_histogram whole;
  whole.observe(x);
  std::mt19937 generator(7);
  for (int round = 0; round < 20; ++round) {
    std::shuffle(x.begin(), x.end(), generator);
    value_histogram parts[3];
    for (std::size_t i = 0; i < x.size();) {
      const std::size_t n = std::min<std::size_t>(1 + generator() % 900, x.size() - i);
      parts[generator() % 3].observe(std::span(x).subspan(i, n));
      i += n;
    }
    value_histogram merged;  // nothing seen: merging is copying
    for (const value_histogram& part : parts) merged.merge(part);
    REQUIRE(same(merged, whole));
  }
}

TEST_CASE("histogram: nothing, zeros, extremes, NaN and infinities", "[quantize]") {
  value_histogram none;
  CHECK_FALSE(none.has_shape());
  CHECK(none.range() == value_range{0.0f, 0.0f});
  CHECK(none.positive().empty());

  const float odd[] = {not_a_number, -not_a_number, 0.0f, -0.0f, smallest, -largest};
  value_histogram h;
  h.observe(odd);
  CHECK(h.zeros() == 2);
  CHECK(h.range() == value_range{-largest, smallest});
  CHECK(h.positive().size() == 1);
  CHECK(h.negative().size() == 2048);
  CHECK(h.has_shape());
  CHECK(h.cut(2048, 1) == h.range());
  CHECK(h.cut(1024, 1) == value_range{-0x1p127f, smallest});

  const float infinite[] = {1.0f, infinity};
  value_histogram broken;
  broken.observe(infinite);
  CHECK_FALSE(broken.has_shape());
  CHECK(broken.range().hi == infinity);

  CHECK_THROWS_AS(value_histogram(1000), error);
  CHECK_THROWS_AS(value_histogram(128), error);
  CHECK_THROWS_AS(value_histogram(std::size_t{1} << 21), error);
  CHECK_THROWS_AS(value_histogram(256).merge(value_histogram(512)), error);
}

TEST_CASE("observers need as much memory for much data as for little", "[quantize]") {
  const std::vector<float> x = all_magnitudes(4096, 8);
  for (const calibration c : calibrations) {
    const std::size_t before = allocated;
    any_observer o(c);
    for (int i = 0; i < 200; ++i) {
      o.observe(x);
      o.end_batch();
    }
    const std::size_t needed = allocated - before;
    CAPTURE(std::string(name(c)));
    CHECK(needed <= 2 * 4097 * sizeof(std::uint64_t));
  }
}

TEST_CASE("portable_log is the logarithm", "[quantize]") {
  std::mt19937_64 generator(9);
  for (int i = 0; i < 200000; ++i) {
    const double x = std::ldexp(1.0 + static_cast<double>(generator() >> 12) * 0x1p-52,
                                static_cast<int>(generator() % 120) - 60);
    const double expected = std::log(x);
    REQUIRE(std::fabs(detail::portable_log(x) - expected) <= 0x1p-50 * (1.0 + std::fabs(expected)));
  }
  CHECK(detail::portable_log(1.0) == 0.0);
}
