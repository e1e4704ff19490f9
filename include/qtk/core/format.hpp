#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "qtk/core/float8.hpp"
#include "qtk/core/half.hpp"
#include "qtk/core/int4.hpp"

namespace qtk::inline QTK_ABI {

/// Run-time name of a format, in the order of `any_tensor`'s alternatives.
enum class dtype : std::uint8_t {
  fp32,
  fp16,
  bf16,
  int8,
  uint8,
  int4,
  uint4,  // weights and activations
  int32,
  int64,
  boolean,
  fp64,  // accumulators, shapes, indices, masks
  int16,
  uint16,
  uint32,
  uint64,  // as models hold them, next to no operator's own
  float8e4m3fn,
  float8e4m3fnuz,
  float8e5m2,
  float8e5m2fnuz,
  float8e8m0,
  float4e2m1,
  int2,
  uint2,  // storage that is converted, next to nothing computes in it
};

/// A format says how one element is stored. A new one is a new tag here and its codec.
///   value_type   what one element reads as (the code, for quantized formats)
///   storage_type what the buffer holds
///   packed       several elements share a storage unit; a row starts on a unit of its own
template <class Value, class Storage, dtype Id, int Bits>
struct basic_format {
  using value_type = Value;
  using storage_type = Storage;
  static constexpr dtype id = Id;
  static constexpr int bits = Bits;
  static constexpr bool packed = Bits < 8;
  static constexpr bool quantized = false;
  static constexpr std::size_t per_unit = packed ? 8 / Bits : 1;

  /// An element from its bits, and its bits: of packed formats.
  [[nodiscard]] static constexpr Value from_bits(std::uint8_t raw) noexcept {
    if constexpr (!std::is_integral_v<Value>)
      return Value{raw};
    else if constexpr (std::is_signed_v<Value>)  // sign-extended
      return static_cast<Value>((raw ^ (1 << (Bits - 1))) - (1 << (Bits - 1)));
    else
      return static_cast<Value>(raw);
  }
  [[nodiscard]] static constexpr unsigned to_bits(Value v) noexcept {
    if constexpr (std::is_integral_v<Value>)
      return static_cast<unsigned>(v);
    else
      return v.bits;
  }
};

/// Codes of `real = scale * (code - zero_point)`, code_min <= code <= code_max.
template <class Value, class Storage, dtype Id, int Bits, int Min, int Max>
struct code_format : basic_format<Value, Storage, Id, Bits> {
  static constexpr bool quantized = true;
  static constexpr std::int32_t code_min = Min;
  static constexpr std::int32_t code_max = Max;
};

struct fp32 : basic_format<float, float, dtype::fp32, 32> {};
struct fp16 : basic_format<half, half, dtype::fp16, 16> {};
struct bf16 : basic_format<bfloat16, bfloat16, dtype::bf16, 16> {};
struct int8 : code_format<std::int8_t, std::int8_t, dtype::int8, 8, -128, 127> {};
struct uint8 : code_format<std::uint8_t, std::uint8_t, dtype::uint8, 8, 0, 255> {};
struct int4 : code_format<std::int8_t, std::uint8_t, dtype::int4, 4, -8, 7> {};
struct uint4 : code_format<std::uint8_t, std::uint8_t, dtype::uint4, 4, 0, 15> {};
struct int32 : basic_format<std::int32_t, std::int32_t, dtype::int32, 32> {};
struct int64 : basic_format<std::int64_t, std::int64_t, dtype::int64, 64> {};
struct boolean : basic_format<std::uint8_t, std::uint8_t, dtype::boolean, 8> {};
struct fp64 : basic_format<double, double, dtype::fp64, 64> {};
struct int16 : basic_format<std::int16_t, std::int16_t, dtype::int16, 16> {};
struct uint16 : basic_format<std::uint16_t, std::uint16_t, dtype::uint16, 16> {};
struct uint32 : basic_format<std::uint32_t, std::uint32_t, dtype::uint32, 32> {};
struct uint64 : basic_format<std::uint64_t, std::uint64_t, dtype::uint64, 64> {};
struct float8e4m3fn : basic_format<e4m3fn, e4m3fn, dtype::float8e4m3fn, 8> {};
struct float8e4m3fnuz : basic_format<e4m3fnuz, e4m3fnuz, dtype::float8e4m3fnuz, 8> {};
struct float8e5m2 : basic_format<e5m2, e5m2, dtype::float8e5m2, 8> {};
struct float8e5m2fnuz : basic_format<e5m2fnuz, e5m2fnuz, dtype::float8e5m2fnuz, 8> {};
struct float8e8m0 : basic_format<e8m0, e8m0, dtype::float8e8m0, 8> {};
struct float4e2m1 : basic_format<e2m1, std::uint8_t, dtype::float4e2m1, 4> {};
struct int2 : code_format<std::int8_t, std::uint8_t, dtype::int2, 2, -2, 1> {};
struct uint2 : code_format<std::uint8_t, std::uint8_t, dtype::uint2, 2, 0, 3> {};

inline constexpr int dtype_count = static_cast<int>(dtype::uint2) + 1;

template <class F>
concept storage_format = requires {
  typename std::remove_const_t<F>::value_type;
  typename std::remove_const_t<F>::storage_type;
  { std::remove_const_t<F>::id } -> std::convertible_to<dtype>;
  { std::remove_const_t<F>::bits } -> std::convertible_to<int>;
};

/// int8, uint8, int4, uint4, int2, uint2: the targets of quantize<F>().
template <class F>
concept quantized_format = storage_format<F> && std::remove_const_t<F>::quantized;

/// fp32, fp16, bf16.
template <class F>
concept float_format = std::same_as<F, fp32> || std::same_as<F, fp16> || std::same_as<F, bf16>;

[[nodiscard]] constexpr std::string_view name(dtype d) noexcept {
  constexpr std::string_view names[] = {
      "fp32",           "fp16",       "bf16",       "int8",         "uint8",          "int4",
      "uint4",          "int32",      "int64",      "boolean",      "fp64",           "int16",
      "uint16",         "uint32",     "uint64",     "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
      "float8e5m2fnuz", "float8e8m0", "float4e2m1", "int2",         "uint2"};
  return names[static_cast<std::size_t>(d)];
}

[[nodiscard]] inline std::string_view to_string(dtype d) noexcept { return name(d); }

/// Calls f with the tag object of `d`: visit_format(d, [](auto tag) { using F = decltype(tag); }).
template <class Function>
constexpr decltype(auto) visit_format(dtype d, Function&& f) {
  switch (d) {
    case dtype::fp16:
      return f(fp16{});
    case dtype::bf16:
      return f(bf16{});
    case dtype::int8:
      return f(int8{});
    case dtype::uint8:
      return f(uint8{});
    case dtype::int4:
      return f(int4{});
    case dtype::uint4:
      return f(uint4{});
    case dtype::int32:
      return f(int32{});
    case dtype::int64:
      return f(int64{});
    case dtype::boolean:
      return f(boolean{});
    case dtype::fp64:
      return f(fp64{});
    case dtype::int16:
      return f(int16{});
    case dtype::uint16:
      return f(uint16{});
    case dtype::uint32:
      return f(uint32{});
    case dtype::uint64:
      return f(uint64{});
    case dtype::float8e4m3fn:
      return f(float8e4m3fn{});
    case dtype::float8e4m3fnuz:
      return f(float8e4m3fnuz{});
    case dtype::float8e5m2:
      return f(float8e5m2{});
    case dtype::float8e5m2fnuz:
      return f(float8e5m2fnuz{});
    case dtype::float8e8m0:
      return f(float8e8m0{});
    case dtype::float4e2m1:
      return f(float4e2m1{});
    case dtype::int2:
      return f(int2{});
    case dtype::uint2:
      return f(uint2{});
    case dtype::fp32:
      break;
  }
  return f(fp32{});
}

[[nodiscard]] constexpr int bits(dtype d) noexcept {
  return visit_format(d, [](auto tag) { return decltype(tag)::bits; });
}

}  // namespace qtk::inline QTK_ABI
