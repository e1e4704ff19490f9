#include <qtk/ops/copy.hpp>
#include <vector>

#include "support/catch.hpp"

using namespace qtk;

namespace {

/// Bytes of which neighbors differ.
std::vector<std::byte> numbered(std::size_t n) {
  std::vector<std::byte> bytes(n);
  for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::byte>(i % 251 + 1);
  return bytes;
}

}  // namespace

TEST_CASE("rows of any length are copied, and nothing beside them", "[ops]") {
  constexpr std::size_t gap = 3;
  for (std::size_t bytes = 0; bytes < 300; ++bytes)
    for (const std::size_t rows : {0u, 1u, 3u, 4u, 9u}) {
      INFO(rows << " rows of " << bytes);
      const auto from = numbered(rows * (bytes + 1));
      std::vector<std::byte> to(rows * (bytes + gap)), expected = to;
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t i = 0; i < bytes; ++i)
          expected[r * (bytes + gap) + i] = from[r * (bytes + 1) + i];
      copy_rows(rows, bytes, from.data(), bytes + 1, to.data(), bytes + gap);
      CHECK(to == expected);
    }
}

TEST_CASE("fill_elements repeats an element of any size", "[ops]") {
  for (const std::size_t size : {1u, 2u, 3u, 4u, 8u, 16u, 5000u})
    for (const std::size_t count : {0u, 1u, 2u, 3u, 7u, 64u, 1000u, 5001u}) {
      if (size * count > 100'000) continue;
      INFO(count << " elements of " << size);
      const auto value = numbered(size);
      std::vector<std::byte> to(size * count + 1), expected = to;
      for (std::size_t i = 0; i < size * count; ++i) expected[i] = value[i % size];
      fill_elements(to.data(), count, value.data(), size);
      CHECK(to == expected);
    }
}
