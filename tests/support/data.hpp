#pragma once

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

namespace qtk_test {

inline bool exists(const std::string& path) {
  std::FILE* f = std::fopen(path.c_str(), "rb");
  if (f != nullptr) std::fclose(f);
  return f != nullptr;
}

/// A file or folder of the collection of real models and data sets, if it is there: in
/// QTK_TEST_DATA, else in ../shared/data beside the project. Tests without it must say that they
/// skip.
inline std::optional<std::string> data_file(const std::string& name) {
  const char* given = std::getenv("QTK_TEST_DATA");
  const std::string path =
      (given != nullptr ? std::string(given) : QTK_SOURCE_DIR "/../shared/data") + "/" + name;
  return exists(path) ? std::optional(path) : std::nullopt;
}

}  // namespace qtk_test
