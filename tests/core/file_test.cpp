#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <qtk/core/file.hpp>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace {

/// A directory of its own, removed with what is in it.
struct scratch {
  std::string path;
  scratch() {
    char name[] = "/tmp/qtk_file_test_XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path = name;
  }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch() {
    for (const std::string& f : names()) {
      const std::string full = path + "/" + f;
      if (unlink(full.c_str()) != 0) rmdir(full.c_str());
    }
    rmdir(path.c_str());
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    DIR* d = opendir(path.c_str());
    while (const dirent* e = readdir(d)) {
      const std::string n = e->d_name;
      if (n != "." && n != "..") out.push_back(n);
    }
    closedir(d);
    std::sort(out.begin(), out.end());
    return out;
  }
  std::string operator/(const char* name) const { return path + "/" + name; }
};

void write(const std::string& path, const std::string& text) {
  qtk::write_file_atomically(path, std::as_bytes(std::span(text)));
}

std::string read(const std::string& path, std::size_t limit = 1000) {
  const auto bytes = qtk::read_file(path, limit);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class Function>
std::string message(Function&& f) {
  try {
    f();
  } catch (const qtk::error& e) {
    return e.what();
  }
  return "no error";
}

using Catch::Matchers::Contains;

}  // namespace

TEST_CASE("what is written is read back, and replaced as a whole") {
  const scratch dir;
  const std::string path = dir / "a.bin";
  const std::string zeros("a\0b\n\xff", 5);
  write(path, zeros);
  CHECK(read(path) == zeros);
  write(path, "");
  CHECK(read(path).empty());
  write(path, "new");
  CHECK(read(path) == "new");
  CHECK(dir.names() == std::vector<std::string>{"a.bin"});
}

TEST_CASE("a range is checked against the file before it is allocated") {
  const scratch dir;
  const std::string path = dir / "a.bin";
  write(path, "0123456789");
  const auto middle = qtk::read_file_range(path, 3, 4);
  CHECK(std::string(reinterpret_cast<const char*>(middle.data()), middle.size()) == "3456");
  CHECK(qtk::read_file_range(path, 10, 0).empty());
  CHECK_THROWS_AS(qtk::read_file_range(path, 11, 0), qtk::error);
  CHECK_THROWS_AS(qtk::read_file_range(path, 3, 8), qtk::error);
  const std::size_t huge = static_cast<std::size_t>(-1);
  CHECK_THROWS_AS(qtk::read_file_range(path, 3, huge), qtk::error);  // 3 + huge wraps around
  CHECK_THROWS_AS(qtk::read_file_range(path, huge, 3), qtk::error);
}

TEST_CASE("a file that can't be read is named, with the reason") {
  const scratch dir;
  CHECK(message([&] { read(dir / "none"); }) == (dir / "none") + ": no such file");
  CHECK(message([&] { read(dir.path); }) == dir.path + ": is a directory");
  CHECK(message([&] { read("/dev/null"); }) == "/dev/null: not a regular file");
  const std::string path = dir / "a.bin";
  write(path, "0123456789");
  CHECK(message([&] { read(path, 9); }) == path + ": 10 bytes, the limit is 9");
  CHECK(read(path, 10).size() == 10);
  CHECK_THAT(message([&] { read(path + "/b"); }), Contains("Not a directory"));
}

TEST_CASE("a write that fails leaves nothing behind") {
  const scratch dir;
  SECTION("no such directory") {
    const std::string path = dir / "none/a.bin";
    CHECK(message([&] { write(path, "x"); }) == path + ": No such file or directory");
  }
  SECTION("the target is a directory") {
    REQUIRE(mkdir((dir / "sub").c_str(), 0700) == 0);
    CHECK(message([&] { write(dir / "sub", "x"); }) == (dir / "sub") + ": is a directory");
    CHECK(dir.names() == std::vector<std::string>{"sub"});
    return;
  }
  SECTION("the disk is full: the old file stays whole") {
    const std::string path = dir / "a.bin";
    write(path, "old");
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);  // fwrite sees EFBIG instead
    const rlimit small{4096, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    const std::string why = message([&] { write(path, std::string(100000, 'x')); });
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    CHECK(why == path + ": File too large");
    CHECK(read(path) == "old");
    CHECK(dir.names() == std::vector<std::string>{"a.bin"});
    return;
  }
  CHECK(dir.names().empty());
}

TEST_CASE("a file of someone else with the temporary's name is left alone") {
  const scratch dir;
  write(dir / "a.bin.tmp0", "theirs");
  write(dir / "a.bin", "ours");
  CHECK(read(dir / "a.bin.tmp0") == "theirs");
  CHECK(dir.names() == std::vector<std::string>{"a.bin", "a.bin.tmp0"});
}

TEST_CASE("a mapped file stays what it was when another takes its name") {
  const scratch dir;
  write(dir / "a.bin", "old bytes");
  const auto file = qtk::mapped_file::open(dir / "a.bin", 9);
  write(dir / "a.bin", "new");
  const auto text = [](const auto& f) {
    return std::string(reinterpret_cast<const char*>(f->bytes().data()), f->bytes().size());
  };
  CHECK(text(file) == "old bytes");
  CHECK(text(qtk::mapped_file::open(dir / "a.bin", 9)) == "new");
  write(dir / "empty", "");
  CHECK(qtk::mapped_file::open(dir / "empty", 9)->bytes().empty());
  const auto failure = [](const std::string& path, std::size_t limit) {
    return message([&] { (void)qtk::mapped_file::open(path, limit); });
  };
  CHECK(failure(dir / "a.bin", 2) == (dir / "a.bin") + ": 3 bytes, the limit is 2");
  CHECK(failure(dir / "none", 2) == (dir / "none") + ": no such file");
  CHECK(failure(dir.path, 2) == dir.path + ": is a directory");
  REQUIRE(mkfifo((dir / "pipe").c_str(), 0600) == 0);
  CHECK(failure(dir / "pipe", 2) == (dir / "pipe") + ": not a regular file");
}

TEST_CASE("a link stays a link, a device stays a device") {
  const scratch dir;
  write(dir / "real", "old");
  REQUIRE(symlink("real", (dir / "link").c_str()) == 0);
  write(dir / "link", "new");
  CHECK(read(dir / "real") == "new");
  struct stat s {};
  REQUIRE(lstat((dir / "link").c_str(), &s) == 0);
  CHECK(S_ISLNK(s.st_mode));

  // A pipe has no name that could be replaced: the bytes go through it.
  REQUIRE(mkfifo((dir / "pipe").c_str(), 0600) == 0);
  std::FILE* reader = std::fopen((dir / "pipe").c_str(), "r+");  // r+ does not wait for a writer
  REQUIRE(reader != nullptr);
  write(dir / "pipe", "through\n");
  char text[16] = {};
  REQUIRE(std::fgets(text, sizeof text, reader) != nullptr);
  std::fclose(reader);
  CHECK(std::string(text) == "through\n");
  REQUIRE(lstat((dir / "pipe").c_str(), &s) == 0);
  CHECK(S_ISFIFO(s.st_mode));
  CHECK(dir.names() == std::vector<std::string>{"link", "pipe", "real"});
}
