#pragma once

#include <string_view>
#include <variant>

#include "qtk/quantize/entropy.hpp"
#include "qtk/quantize/moving_average.hpp"
#include "qtk/quantize/mse.hpp"
#include "qtk/quantize/percentile.hpp"

namespace qtk::inline QTK_ABI {

/// How the range of activations is chosen, in the order of any_observer's alternatives.
enum class calibration : std::uint8_t { min_max, moving_average, percentile, entropy, mse };

inline constexpr calibration calibrations[] = {calibration::min_max, calibration::moving_average,
                                               calibration::percentile, calibration::entropy,
                                               calibration::mse};

[[nodiscard]] constexpr std::string_view name(calibration c) noexcept {
  constexpr std::string_view names[] = {"min_max", "moving_average", "percentile", "entropy",
                                        "mse"};
  return names[static_cast<std::size_t>(c)];
}
[[nodiscard]] inline std::string_view to_string(calibration c) noexcept { return name(c); }

/// qtk::error listing the names, for another text.
[[nodiscard]] inline calibration parse_calibration(std::string_view text) {
  std::string known;
  for (const calibration c : calibrations) {
    if (text == name(c)) return c;
    known += cat(known.empty() ? "" : ", ", c);
  }
  fail(cat("unknown: ", text, "; known: ", known), "calibration");
}

/// An observer chosen at run time. A closed variant and a value, as any_tensor is.
///   any_observer o(parse_calibration("entropy"), codes_of<uint8>, symmetry::asymmetric);
///   any_observer p = percentile(0.999);
class any_observer {
 public:
  using variant = std::variant<min_max, moving_average, percentile, entropy, mse>;

  /// With default options. `codes` and `how` are those that the range is for: entropy and mse weigh
  /// the steps they give.
  explicit any_observer(calibration what = calibration::min_max, code_range codes = codes_of<int8>,
                        symmetry how = symmetry::symmetric)
      : value_(make(what, codes, how)) {}
  template <class O>
  requires(!std::same_as<O, any_observer> && std::constructible_from<variant, O>)
      any_observer(O o)  // NOLINT(google-explicit-constructor)
      : value_(std::move(o)) {}

  [[nodiscard]] calibration what() const noexcept {
    return static_cast<calibration>(value_.index());
  }
  void observe(std::span<const float> values) {
    std::visit([&](auto& o) { o.observe(values); }, value_);
  }
  void end_batch() noexcept {
    if (auto* o = std::get_if<moving_average>(&value_)) o->end_batch();
  }
  /// As if this had seen what the other saw. qtk::error for another kind, and for moving averages,
  /// which know an order of batches.
  void merge(const any_observer& other) {
    QTK_CHECK(what() == other.what(), "calibration", what(), " merged with ", other.what());
    std::visit(
        [&]<class O>(O& o) {
          if constexpr (std::is_same_v<O, moving_average>)
            fail("a moving average has an order and is not merged", "calibration");
          else
            o.merge(*std::get_if<O>(&other.value_));
        },
        value_);
  }
  [[nodiscard]] value_range range() const {
    return std::visit([](const auto& o) { return o.range(); }, value_);
  }

 private:
  [[nodiscard]] static variant make(calibration what, code_range codes, symmetry how) {
    switch (what) {
      case calibration::moving_average:
        return moving_average();
      case calibration::percentile:
        return percentile();
      case calibration::entropy:
        return entropy(codes, how);
      case calibration::mse:
        return mse(codes, how);
      case calibration::min_max:
        break;
    }
    return min_max();
  }

  variant value_;
};
static_assert(observer<any_observer>);

}  // namespace qtk::inline QTK_ABI
