#pragma once

#include <cstdint>
#include <optional>

#include "qtk/core/format.hpp"

/// Element types by ONNX's numbers, which attributes (Cast's `to`) hold as well as files do.
/// Source: onnx.proto, TensorProto.DataType.
namespace qtk::inline QTK_ABI {

/// TensorProto.DataType of a format.
[[nodiscard]] constexpr std::int64_t onnx_type(dtype d) noexcept {
  switch (d) {
    case dtype::uint8:
      return 2;
    case dtype::int8:
      return 3;
    case dtype::uint16:
      return 4;
    case dtype::int16:
      return 5;
    case dtype::int32:
      return 6;
    case dtype::int64:
      return 7;
    case dtype::boolean:
      return 9;
    case dtype::fp16:
      return 10;
    case dtype::fp64:
      return 11;
    case dtype::uint32:
      return 12;
    case dtype::uint64:
      return 13;
    case dtype::bf16:
      return 16;
    case dtype::uint4:
      return 21;
    case dtype::int4:
      return 22;
    case dtype::float8e4m3fn:
      return 17;
    case dtype::float8e4m3fnuz:
      return 18;
    case dtype::float8e5m2:
      return 19;
    case dtype::float8e5m2fnuz:
      return 20;
    case dtype::float4e2m1:
      return 23;
    case dtype::float8e8m0:
      return 24;
    case dtype::uint2:
      return 25;
    case dtype::int2:
      return 26;
    case dtype::fp32:
      break;
  }
  return 1;
}

/// The format of a TensorProto.DataType, where qtk has one.
[[nodiscard]] constexpr std::optional<dtype> from_onnx_type(std::int64_t type) noexcept {
  for (int d = 0; d < dtype_count; ++d)
    if (onnx_type(static_cast<dtype>(d)) == type) return static_cast<dtype>(d);
  return std::nullopt;
}

}  // namespace qtk::inline QTK_ABI
