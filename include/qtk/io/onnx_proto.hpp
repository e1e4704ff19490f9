#pragma once

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include "qtk/core/error.hpp"

/// Field numbers of onnx.proto (Apache-2.0, onnx/onnx), as far as qtk reads or writes them.
namespace qtk::inline QTK_ABI::onnx::proto {

namespace model {
enum field : std::uint32_t {
  ir_version = 1,
  producer_name = 2,
  graph = 7,
  opset_import = 8,
  metadata_props = 14,
  functions = 25,
};
}
namespace opset {
enum field : std::uint32_t { domain = 1, version = 2 };
}
namespace entry {
enum field : std::uint32_t { key = 1, value = 2 };
}
namespace graph {
enum field : std::uint32_t {
  node = 1,
  name = 2,
  initializer = 5,
  input = 11,
  output = 12,
  sparse_initializer = 15,
};
}
namespace node {
enum field : std::uint32_t {
  input = 1,
  output = 2,
  name = 3,
  op_type = 4,
  attribute = 5,
  domain = 7,
};
}
namespace attribute {
enum field : std::uint32_t {
  name = 1,
  f = 2,
  i = 3,
  s = 4,
  t = 5,
  g = 6,
  floats = 7,
  ints = 8,
  strings = 9,
  tensors = 10,
  graphs = 11,
  tp = 14,
  type_protos = 15,
  type = 20,
  ref_attr_name = 21,
  sparse_tensor = 22,
  sparse_tensors = 23,
};
enum kind : std::int64_t {
  undefined = 0,
  kind_float = 1,
  kind_int = 2,
  kind_string = 3,
  kind_tensor = 4,
  kind_graph = 5,
  kind_floats = 6,
  kind_ints = 7,
  kind_strings = 8,
};
}  // namespace attribute
namespace value_info {
enum field : std::uint32_t { name = 1, type = 2 };
}
namespace type {
enum field : std::uint32_t { tensor_type = 1, denotation = 6 };
enum tensor_field : std::uint32_t { elem_type = 1, shape = 2 };
enum shape_field : std::uint32_t { dim = 1 };
enum dim_field : std::uint32_t { dim_value = 1, dim_param = 2 };
}  // namespace type
namespace tensor {
enum field : std::uint32_t {
  dims = 1,
  data_type = 2,
  segment = 3,
  float_data = 4,
  int32_data = 5,
  string_data = 6,
  int64_data = 7,
  name = 8,
  raw_data = 9,
  double_data = 10,
  uint64_data = 11,
  external_data = 13,
  data_location = 14,
};
}

/// "uint16": for messages.
[[nodiscard]] inline std::string type_name(std::int64_t data_type) {
  constexpr std::string_view names[] = {
      "undefined",      "float",    "uint8",        "int8",           "uint16",
      "int16",          "int32",    "int64",        "string",         "bool",
      "float16",        "double",   "uint32",       "uint64",         "complex64",
      "complex128",     "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
      "float8e5m2fnuz", "uint4",    "int4",         "float4e2m1",     "float8e8m0",
      "uint2",          "int2"};
  return data_type >= 0 && data_type < static_cast<std::int64_t>(std::size(names))
             ? std::string(names[data_type])
             : cat("number ", data_type);
}

}  // namespace qtk::inline QTK_ABI::onnx::proto
