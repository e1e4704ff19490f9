#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "kernels/elementwise.hpp"

using namespace qtk;
using namespace elementwise_tests;

namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

/// Around the widths of vectors, pairs of them, chains and pieces.
std::vector<std::size_t> lengths() {
  std::vector<std::size_t> all{0,   1,   2,   3,   4,   5,   7,   8,    9,    15,
                               16,  17,  31,  32,  33,  63,  64,  65,   127,  128,
                               129, 255, 256, 257, 511, 513, 777, 1000, 4095, 4097};
  if (!qtk_test::light()) all.insert(all.end(), {16384 + 5, 50000});
  return all;
}

/// A row at an address that is no multiple of a vector.
exact<float> random_row(std::size_t n, float mean, float deviation, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> bell(mean, deviation);
  exact<float> x(n);
  for (float& v : x) v = bell(random);
  return x;
}

std::vector<double> exact_softmax(const exact<float>& x) {
  double top = -INFINITY, total = 0.0;
  for (const float v : x) top = std::fmax(top, static_cast<double>(v));
  std::vector<double> y;
  for (const float v : x) total += y.emplace_back(std::exp(static_cast<double>(v) - top));
  for (double& v : y) v /= total;
  return y;
}

}  // namespace

TEST_CASE("sums are the same bit by bit on every ISA", "[kernels]") {
  for (const std::size_t n : lengths()) {
    const exact<float> x = random_row(n, 0.3f, 1e3f, 1);
    double chains[2][16] = {};  // element i goes to chain i % 16, then halves are added
    for (std::size_t i = 0; i < n; ++i) {
      const auto v = static_cast<double>(x[i]);
      chains[0][i % 16] += v;
      chains[1][i % 16] += v * v;
    }
    for (auto& c : chains)
      for (std::size_t half = 8; half > 0; half /= 2)
        for (std::size_t l = 0; l < half; ++l) c[l] += c[l + half];
    for (const auto* k : tables()) {
      CAPTURE(name(k->target), n);
      double squares = 0.0;
      CHECK(k->sum(n, x.data(), &squares) == chains[0][0]);
      CHECK(squares == chains[1][0]);
      CHECK(k->sum(n, x.data(), nullptr) == chains[0][0]);
    }
  }
}

TEST_CASE("softmax keeps its bound", "[kernels]") {
  for (const std::size_t n : lengths())
    for (const float deviation : {0.5f, 30.0f}) {
      exact<float> x = random_row(n, 1000.0f, deviation, 2);
      if (n > 3) x[n / 3] = -inf;
      const std::vector<double> truth = exact_softmax(x);
      float top = -inf;
      for (const float v : x) top = std::fmax(top, v);
      for (const auto* k : tables()) {
        CAPTURE(name(k->target), n, deviation);
        exact<float> y(n);
        k->softmax(n, x.data(), y.data());
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < n; ++i) {
          const double depth =
              std::fmin(200.0, static_cast<double>(top) - static_cast<double>(x[i]));
          const double bound =
              0x1p-24 * (32.0 + depth + static_cast<double>(n) / 64.0) * truth[i] + 0x1p-126;
          wrong += !(std::fabs(static_cast<double>(y[i]) - truth[i]) <= bound);
        }
        CHECK(wrong == 0);
        if (n > 3) CHECK(y[n / 3] == 0.0f);
        exact<float> in_place(n);
        for (std::size_t i = 0; i < n; ++i) in_place[i] = x[i];
        k->softmax(n, in_place.data(), in_place.data());
        CHECK(qtk_test::same_bits(in_place, y));
      }
    }
}

TEST_CASE("softmax of masks, infinities and NaN", "[kernels]") {
  for (const auto* k : tables())
    for (const std::size_t n : {1u, 5u, 16u, 33u, 600u}) {
      CAPTURE(name(k->target), n);
      exact<float> x(n), y(n);
      const auto run = [&] { k->softmax(n, x.data(), y.data()); };
      const auto all_nan = [&] {
        for (const float v : y)
          if (!std::isnan(v)) return false;
        return true;
      };
      for (float& v : x) v = -inf;
      run();
      CHECK(all_nan());
      x[n - 1] = -3.0f;  // the one that is not masked
      run();
      CHECK(y[n - 1] == 1.0f);
      for (std::size_t i = 0; i + 1 < n; ++i) CHECK(y[i] == 0.0f);
      x[n / 2] = not_a_number;
      run();
      CHECK(all_nan());
      x[n / 2] = inf;
      run();
      CHECK(all_nan());
    }
}

TEST_CASE("layer norm and RMS norm keep their bounds", "[kernels]") {
  constexpr float epsilon = 1e-5f;
  for (const std::size_t n : lengths())
    for (const float mean : {0.0f, 300.0f}) {
      const exact<float> x = random_row(n, mean, 2.0f, 3), gamma = random_row(n, 1.0f, 0.5f, 4),
                         beta = random_row(n, 0.0f, 1.0f, 5);
      long double total = 0, squares = 0, around = 0;
      for (const float v : x) total += v, squares += static_cast<long double>(v) * v;
      const long double count = static_cast<long double>(n), average = total / count;
      for (const float v : x) around += (v - average) * (v - average);
      const long double inverse = 1 / std::sqrt(around / count + epsilon);
      const long double inverse_rms = 1 / std::sqrt(squares / count + epsilon);
      for (const auto* k : tables())
        for (const bool scaled : {false, true})
          for (const bool shifted : {false, true}) {
            CAPTURE(name(k->target), n, mean, scaled, shifted);
            exact<float> y(n), r(n);
            const float* g = scaled ? gamma.data() : nullptr;
            k->layer_norm(n, x.data(), g, shifted ? beta.data() : nullptr, epsilon, y.data());
            k->rms_norm(n, x.data(), g, epsilon, r.data());
            std::size_t wrong = 0;
            for (std::size_t i = 0; i < n; ++i) {
              const long double factor = scaled ? gamma[i] : 1.0f, shift = shifted ? beta[i] : 0.0f;
              const long double normal = (x[i] - average) * inverse * factor;
              const long double bound =
                  0x1p-24L * (5 * std::fabs(normal) + std::fabs(normal + shift)) +
                  0x1p-47L * std::fabs(average * inverse * factor);
              wrong += !(std::fabs(y[i] - (normal + shift)) <= bound);
              const long double scaled_down = x[i] * inverse_rms * factor;
              wrong += !(std::fabs(r[i] - scaled_down) <= 0x1p-24L * 4 * std::fabs(scaled_down));
            }
            CHECK(wrong == 0);
            exact<float> in_place(n);
            for (std::size_t i = 0; i < n; ++i) in_place[i] = x[i];
            k->layer_norm(n, in_place.data(), g, shifted ? beta.data() : nullptr, epsilon,
                          in_place.data());
            CHECK(qtk_test::same_bits(in_place, y));
          }
    }
}

TEST_CASE("norms of constant, huge and infinite rows", "[kernels]") {
  for (const auto* k : tables()) {
    CAPTURE(name(k->target));
    exact<float> x(37), y(37);
    for (float& v : x) v = 12345.678f;
    k->layer_norm(37, x.data(), nullptr, nullptr, 1e-5f, y.data());
    for (const float v : y) CHECK(std::fabs(v) < 1e-4f);
    for (std::size_t i = 0; i < 37; ++i) x[i] = i % 2 == 0 ? 3e38f : -3e38f;  // squares overflow
    k->rms_norm(37, x.data(), nullptr, 1e-5f, y.data());
    for (std::size_t i = 0; i < 37; ++i) CHECK(std::fabs(std::fabs(y[i]) - 1.0f) < 1e-6f);
    x[5] = inf;
    k->layer_norm(37, x.data(), nullptr, nullptr, 1e-5f, y.data());
    CHECK(std::isnan(y[0]));
  }
}
