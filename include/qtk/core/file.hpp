#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "qtk/core/error.hpp"

/// Whole files in and out. POSIX rather than <filesystem>, which costs every reader 0.5 s to
/// compile.
namespace qtk::inline QTK_ABI {

namespace detail {
/// An open file that closes with its scope.
struct file_handle {
  std::FILE* stream = nullptr;
  explicit file_handle(std::FILE* f) : stream(f) {}
  file_handle(const file_handle&) = delete;
  file_handle& operator=(const file_handle&) = delete;
  ~file_handle() {
    if (stream != nullptr) std::fclose(stream);
  }
  /// Whether everything reached the system: a full disk may show only here.
  bool close() { return std::fclose(std::exchange(stream, nullptr)) == 0; }
};

/// Size of a regular file; qtk::error where there is none.
inline std::size_t regular_file_size(const std::string& path) {
  struct stat s {};
  QTK_CHECK(stat(path.c_str(), &s) == 0, path,
            errno == ENOENT ? "no such file" : std::strerror(errno));
  QTK_CHECK(!S_ISDIR(s.st_mode), path, "is a directory");
  QTK_CHECK(S_ISREG(s.st_mode), path, "not a regular file");
  return static_cast<std::size_t>(s.st_size);
}
}  // namespace detail

/// `size` bytes from `offset`, both checked against the file's size before anything is allocated.
/// qtk::error names a file that is missing, a directory, a device, too short or unreadable.
[[nodiscard]] inline std::vector<std::byte> read_file_range(const std::string& path,
                                                            std::size_t offset, std::size_t size) {
  const std::size_t total = detail::regular_file_size(path);
  QTK_CHECK(offset <= total && size <= total - offset, path, size, " bytes at ", offset,
            " of a file of ", total);
  const detail::file_handle file(std::fopen(path.c_str(), "rb"));
  QTK_CHECK(file.stream != nullptr, path, std::strerror(errno));
  QTK_CHECK(fseeko(file.stream, static_cast<off_t>(offset), SEEK_SET) == 0, path,
            std::strerror(errno));
  std::vector<std::byte> bytes(size);
  // A file that shrinks meanwhile reads short.
  QTK_CHECK(std::fread(bytes.data(), 1, size, file.stream) == size, path, "cannot read ", size,
            " bytes");
  return bytes;
}

/// A whole file of at most `limit` bytes; qtk::error as read_file_range, and where it is larger.
[[nodiscard]] inline std::vector<std::byte> read_file(const std::string& path, std::size_t limit) {
  const std::size_t size = detail::regular_file_size(path);
  QTK_CHECK(size <= limit, path, size, " bytes, the limit is ", limit);
  return read_file_range(path, 0, size);
}

/// A file as the system pages it in, to be read only. What others write to it while it is mapped
/// may show, and where they cut it short, reading it ends the process (SIGBUS): for files that stay
/// as they are. One that is replaced by renaming (staged_file) does.
class mapped_file {
 public:
  /// A regular file of at most `limit` bytes; qtk::error as read_file.
  [[nodiscard]] static std::shared_ptr<const mapped_file> open(const std::string& path,
                                                               std::size_t limit) {
    return std::shared_ptr<const mapped_file>(new mapped_file(path, limit));
  }
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;
  ~mapped_file() {
    if (size_ != 0) munmap(data_, size_);
  }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return {static_cast<const std::byte*>(data_), size_};
  }

 private:
  mapped_file(const std::string& path, std::size_t limit) {
    const std::size_t size = detail::regular_file_size(path);
    QTK_CHECK(size <= limit, path, size, " bytes, the limit is ", limit);
    if (size == 0) return;
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    QTK_CHECK(file >= 0, path, std::strerror(errno));
    struct stat now {};  // another file may have taken its name meanwhile
    const bool same = fstat(file, &now) == 0 && S_ISREG(now.st_mode) &&
                      static_cast<std::size_t>(now.st_size) == size;
    if (!same) close(file);
    QTK_CHECK(same, path, "changed while it was opened");
    void* const at = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
    const int why = errno;
    close(file);
    QTK_CHECK(at != MAP_FAILED, path, std::strerror(why));
    data_ = at;
    size_ = size;
  }

  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A file on its way: written under a temporary name beside `path`, renamed by commit(). A reader
/// sees the old file or the whole new one, and what is not committed leaves nothing behind. A link
/// stays a link, its target is replaced; a device or pipe (/dev/stdout) is written in place, as
/// renaming over it would remove it. qtk::error names the file and the reason.
class staged_file {
 public:
  /// Opens it: fails where nothing can be written.
  explicit staged_file(std::string path) : path_(std::move(path)), target_(path_) {
    struct stat s {};
    if (stat(path_.c_str(), &s) == 0) {
      QTK_CHECK(!S_ISDIR(s.st_mode), path_, "is a directory");
      if (!S_ISREG(s.st_mode)) {
        file_.stream = std::fopen(path_.c_str(), "wb");
        QTK_CHECK(file_.stream != nullptr, path_, std::strerror(errno));
        return;
      }
      char* const resolved = realpath(path_.c_str(), nullptr);
      QTK_CHECK(resolved != nullptr, path_, std::strerror(errno));
      target_ = resolved;
      std::free(resolved);
    }
    for (int attempt = 0; file_.stream == nullptr; ++attempt) {
      temporary_ = cat(target_, ".tmp", attempt);
      file_.stream = std::fopen(temporary_.c_str(), "wbx");  // x: never over a file that exists
      if (file_.stream != nullptr) return;
      const bool taken = errno == EEXIST && attempt < 100;
      temporary_.clear();  // not ours to remove
      QTK_CHECK(taken, path_, std::strerror(errno));
    }
  }
  staged_file(const staged_file&) = delete;
  staged_file& operator=(const staged_file&) = delete;
  ~staged_file() {
    if (!temporary_.empty()) std::remove(temporary_.c_str());
  }

  void write(std::span<const std::byte> bytes) {
    QTK_CHECK(std::fwrite(bytes.data(), 1, bytes.size(), file_.stream) == bytes.size(), path_,
              std::strerror(errno));
  }
  /// Whether everything reached the system, which a full disk may deny only now.
  void close() { QTK_CHECK(file_.close(), path_, std::strerror(errno)); }
  /// Gives a closed file its name.
  void commit() {
    if (temporary_.empty()) return;
    QTK_CHECK(std::rename(temporary_.c_str(), target_.c_str()) == 0, path_, std::strerror(errno));
    temporary_.clear();
  }

 private:
  std::string path_, target_, temporary_;  // temporary: empty where written in place
  detail::file_handle file_{nullptr};
};

/// All of `bytes` or nothing, as staged_file.
inline void write_file_atomically(const std::string& path, std::span<const std::byte> bytes) {
  staged_file file(path);
  file.write(bytes);
  file.close();
  file.commit();
}

}  // namespace qtk::inline QTK_ABI
