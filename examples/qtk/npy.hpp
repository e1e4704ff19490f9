#pragma once

#include <qtk/tensor.hpp>
#include <span>
#include <string>

/// numpy's .npy files: C-ordered, little-endian (numpy.lib.format).
namespace qtk_cli {

/// The array in `b`; qtk::error, which starts with `where`, for what no format of qtk holds.
[[nodiscard]] qtk::any_tensor parse_npy(std::span<const std::byte> b, const std::string& where);
[[nodiscard]] qtk::any_tensor load_npy(const std::string& path);

/// The bytes of a .npy file of `t`.
[[nodiscard]] std::string to_npy(const qtk::any_tensor& t);

}  // namespace qtk_cli
