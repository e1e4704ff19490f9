#pragma once

#include <qtk/graph/model.hpp>
#include <span>
#include <string>
#include <vector>

/// numpy's .npy files: C-ordered, little-endian (numpy.lib.format).
namespace qtk_cli {

/// The array in `b`; qtk::error, which starts with `where`, for what no format of qtk holds.
[[nodiscard]] qtk::any_tensor parse_npy(std::span<const std::byte> b, const std::string& where);
[[nodiscard]] qtk::any_tensor load_npy(const std::string& path);

/// What `m` takes, from words "name=file.npy", or a file alone for the first input that has none
/// yet.
[[nodiscard]] std::vector<qtk::any_tensor> load_inputs(const qtk::model& m,
                                                       const std::vector<std::string>& given);

/// The bytes of a .npy file of `t`.
[[nodiscard]] std::string to_npy(const qtk::any_tensor& t);

}  // namespace qtk_cli
