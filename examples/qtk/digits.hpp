#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

/// A data set that needs no download: digits 0-9 written by an imaginary hand.
///
///   const auto test = qtk_cli::make_digits(1000, 2026);   // seed 2026 is the program's test set
///
/// A digit is a few strokes, each a smooth curve through knots. A random hand moves the knots,
/// presses more or less, slants, turns, stretches and shifts the digit, and now and then leaves a
/// stray line; a random camera blurs, fades and adds noise. The task is learnable but not trivial,
/// so that the damage done by INT4 or by pruning can be seen.
///
/// The generator uses integers and float + - * / only (no libm, no std:: distribution), and rounds
/// each pixel to a multiple of 1/255: equal seeds give equal images on every platform, except that
/// a compiler that fuses a * b + c moves about ten pixels in a million by one such step.

namespace qtk_cli {

inline constexpr std::size_t digit_side = 28;
inline constexpr std::size_t digit_pixels = digit_side * digit_side;
inline constexpr std::size_t digit_classes = 10;

/// Images and what they show. Pixels are in [0, 1]; ink is bright, paper is dark.
struct digit_set {
  std::vector<float> images;  // (count, 1, 28, 28)
  std::vector<int> labels;    // (count), each 0..9
};

namespace pen {

/// splitmix64: eight bytes of state, and neighboring seeds give unrelated streams.
class random_source {
 public:
  explicit random_source(std::uint64_t seed) noexcept : state_(seed) {}

  [[nodiscard]] std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  /// Uniform in [low, high); 24 random bits are exact in a float.
  [[nodiscard]] float between(float low, float high) noexcept {
    return low + (high - low) * (static_cast<float>(next() >> 40) * (1.0f / 16777216.0f));
  }

  /// Nearly normal: the sum of four uniforms on [-1, 1) has standard deviation sqrt(4 / 3).
  [[nodiscard]] float normal(float sigma) noexcept {
    float sum = 0.0f;
    for (int i = 0; i < 4; ++i) sum += between(-1.0f, 1.0f);
    return sum * 0.8660254f * sigma;
  }

  /// Uniform in [0, n), n > 0. The bias of the remainder is below n / 2^64.
  [[nodiscard]] std::size_t below(std::size_t n) noexcept { return next() % n; }
  [[nodiscard]] bool chance(float probability) noexcept { return between(0, 1) < probability; }

 private:
  std::uint64_t state_;
};

/// A place on the writing grid: x in 0..60 to the right, y in 0..100 downwards.
struct point {
  float x, y;
  friend constexpr bool operator==(const point&, const point&) = default;
};

/// The pen passes through the points smoothly; a point written twice in a row makes a corner.
using stroke = std::vector<point>;
using glyph = std::vector<stroke>;

/// The ways of writing each digit, all equally likely.
[[nodiscard]] inline const std::array<std::vector<glyph>, digit_classes>& alphabet() {
  // clang-format off
  static const std::array<std::vector<glyph>, digit_classes> glyphs{{
    {  // 0: closed oval; begun at the upper right with an overlap; narrow
      {{{30,0}, {9,18}, {2,50}, {10,84}, {30,100}, {51,84}, {58,50}, {51,16}, {30,0}}},
      {{{40,4}, {18,6}, {3,46}, {18,96}, {38,96}, {55,72}, {57,36}, {46,8}, {28,0}, {18,8}}},
      {{{30,0}, {17,15}, {12,50}, {17,85}, {30,100}, {43,85}, {48,50}, {43,15}, {30,0}}}},
    {  // 1: bare; with a serif; with serif and foot
      {{{32,0}, {30,50}, {28,100}}},
      {{{12,26}, {24,16}, {35,0}, {35,0}, {34,50}, {33,100}}},
      {{{16,20}, {33,0}, {33,0}, {32,50}, {32,100}}, {{10,100}, {32,99}, {54,100}}}},
    {  // 2: straight foot; looped foot; wide and flat
      {{{6,24}, {15,5}, {34,0}, {52,13}, {50,36}, {30,66}, {4,98}, {4,98}, {30,97}, {58,97}}},
      {{{8,20}, {28,0}, {52,18}, {42,54}, {22,86}, {6,97}, {3,86}, {16,80}, {36,94}, {60,92}}},
      {{{4,14}, {28,2}, {54,12}, {52,34}, {26,70}, {6,94}, {6,94}, {34,90}, {60,99}}}},
    {  // 3: two bows; flat top; one flowing line
      {{{6,13}, {24,0}, {50,16}, {22,46}, {22,46}, {44,51}, {57,72}, {45,94}, {22,100}, {3,88}}},
      {{{6,2}, {30,2}, {53,1}, {53,1}, {26,40}, {26,40}, {50,50}, {56,76}, {36,99}, {5,93}}},
      {{{10,8}, {34,0}, {50,16}, {40,38}, {26,46}, {42,52}, {54,72}, {38,96}, {8,98}}}},
    {  // 4: open, two strokes; closed; open with a round corner
      {{{16,2}, {10,30}, {4,58}, {4,58}, {30,57}, {60,55}}, {{44,22}, {42,60}, {40,100}}},
      {{{42,100}, {43,50}, {44,0}, {44,0}, {22,34}, {2,66}, {2,66}, {30,67}, {60,66}}},
      {{{12,4}, {7,34}, {12,54}, {32,54}, {50,44}}, {{52,2}, {49,50}, {44,100}}}},
    {  // 5: one stroke; hat added last; soft like an S
      {{{54,2}, {14,2}, {14,2}, {9,44}, {9,44}, {32,36}, {54,52}, {53,82}, {30,100}, {4,91}}},
      {{{16,2}, {13,22}, {10,45}, {10,45}, {36,40}, {56,60}, {48,90}, {24,100}, {3,92}},
       {{16,3}, {36,1}, {58,2}}},
      {{{53,5}, {26,2}, {12,18}, {18,40}, {40,48}, {55,68}, {45,94}, {20,100}, {3,90}}}},
    {  // 6: curved stem; straight stem; small bowl
      {{{47,2}, {22,18}, {6,50}, {6,80}, {24,100}, {48,92}, {54,70}, {38,54}, {18,60}, {7,76}}},
      {{{36,0}, {18,34}, {5,70}, {10,94}, {30,100}, {50,86}, {48,66}, {30,58}, {8,74}}},
      {{{52,8}, {36,0}, {14,22}, {4,60}, {14,94}, {36,98}, {50,80}, {38,64}, {20,68}, {12,84}}}},
    {  // 7: plain; crossed; with a serif and a bent leg
      {{{4,4}, {30,4}, {56,2}, {56,2}, {40,46}, {26,100}}},
      {{{4,5}, {30,3}, {56,3}, {56,3}, {38,50}, {24,100}}, {{16,52}, {34,50}, {54,48}}},
      {{{5,20}, {8,4}, {8,4}, {32,5}, {54,4}, {54,4}, {36,40}, {30,70}, {30,100}}}},
    {  // 8: one line begun at the upper right; two rings; begun at the waist
      {{{50,14}, {30,0}, {11,20}, {34,48}, {54,70}, {28,100}, {6,76}, {28,48}, {48,28}, {50,14}}},
      {{{30,0}, {12,11}, {11,33}, {30,46}, {49,34}, {48,11}, {30,0}},
       {{30,46}, {7,60}, {6,88}, {30,100}, {54,88}, {53,60}, {30,46}}},
      {{{28,46}, {12,24}, {30,0}, {48,24}, {28,46}, {7,70}, {16,97}, {42,97}, {52,74}, {28,46}}}},
    {  // 9: straight stem; hooked stem; one curve, the bowl half open
      {{{52,18}, {34,0}, {10,10}, {6,34}, {22,50}, {42,44}, {53,20}, {53,20}, {51,60}, {47,100}}},
      {{{53,24}, {34,0}, {8,16}, {20,51}, {44,44}, {54,22}, {54,60}, {44,92}, {22,100}, {6,90}}},
      {{{46,8}, {24,2}, {8,22}, {16,46}, {38,46}, {52,26}, {50,6}, {50,6}, {44,56}, {32,100}}}},
  }};
  // clang-format on
  return glyphs;
}

/// The sheet has a border of one pixel around the image, so that the blur needs no special case.
inline constexpr std::size_t sheet_side = digit_side + 2;
inline constexpr float sheet_size = static_cast<float>(sheet_side);

/// A place on the sheet in pixels, and half the width of the line there.
struct knot {
  float x, y, radius;
};

/// One writer's way of putting the grid on the image: a linear map and the habits of the hand.
struct hand {
  float xx, xy, yx, yy;    // grid units to pixels
  float shift_x, shift_y;  // pixels
  float radius;            // half the usual width of the line, pixels
  float pressure;          // relative change of the radius
  float tremor;            // standard deviation of a knot, grid units

  explicit hand(random_source& random) noexcept {
    // Half-angle form of a rotation: exact for every t, no sine needed. |t| = 0.19 is 22 degrees.
    const float t = random.between(-0.19f, 0.19f);
    const float cosine = (1.0f - t * t) / (1.0f + t * t);
    const float sine = 2.0f * t / (1.0f + t * t);
    const float height = random.between(0.145f, 0.225f);         // pixels per unit: 14 to 22 tall
    const float width = height * random.between(0.75f, 1.25f);   // stretched or squeezed
    const float slant = random.between(-0.15f, 0.40f) * height;  // most hands lean to the right
    xx = width * cosine;
    xy = -slant * cosine - height * sine;
    yx = width * sine;
    yy = -slant * sine + height * cosine;
    shift_x = random.between(-2.5f, 2.5f);
    shift_y = random.between(-2.5f, 2.5f);
    radius = random.between(0.55f, 1.6f);
    pressure = random.between(0.0f, 0.25f);
    tremor = random.between(1.0f, 8.5f);
  }

  [[nodiscard]] knot place(point p, random_source& random) const noexcept {
    const float x = p.x - 30.0f + random.normal(tremor);
    const float y = p.y - 50.0f + random.normal(tremor);
    constexpr float center = 0.5f * sheet_size;
    return {center + shift_x + xx * x + xy * y, center + shift_y + yx * x + yy * y,
            std::max(radius * (1.0f + random.normal(pressure)), 0.4f)};
  }
};

/// Paper that takes ink. Coverage only grows: crossing lines do not add up.
class paper {
 public:
  /// A line of changing width; each pixel gets its coverage from its distance to the line.
  void draw_segment(knot a, knot b) noexcept {
    const auto clip = [](float v) { return std::size_t(std::clamp(v, 0.0f, sheet_size)); };
    const float reach = std::max(a.radius, b.radius) + 1.0f;
    const std::size_t x_end = clip(std::max(a.x, b.x) + reach + 1.0f);
    const std::size_t y_end = clip(std::max(a.y, b.y) + reach + 1.0f);
    const float dx = b.x - a.x, dy = b.y - a.y;
    const float length2 = dx * dx + dy * dy + 1e-12f;
    for (std::size_t y = clip(std::min(a.y, b.y) - reach); y < y_end; ++y) {
      for (std::size_t x = clip(std::min(a.x, b.x) - reach); x < x_end; ++x) {
        const float px = static_cast<float>(x) + 0.5f - a.x;
        const float py = static_cast<float>(y) + 0.5f - a.y;
        const float t = std::clamp((px * dx + py * dy) / length2, 0.0f, 1.0f);
        const float ex = px - t * dx, ey = py - t * dy;
        const float radius = a.radius + t * (b.radius - a.radius);
        // From 1 at radius - 0.5 to 0 at radius + 0.5; a ramp in the squared distance needs no
        // root.
        const float outer = radius + 0.5f;
        const float ramp = (outer * outer - ex * ex - ey * ey) / (2.0f * radius);
        float& ink = ink_[y * sheet_side + x];
        ink = std::max(ink, std::clamp(ramp, 0.0f, 1.0f));
      }
    }
  }

  /// Catmull-Rom spline through the knots; equal neighbors are a corner.
  void draw_curve(const std::vector<knot>& knots) noexcept {
    constexpr int steps = 6;
    for (std::size_t i = 0; i + 1 < knots.size(); ++i) {
      const knot& b = knots[i];
      const knot& c = knots[i + 1];
      const knot& a = i == 0 ? b : knots[i - 1];
      const knot& d = i + 2 == knots.size() ? c : knots[i + 2];
      if (b.x == c.x && b.y == c.y) continue;
      knot from = b;
      for (int s = 1; s <= steps; ++s) {
        const float t = static_cast<float>(s) / static_cast<float>(steps), u = 1.0f - t;
        const float wa = -0.5f * t * u * u, wb = u * (1.0f + t - 1.5f * t * t);
        const float wd = -0.5f * u * t * t, wc = t * (1.0f + u - 1.5f * u * u);
        const knot to{wa * a.x + wb * b.x + wc * c.x + wd * d.x,
                      wa * a.y + wb * b.y + wc * c.y + wd * d.y, u * b.radius + t * c.radius};
        draw_segment(from, to);
        from = to;
      }
    }
  }

  /// Photographs the paper: blur, contrast, a gray background, noise; writes (28, 28) pixels.
  void develop(random_source& random, float* image) const noexcept {
    const float side = random.between(0.0f, 0.25f);  // the blur is (side, middle, side) both ways
    const float middle = 1.0f - 2.0f * side;
    const float paper_level = random.between(0.0f, 0.15f);
    const float ink_level = random.between(0.45f, 1.0f);
    const float noise = random.between(0.01f, 0.15f);
    for (std::size_t y = 0; y < digit_side; ++y) {
      for (std::size_t x = 0; x < digit_side; ++x) {
        const float* row = ink_.data() + y * sheet_side + x;  // upper left of the 3 x 3 window
        const auto across = [=](const float* p) { return middle * p[1] + side * (p[0] + p[2]); };
        const float ink =
            middle * across(row + sheet_side) + side * (across(row) + across(row + 2 * sheet_side));
        const float gray = paper_level + (ink_level - paper_level) * ink + random.normal(noise);
        const int level = static_cast<int>(std::clamp(gray, 0.0f, 1.0f) * 255.0f + 0.5f);
        image[y * digit_side + x] = static_cast<float>(level) / 255.0f;
      }
    }
  }

 private:
  std::array<float, sheet_side * sheet_side> ink_{};  // (30, 30), coverage in [0, 1]
};

/// A stray line from the edge of the image, as a neighboring word or a ruled line leaves it.
inline void draw_stray(paper& sheet, random_source& random) {
  const float radius = random.between(0.4f, 0.9f);
  knot from{random.between(0.0f, sheet_size), 0.0f, radius};  // from the upper edge downwards
  knot to{from.x + random.between(-9.0f, 9.0f), random.between(2.0f, 7.0f), radius};
  const std::size_t edge = random.below(4);
  for (knot* k : {&from, &to}) {
    if (edge >= 2) k->y = sheet_size - k->y;
    if (edge % 2 == 1) std::swap(k->x, k->y);
  }
  sheet.draw_segment(from, to);
}

/// Writes one digit and photographs it; image is (28, 28).
inline void write_digit(std::size_t label, random_source& random, float* image) {
  const auto& variants = alphabet()[label];
  const hand writer(random);
  paper sheet;
  for (const stroke& line : variants[random.below(variants.size())]) {
    std::vector<knot> knots;
    knots.reserve(line.size());
    for (std::size_t i = 0; i < line.size(); ++i) {
      const bool corner = i > 0 && line[i] == line[i - 1];
      knots.push_back(corner ? knots.back() : writer.place(line[i], random));
    }
    sheet.draw_curve(knots);
  }
  while (random.chance(0.35f)) draw_stray(sheet, random);
  sheet.develop(random, image);
}

}  // namespace pen

/// Makes `count` digits. The classes take turns (image i shows i % 10), so any prefix of ten is
/// balanced; image i depends on seed and i only, so a smaller set is a prefix of a larger one.
[[nodiscard]] inline digit_set make_digits(std::size_t count, std::uint64_t seed) {
  digit_set set;
  set.images.resize(count * digit_pixels);
  set.labels.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    // One draw separates neighboring seeds; without it image i of seed s would be i - 1 of s + 1.
    pen::random_source random(pen::random_source(seed).next() + i);
    const std::size_t label = i % digit_classes;
    pen::write_digit(label, random, set.images.data() + i * digit_pixels);
    set.labels[i] = static_cast<int>(label);
  }
  return set;
}

}  // namespace qtk_cli
