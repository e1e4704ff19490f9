#pragma once

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "qtk/core/error.hpp"

namespace qtk::inline QTK_ABI {

namespace detail {
struct file_closer {
  void operator()(std::FILE* f) const noexcept { std::fclose(f); }
};
using file_handle = std::unique_ptr<std::FILE, file_closer>;
}  // namespace detail

/// `size` bytes from `offset`, both checked against the file's size before anything is allocated.
/// qtk::error names a file that is missing, a folder, a device, too short or unreadable.
[[nodiscard]] inline std::vector<std::byte> read_file_range(const std::string& path,
                                                            std::size_t offset, std::size_t size) {
  std::error_code code;
  const auto status = std::filesystem::status(path, code);
  QTK_CHECK(std::filesystem::exists(status), path, "no such file");
  QTK_CHECK(std::filesystem::is_regular_file(status), path, "not a regular file");
  const auto total = std::filesystem::file_size(path, code);
  QTK_CHECK(!code, path, code.message());
  QTK_CHECK(offset <= total && size <= total - offset, path, size, " bytes at ", offset,
            " of a file of ", total);
  const detail::file_handle file(std::fopen(path.c_str(), "rb"));
  QTK_CHECK(file != nullptr, path, std::strerror(errno));
  std::vector<std::byte> bytes(size);
  QTK_CHECK(std::fseek(file.get(), static_cast<long>(offset), SEEK_SET) == 0, path,
            std::strerror(errno));
  // A file that shrinks meanwhile reads short.
  QTK_CHECK(std::fread(bytes.data(), 1, size, file.get()) == size, path, "cannot read ", size,
            " bytes");
  return bytes;
}

/// A whole file of at most `limit` bytes; qtk::error as read_file_range.
[[nodiscard]] inline std::vector<std::byte> read_file(const std::string& path, std::size_t limit) {
  std::error_code code;
  const auto status = std::filesystem::status(path, code);
  QTK_CHECK(std::filesystem::exists(status), path, "no such file");
  QTK_CHECK(std::filesystem::is_regular_file(status), path, "not a regular file");
  const auto size = std::filesystem::file_size(path, code);
  QTK_CHECK(!code, path, code.message());
  QTK_CHECK(size <= limit, path, size, " bytes, the limit is ", limit);
  return read_file_range(path, 0, static_cast<std::size_t>(size));
}

/// Writes to a temporary name beside `path`, then renames: a reader sees the old file or the whole
/// new one, and a failure leaves nothing behind. qtk::error names the file and the reason.
inline void write_file_atomically(const std::string& path, std::span<const std::byte> bytes) {
  std::string temporary;
  detail::file_handle file;
  for (int attempt = 0; file == nullptr; ++attempt) {
    temporary = cat(path, ".tmp", attempt);
    file.reset(std::fopen(temporary.c_str(), "wbx"));  // x: never over a file that exists
    QTK_CHECK(file != nullptr || (errno == EEXIST && attempt < 100), path, std::strerror(errno));
  }
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file.get()) == bytes.size();
  const bool closed = std::fclose(file.release()) == 0;  // a full disk may show only here
  const int reason = errno;
  std::error_code code;
  if (written && closed) {
    std::filesystem::rename(temporary, path, code);
    if (!code) return;
  }
  const std::string why = written && closed ? code.message() : std::string(std::strerror(reason));
  std::filesystem::remove(temporary, code);
  fail(why, path);
}

}  // namespace qtk::inline QTK_ABI
