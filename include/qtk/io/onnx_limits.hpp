#pragma once

#include <cstddef>
#include <string_view>

#include "qtk/core/error.hpp"

namespace qtk::inline QTK_ABI::onnx {

/// What a file may ask for. The defaults let every real model through; a service that reads files
/// of strangers sets them lower.
struct limits {
  std::size_t max_file_bytes = std::size_t{2} << 30;       // protobuf's own limit
  std::size_t max_external_bytes = std::size_t{64} << 30;  // of weights beside the file, in all
  std::size_t max_nodes = 1'000'000;
  std::size_t max_depth = 16;         // of bodies within bodies: If, Loop, Scan
  std::size_t max_name_bytes = 4096;  // of a node, value, operator or attribute
  /// Weights that a session reads as they are stay in the file, which must stay as it is then.
  bool map_files = true;
};

/// A name from the file: short enough, and fit to be printed in one line.
[[nodiscard]] inline std::string_view checked_name(std::string_view name, const limits& limit,
                                                   std::string_view where) {
  QTK_CHECK(name.size() <= limit.max_name_bytes, where, "a name of ", name.size(),
            " bytes, the limit is ", limit.max_name_bytes);
  for (std::size_t i = 0; i < name.size(); ++i)
    QTK_CHECK(!qtk::detail::is_control(name, i), where, "a name holds a control character");
  return name;
}

}  // namespace qtk::inline QTK_ABI::onnx
