#include <algorithm>
#include <cmath>
#include <limits>
#include <qtk/calibrate.hpp>
#include <random>
#include <vector>

#include "support/catch.hpp"
#include "support/normal.hpp"
#include "support/random.hpp"

using namespace qtk;

namespace {
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr auto sym = symmetry::symmetric, asym = symmetry::asymmetric;

template <class O>
value_range range_of(O o, std::span<const float> x) {
  o.observe(x);
  return o.range();
}

/// Mean squared error of x through codes of a range.
double measured(std::span<const float> x, value_range r, code_range codes, symmetry how) {
  const block_scale b = choose_params(r, codes, how);
  double sum = 0.0;
  for (const float v : x) {
    const auto code = quantize_code(v, b.scale, b.zero_point, codes.min, codes.max);
    const double e = static_cast<double>(v) - static_cast<double>(b.scale) * (code - b.zero_point);
    sum += e * e;
  }
  return sum / static_cast<double>(x.size());
}

std::vector<float> map(std::vector<float> x, float (*f)(float)) {
  std::transform(x.begin(), x.end(), x.begin(), f);
  return x;
}
float relu(float x) { return x < 0.0f ? 0.0f : x; }

/// Fractions of the values below lo and above hi.
struct outside {
  double below = 0.0, above = 0.0;
  outside(std::span<const float> x, value_range r) {
    for (const float v : x) below += v<r.lo, above += v> r.hi;
    below /= static_cast<double>(x.size());
    above /= static_cast<double>(x.size());
  }
};
}  // namespace

TEST_CASE("moving_average follows the formula, batch by batch", "[quantize]") {
  moving_average o(0.25f);
  CHECK(o.range() == value_range{0.0f, 0.0f});
  const float first[] = {-1.0f, 4.0f}, second[] = {-5.0f, 8.0f}, third[] = {2.0f, 3.0f};
  o.observe(first);
  CHECK(o.range() == value_range{-1.0f, 4.0f});
  o.end_batch();
  o.end_batch();  // a batch without values is none
  o.observe({});
  o.end_batch();
  CHECK(o.range() == value_range{-1.0f, 4.0f});
  o.observe(std::span(second, 1));  // in two pieces
  CHECK(o.range() == value_range{-2.0f, 3.0f});
  o.observe(std::span(second + 1, 1));
  CHECK(o.range() == value_range{-2.0f, 5.0f});
  o.end_batch();
  o.observe(third);  // holds 0
  o.end_batch();
  CHECK(o.range() == value_range{-1.5f, 4.5f});

  CHECK_THROWS_AS(moving_average(0.0f), error);
  CHECK_THROWS_AS(moving_average(1.5f), error);
  CHECK_THROWS_AS(moving_average(not_a_number), error);
}

TEST_CASE("moving_average is never wider than min_max", "[quantize]") {
  for (const float weight : {0.01f, 0.001f, 0.5f, 1.0f}) {
    moving_average o(weight);
    min_max all;
    for (std::uint32_t batch = 0; batch < 50; ++batch) {
      const auto x = qtk_test::normal(100, batch, std::exp(static_cast<float>(batch % 7)));
      o.observe(x);
      o.end_batch();
      all.observe(x);
      REQUIRE(o.range().lo >= all.range().lo);
      REQUIRE(o.range().hi <= all.range().hi);
    }
  }
}

TEST_CASE("percentile of known distributions", "[quantize]") {
  const auto x = qtk_test::normal(200000, 1);
  const value_range all = range_of(min_max(), x);
  const double bin = static_cast<double>(std::max(-all.lo, all.hi)) / 1024.0;
  std::vector<float> sorted = x;
  std::sort(sorted.begin(), sorted.end());
  std::vector<float> sizes = map(x, [](float v) { return std::fabs(v); });
  std::sort(sizes.begin(), sizes.end());
  for (const double p : {0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
    CAPTURE(p);
    const value_range both = range_of(percentile(p), x);
    const auto out = static_cast<std::size_t>((1.0 - p) / 2.0 * 200000.0 + 1e-6);
    CHECK(static_cast<double>(both.hi) >= static_cast<double>(sorted[200000 - 1 - out]));
    CHECK(static_cast<double>(both.hi) <= static_cast<double>(sorted[200000 - 1 - out]) + bin);
    CHECK(static_cast<double>(both.lo) <= static_cast<double>(sorted[out]));
    CHECK(static_cast<double>(both.lo) >= static_cast<double>(sorted[out]) - bin);
    const value_range size = range_of(percentile(p, tails::magnitude), x);
    const auto beyond = static_cast<std::size_t>((1.0 - p) * 200000.0 + 1e-6);
    const float t = std::max(-size.lo, size.hi);
    CHECK(static_cast<double>(t) >= static_cast<double>(sizes[200000 - 1 - beyond]));
    CHECK(static_cast<double>(t) <= static_cast<double>(sizes[200000 - 1 - beyond]) + bin);
  }
  CHECK(range_of(percentile(1.0), x) == all);
  // 99.99 % of the normal distribution lie within 3.89 deviations.
  CHECK(range_of(percentile(0.9999, tails::magnitude), x).hi == Approx(3.89).margin(0.15));

  // Exactly as many as may be: of 10000 values the largest one.
  std::vector<float> ramp(10000);
  for (std::size_t i = 0; i < ramp.size(); ++i) ramp[i] = static_cast<float>(i + 1);
  CHECK(outside(ramp, range_of(percentile(0.99, tails::magnitude, 1 << 16), ramp)).above == 0.01);
  CHECK(outside(ramp, range_of(percentile(0.99, tails::both, 1 << 16), ramp)).above == 0.005);

  CHECK_THROWS_AS(percentile(0.0), error);
  CHECK_THROWS_AS(percentile(99.99), error);
  CHECK_THROWS_AS(percentile(std::nan("")), error);
}

TEST_CASE("percentile counts zeros, and may cut a side off", "[quantize]") {
  std::vector<float> x(10000, 0.0f);
  for (std::size_t i = 0; i < 100; ++i) x[i] = static_cast<float>(i + 1);
  x[100] = -3.0f;
  const value_range r = range_of(percentile(0.99), x);  // 50 on either side
  CHECK(r.lo == 0.0f);
  CHECK(r.hi == Approx(50.0).margin(1.0 / 16.0));
  CHECK(r.hi >= 50.0f);
}

TEST_CASE("entropy clips the outliers of a Gaussian, not the Gaussian", "[quantize]") {
  auto x = qtk_test::normal(100000, 2);
  for (std::size_t i = 0; i < 10; ++i) x[i * 1000] = i % 2 == 0 ? 30.0f : -25.0f;
  const struct {
    code_range codes;
    symmetry how;
  } cases[] = {{codes_of<int8>, sym}, {codes_of<uint8>, asym}, {codes_of<int8>, asym}};
  for (const auto& c : cases) {
    const value_range r = range_of(entropy(c.codes, c.how), x);
    CAPTURE(c.codes.min, static_cast<int>(c.how), r.lo, r.hi);
    CHECK(r.hi > 2.0f);
    CHECK(r.hi < 6.0f);
    CHECK(r.lo == -r.hi);
    CHECK(measured(x, r, c.codes, c.how) < 0.5);
  }
  // The rest of the values come nearer: 10 of 100000 give way.
  const auto rest = qtk_test::normal(100000, 3);
  const double clipped = measured(rest, range_of(entropy(), x), codes_of<int8>, sym);
  CHECK(clipped < 0.2 * measured(rest, range_of(min_max(), x), codes_of<int8>, sym));
}

namespace {
/// KL(P || Q) as the definition says it, bin by bin.
double divergence(const std::vector<double>& counts, std::size_t first, std::size_t last,
                  std::size_t levels) {
  const std::size_t n = last - first;
  std::vector<double> p(counts.begin() + static_cast<std::ptrdiff_t>(first),
                        counts.begin() + static_cast<std::ptrdiff_t>(last));
  std::vector<double> q(n), mass(levels), filled(levels);
  for (std::size_t i = 0; i < n; ++i) {
    mass[i * levels / n] += p[i];
    filled[i * levels / n] += p[i] != 0.0;
  }
  for (std::size_t i = 0; i < n; ++i)
    if (p[i] != 0.0) q[i] = mass[i * levels / n] / filled[i * levels / n];
  for (std::size_t i = 0; i < first; ++i) p.front() += counts[i];
  for (std::size_t i = last; i < counts.size(); ++i) p.back() += counts[i];
  double sum_p = 0.0, sum_q = 0.0, kl = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    p[i] = p[i] == 0.0 ? 1e-4 : p[i];
    q[i] = q[i] == 0.0 ? 1e-4 : q[i];
    sum_p += p[i];
    sum_q += q[i];
  }
  for (std::size_t i = 0; i < n; ++i) kl += p[i] / sum_p * std::log(p[i] / sum_p / (q[i] / sum_q));
  return kl;
}
}  // namespace

TEST_CASE("entropy finds the least divergence", "[quantize]") {
  for (std::uint32_t seed = 0; seed < 6; ++seed) {
    auto x = map(qtk_test::normal(3000, 60 + seed), [](float v) { return v * v * v; });
    if (seed % 3 == 1) x = map(x, relu);
    if (seed % 3 == 2) x = map(x, [](float v) { return std::round(v * 4.0f); });  // empty bins
    value_histogram h(512);
    h.observe(x);
    for (const code_range codes : {codes_of<int8>, codes_of<int4>, codes_of<uint8>})
      for (const symmetry how : {sym, asym}) {
        std::vector<double> counts;
        if (how == sym) {
          const auto all = h.magnitudes();
          counts.assign(all.begin(), all.end());
        } else {
          counts.assign(h.negative().rbegin(), h.negative().rend());
          counts.insert(counts.end(), h.positive().begin(), h.positive().end());
        }
        const std::size_t below = how == sym ? 0 : h.negative().size();
        const std::size_t above = counts.size() - below;
        const auto levels =
            static_cast<std::size_t>(codes.max - (how == sym ? codes.middle() : codes.min) + 1);
        double least = std::numeric_limits<double>::infinity();
        std::vector<std::pair<double, value_range>> all;
        for (std::size_t t = std::max(below, above); t > 0; --t) {
          const std::size_t first = below - std::min(t, below), last = below + std::min(t, above);
          if (last - first < levels) break;
          all.emplace_back(divergence(counts, first, last, levels), h.cut(t, t));
          least = std::min(least, all.back().first);
        }
        // Among those that only rounding tells apart.
        const value_range r = range_of(entropy(codes, how, 512), x);
        CAPTURE(seed, codes.min, codes.max, static_cast<int>(how), r.lo, r.hi, least);
        CHECK(std::any_of(all.begin(), all.end(),
                          [&](const auto& d) { return d.second == r && d.first <= least + 1e-9; }));
      }
  }
}

TEST_CASE("entropy gives one-sided values all levels", "[quantize]") {
  auto x = map(qtk_test::normal(100000, 4), relu);
  x[17] = 40.0f;
  const value_range r = range_of(entropy(codes_of<uint8>, asym), x);
  CHECK(r.lo == 0.0f);
  CHECK(r.hi > 2.0f);
  CHECK(r.hi < 12.0f);
  // Zeros are no evidence: ten times as many change nothing.
  entropy more(codes_of<uint8>, asym);
  more.observe(x);
  more.observe(std::vector<float>(1000000));
  CHECK(more.range() == r);
}

TEST_CASE("entropy keeps a uniform distribution whole", "[quantize]") {
  const auto x = qtk_test::random_tensor({200000}, 5, -2.0f, 2.0f);
  CHECK(range_of(entropy(), x.span()).hi > 1.9f);
  CHECK(range_of(entropy(codes_of<uint8>, asym), x.span()).hi > 1.9f);
}

TEST_CASE("entropy weighs what it clips onto an empty bin", "[quantize]") {
  // Half of the mass at 1, far from the other half: whatever threshold ends in the gap loses it.
  std::vector<float> x;
  for (std::size_t i = 0; i < 1000; ++i) {
    x.push_back(0.5f * static_cast<float>(i + 1) / 1000.0f);
    x.push_back(1.0f);
  }
  CHECK(range_of(entropy(), x) == value_range{0.0f, 1.0f});
}

TEST_CASE("mse: the measured error is no larger than min_max's, and least among ranges",
          "[quantize]") {
  std::vector<std::vector<float>> data;
  data.push_back(qtk_test::normal(50000, 10));
  data.push_back(map(qtk_test::normal(50000, 11), relu));
  data.push_back(map(qtk_test::normal(50000, 12), [](float x) { return x * std::fabs(x); }));
  data.push_back(map(qtk_test::normal(50000, 13), [](float x) { return std::exp(2.0f * x); }));
  data.push_back(map(qtk_test::normal(50000, 14), [](float x) { return -std::exp(x); }));
  data.push_back(map(qtk_test::normal(50000, 14), [](float x) { return x + 5.0f; }));
  data.push_back(
      map(qtk_test::normal(50000, 15), [](float x) { return std::pow(10.0f, 5.0f * x); }));
  data.push_back(data[0]);
  for (std::size_t i = 0; i < 5; ++i) data.back()[i] = i % 2 == 0 ? 100.0f : -90.0f;
  const auto uniform = qtk_test::random_tensor({50000}, 16);
  data.emplace_back(uniform.span().begin(), uniform.span().end());
  data.push_back(
      map(data.back(), [](float x) { return std::round(x * 127.0f) / 127.0f; }));  // grids
  data.push_back(map(data[1], [](float x) { return std::min(std::round(x * 64.0f), 255.0f); }));
  data.emplace_back(100, 0.75f);
  data.emplace_back(100, -1e-30f);
  for (std::size_t d = 0; d < data.size(); ++d)
    for (const code_range codes :
         {codes_of<int8>, codes_of<uint8>, codes_of<int4>, codes_of<uint4>})
      for (const symmetry how : {sym, asym}) {
        mse o(codes, how);
        o.observe(data[d]);
        const value_range all = range_of(min_max(), data[d]), best = o.range();
        CAPTURE(d, codes.min, codes.max, static_cast<int>(how), all.lo, all.hi, best.lo, best.hi);
        const double error = measured(data[d], best, codes, how);
        CHECK(error <= measured(data[d], all, codes, how));
        if (best == all) continue;
        CHECK(o.error(best) == Approx(error).epsilon(0.1));  // what was promised
        for (const float f : {0.8f, 0.9f, 1.12f, 1.25f}) {
          const value_range other{std::max(all.lo, f * best.lo), std::min(all.hi, f * best.hi)};
          CHECK(error <= 1.03 * measured(data[d], other, codes, how));
        }
      }
}

TEST_CASE("mse finds the best step for a Gaussian", "[quantize]") {
  // Max 1960, "Quantizing for Minimum Distortion", table II: 0.3352 deviations for 16 levels.
  const auto x = qtk_test::normal(500000, 20);
  const value_range r = range_of(mse(codes_of<int4>), x);
  CHECK(r.hi / 7.0f == Approx(0.3352).epsilon(0.03));
  CHECK(r.lo == -r.hi);
}

TEST_CASE("all observers: nothing, zeros, constants, NaN, infinities", "[quantize]") {
  for (const calibration c : calibrations)
    for (const symmetry how : {sym, asym}) {
      CAPTURE(std::string(name(c)), static_cast<int>(how));
      const any_observer fresh(c, codes_of<uint8>, how);
      CHECK(fresh.range() == value_range{0.0f, 0.0f});
      CHECK(range_of(fresh, {}) == value_range{0.0f, 0.0f});
      CHECK(range_of(fresh, std::vector<float>(10, 0.0f)) == value_range{0.0f, 0.0f});
      for (const float v : {1.0f, 0.3f, 1e-42f, 1e-30f, 3e38f, std::numeric_limits<float>::max()}) {
        CHECK(range_of(fresh, std::vector<float>(100, v)) == value_range{0.0f, v});
        CHECK(range_of(fresh, std::vector<float>(100, -v)) == value_range{-v, 0.0f});
      }
      CHECK(range_of(fresh, std::vector<float>{not_a_number, 2.0f, not_a_number}) ==
            value_range{0.0f, 2.0f});
      const value_range bad = range_of(fresh, std::vector<float>{-infinity, 1.0f, 2.0f});
      CHECK(bad.lo == -infinity);
      CHECK_THROWS_AS(choose_params(bad, codes_of<uint8>, how), error);
      // 30 decades: a range that choose_params takes, within the extremes.
      std::vector<float> wide;
      for (int e = -15; e <= 15; ++e) wide.push_back(std::pow(-10.0f, static_cast<float>(e)));
      const value_range r = range_of(fresh, wide);
      CHECK(r.lo >= -1e15f);
      CHECK(r.hi <= 1e14f);
      CHECK(r.hi - r.lo > 1e13f);
    }
}

TEST_CASE("all observers but moving_average: pieces and order do not matter, parts merge",
          "[quantize]") {
  auto x = qtk_test::normal(20000, 30);
  for (std::size_t i = 0; i < x.size(); i += 97) x[i] *= 20.0f;
  for (const calibration c : calibrations)
    for (const symmetry how : {sym, asym}) {
      CAPTURE(std::string(name(c)), static_cast<int>(how));
      const any_observer fresh(c, codes_of<int8>, how);
      any_observer whole = fresh, pieces = fresh, left = fresh, right = fresh;
      whole.observe(x);
      for (std::size_t i = x.size(); i > 0; i -= 40)
        pieces.observe(std::span(x).subspan(i - 40, 40));
      CHECK(pieces.range() == whole.range());
      left.observe(std::span(x).first(3333));
      right.observe(std::span(x).subspan(3333));
      if (c == calibration::moving_average) {
        CHECK_THROWS_AS(left.merge(right), error);
      } else {
        left.merge(right);
        CHECK(left.range() == whole.range());
      }
      CHECK_THROWS_AS(whole.merge(any_observer(percentile(0.5, tails::both, 256))), error);
    }
}

TEST_CASE("ranges are the same bits on every CPU and compiler", "[quantize]") {
  // Long tails, from integers alone: nothing here is rounded differently anywhere.
  std::mt19937 generator(50);
  std::vector<float> x(30000);
  for (float& v : x) {
    const auto bell = static_cast<float>(
        static_cast<std::int32_t>((generator() >> 20) + (generator() >> 20) + (generator() >> 20) +
                                  (generator() >> 20) - (4u << 11)));
    v = bell * bell * bell * 0x1p-30f;
  }
  const struct {
    calibration what;
    symmetry how;
    value_range range;
  } expected[] = {
      {calibration::min_max, sym, {-0x1.abab4cp+8f, 0x1.af8166p+8f}},
      {calibration::moving_average, sym, {-0x1.5ba4c6p+8f, 0x1.2317e4p+8f}},
      {calibration::percentile, sym, {-0x1.858p+8f, 0x1.824p+8f}},
      {calibration::entropy, sym, {-0x1.6p+7f, 0x1.6p+7f}},
      {calibration::entropy, asym, {-0x1.abab4cp+8f, 0x1.aecp+8f}},
      {calibration::mse, sym, {-0x1.95p+8f, 0x1.95p+8f}},
      {calibration::mse, asym, {-0x1.95p+8f, 0x1.95p+8f}},
  };
  for (const auto& e : expected) {
    any_observer o(e.what, codes_of<int8>, e.how);
    for (std::size_t i = 0; i < x.size(); i += 3000) {
      o.observe(std::span(x).subspan(i, 3000));
      o.end_batch();
    }
    CAPTURE(std::string(name(e.what)), o.range().lo, o.range().hi);
    CHECK(o.range() == e.range);
  }
}

TEST_CASE("calibrations by name", "[quantize]") {
  for (const calibration c : calibrations) {
    CHECK(parse_calibration(name(c)) == c);
    CHECK(any_observer(c).what() == c);
  }
  CHECK(any_observer(percentile(0.9)).what() == calibration::percentile);
  try {
    (void)parse_calibration("minmax");
    FAIL("no error");
  } catch (const error& e) {
    CHECK(std::string(e.what()) ==
          "calibration: unknown: minmax; known: min_max, moving_average, percentile, entropy, mse");
  }
}

TEST_CASE("tensor_observer: per tensor and per channel, batches of any size", "[quantize]") {
  const shape shapes[] = {{4, 3, 5, 6}, {1, 3, 5, 6}, {7, 3, 2, 1}};
  for (const calibration c : calibrations) {
    CAPTURE(std::string(name(c)));
    const any_observer fresh(c, codes_of<uint8>, asym);
    tensor_observer whole(per_tensor(), fresh), channels(per_channel(1), fresh);
    any_observer expected = fresh;
    std::vector<any_observer> each(3, fresh);
    std::uint32_t seed = 0;
    for (const shape& s : shapes) {
      tensor<fp32> x = qtk_test::random_tensor(s, ++seed);
      const std::size_t plane = s[2] * s[3];
      for (std::size_t i = 0; i < x.elements(); ++i)
        x.data()[i] *= static_cast<float>(1 + i / plane % 3);
      whole.observe(x);
      channels.observe(x);
      for (std::size_t i = 0; i < x.elements(); ++i)
        each[i / plane % 3].observe(std::span(x.data() + i, 1));
      expected.observe(x.span());
      expected.end_batch();
      for (any_observer& o : each) o.end_batch();
    }
    REQUIRE(whole.observers().size() == 1);
    CHECK(whole.observers()[0].range() == expected.range());
    REQUIRE(channels.observers().size() == 3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(channels.observers()[i].range() == each[i].range());

    const quantization q = channels.choose<uint8>({2, 3, 8, 8});
    CHECK(q.block == shape{2, 1, 8, 8});
    for (std::size_t i = 0; i < 3; ++i) {
      const block_scale b = choose_params(each[i].range(), codes_of<uint8>, asym);
      CHECK(channels.params<uint8>()[i] == b);
      CHECK(q.scales[i] == b.scale);
      CHECK(q.zero_points[i] == b.zero_point);
    }
    CHECK(whole.params<int8>(sym)[0] == choose_params(expected.range(), codes_of<int8>, sym));
    const auto codes = quantize<uint8>(qtk_test::random_tensor({2, 3, 8, 8}, 9), q);
    CHECK(codes.quantization().scales == q.scales);
  }
}

TEST_CASE("tensor_observer of rows, columns, and parts", "[quantize]") {
  const auto x = qtk_test::random_tensor({6, 5}, 1);
  tensor_observer<min_max> columns(per_channel(-1)), top(per_channel(-1)), bottom(per_channel(-1));
  columns.observe(x);
  for (std::size_t c = 0; c < 5; ++c) {
    min_max expected;
    for (std::size_t r = 0; r < 6; ++r) expected.observe(std::span(x.data() + r * 5 + c, 1));
    CHECK(columns.observers()[c].range() == expected.range());
  }
  top.observe(tensor_view<const fp32>(x.data(), {2, 5}));
  bottom.observe(tensor_view<const fp32>(x.data() + 10, {4, 5}));
  tensor_observer<min_max> none(per_channel(-1));
  none.merge(top);
  none.merge(tensor_observer<min_max>(per_channel(-1)));
  none.merge(bottom);
  for (std::size_t c = 0; c < 5; ++c)
    CHECK(none.observers()[c].range() == columns.observers()[c].range());
}

TEST_CASE("tensor_observer says what does not fit", "[quantize]") {
  CHECK_THROWS_AS(tensor_observer<>(per_token()), error);
  CHECK_THROWS_AS(tensor_observer<>(per_group(32)), error);
  tensor_observer seen(per_channel(1), any_observer(), "conv1");
  CHECK(seen.params<int8>().empty());
  CHECK_THROWS_AS(seen.choose<int8>({1, 3}), error);
  tensor<fp32> x({2, 3});
  seen.observe(x);
  CHECK_THROWS_AS(seen.observe(tensor<fp32>({2, 4})), error);
  CHECK_THROWS_AS(seen.choose<int8>({2, 4}), error);
  x.view().set(1, 2, not_a_number);
  try {
    seen.observe(x);
    FAIL("no error");
  } catch (const error& e) {
    CHECK(e.where() == "conv1");
    CHECK(e.message() == "nan at row 1, column 2 of [2, 3]");
  }
}
