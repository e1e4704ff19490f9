/// Writes generated digits to a file for train_digits.py: count x 28 x 28 bytes of pixels (0..255),
/// then count bytes of labels.
///
///   g++ -std=c++20 -O2 dump_digits.cpp -o dump_digits && ./dump_digits 1000 1 digits.bin

#include <cstddef>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "../qtk/digits.hpp"

int main(int argc, char** argv) try {
  if (argc != 4) {
    std::cerr << "usage: dump_digits COUNT SEED FILE\n";
    return 2;
  }
  const std::size_t count = std::stoull(argv[1]);
  const std::uint64_t seed = std::stoull(argv[2]);
  const qtk_cli::digit_set set = qtk_cli::make_digits(count, seed);

  std::vector<char> bytes;
  bytes.reserve(set.images.size() + set.labels.size());
  for (const float pixel : set.images) {
    bytes.push_back(static_cast<char>(static_cast<std::uint8_t>(pixel * 255.0f + 0.5f)));
  }
  for (const int label : set.labels) bytes.push_back(static_cast<char>(label));

  std::ofstream file(argv[3], std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) {
    std::cerr << "dump_digits: cannot write " << argv[3] << '\n';
    return 1;
  }
} catch (const std::exception& e) {
  std::cerr << "dump_digits: " << e.what() << '\n';
  return 1;
}
