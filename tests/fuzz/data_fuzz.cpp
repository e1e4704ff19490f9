#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <qtk/core/file.hpp>
#include <span>
#include <string>

#include "data.hpp"
#include "npy.hpp"

/// Whatever the bytes are, a reader of data gives what it says or a qtk::error. The first byte
/// names the reader; the file follows, and of MNIST two of them, the length of the first before it.

namespace {

using bytes = std::span<const std::byte>;

void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

/// A folder that goes with the process.
class scratch_folder {
 public:
  scratch_folder() {
    std::string name = std::filesystem::temp_directory_path() / "qtk_fuzz_XXXXXX";
    expect(mkdtemp(name.data()) != nullptr, "no folder for temporary files");
    path_ = name;
  }
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;
  ~scratch_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string file(const std::string& name, bytes content) const {
    std::string path = path_ / name;
    std::FILE* const f = std::fopen(path.c_str(), "wb");
    expect(f != nullptr && std::fwrite(content.data(), 1, content.size(), f) == content.size() &&
               std::fclose(f) == 0,
           "a temporary file cannot be written");
    return path;
  }
  [[nodiscard]] std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void read_npy(bytes file) {
  const qtk::any_tensor t = qtk_cli::parse_npy(file, "npy");
  const std::string again = qtk_cli::to_npy(t);
  const qtk::any_tensor same = qtk_cli::parse_npy(std::as_bytes(std::span(again)), "again");
  expect(same.dtype() == t.dtype() && same.shape() == t.shape(),
         "reads another array than written");
}

void read_samples(char kind, bytes file) {
  static const scratch_folder folder;
  std::string spec;
  if (kind == 'm') {
    const std::size_t head = file.size() < 2 ? 0
                                             : std::to_integer<std::size_t>(file[0]) * 256 +
                                                   std::to_integer<std::size_t>(file[1]);
    const bytes both = file.subspan(std::min<std::size_t>(file.size(), 2));
    const std::size_t cut = std::min(head, both.size());
    static_cast<void>(folder.file("t10k-images-idx3-ubyte", both.first(cut)));
    static_cast<void>(folder.file("t10k-labels-idx1-ubyte", both.subspan(cut)));
    spec = "mnist:" + folder.path();
  } else {
    const char* const source = kind == 'c' ? "csv:" : kind == 'r' ? "cifar10:" : "npz:";
    spec = source + folder.file("data", file);
  }
  qtk_cli::data_set data = qtk_cli::load_data(spec, 1000);
  expect(data.values.size() == data.count() * data.sample.elements(), "half a sample");
  expect(data.labels.empty() || data.labels.size() == data.count(), "labels for other samples");
  qtk_cli::preprocess(data, {.scale = 2.0f, .mean = {}, .std = {}});
  const auto [chosen, rest] = qtk_cli::split(data, 3);
  expect(chosen.count() + rest.count() == data.count(), "samples lost");
  static_cast<void>(qtk_cli::batch(data, 0, 2));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array kinds = {'n', 'z', 'c', 'r',
                                'm'};  // .npy, .npz, CSV, CIFAR-10 records, MNIST
  if (size == 0) return 0;
  const bytes file = std::as_bytes(std::span(data + 1, size - 1));
  for (const char kind : kinds)
    if (data[0] == static_cast<std::uint8_t>(kind)) try {
        if (kind == 'n')
          read_npy(file);
        else
          read_samples(kind, file);
      } catch (const qtk::error&) {
      }
  return 0;
}
