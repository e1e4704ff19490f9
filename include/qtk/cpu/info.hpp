#pragma once

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "qtk/core/config.hpp"

namespace qtk::inline QTK_ABI {

/// What the machine calls itself, for reports. Fields that cannot be read are empty or zero.
struct cpu_description {
  std::string name;
  std::size_t threads = 0;
  std::size_t l1d_bytes = 0, l2_bytes = 0, l3_bytes = 0;  // of one core; L3 as a core sees it
};

namespace detail {

/// First line of a small text file, or nothing.
inline std::string first_line(const std::string& path) {
  char line[256] = {};
  if (std::FILE* f = std::fopen(path.c_str(), "r")) {
    if (std::fgets(line, sizeof line, f) == nullptr) line[0] = '\0';
    std::fclose(f);
  }
  std::string text(line);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

/// "32K", "1M", as Linux writes cache sizes.
inline std::size_t parse_cache_size(const std::string& text) {
  std::size_t value = 0, i = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i)
    value = value * 10 + static_cast<std::size_t>(text[i] - '0');
  if (i < text.size() && text[i] == 'K') value <<= 10;
  if (i < text.size() && text[i] == 'M') value <<= 20;
  return value;
}

/// The value of the first "model name" line of /proc/cpuinfo; the machine type where there is none.
inline std::string cpu_name() {
  std::string name;
  if (std::FILE* f = std::fopen("/proc/cpuinfo", "r")) {
    char line[512];
    while (name.empty() && std::fgets(line, sizeof line, f) != nullptr)
      if (std::strncmp(line, "model name", 10) == 0)
        if (const char* colon = std::strchr(line, ':')) name = colon + 2;
    std::fclose(f);
  }
  while (!name.empty() && (name.back() == '\n' || name.back() == ' ')) name.pop_back();
  if (!name.empty()) return name;
  return QTK_X86_64 != 0 ? "x86-64" : QTK_AARCH64 != 0 ? "AArch64" : "unknown CPU";
}

}  // namespace detail

/// Reads /proc and /sys on Linux.
[[nodiscard]] inline cpu_description describe_cpu() {
  cpu_description d;
  d.name = detail::cpu_name();
  d.threads = std::thread::hardware_concurrency();
  for (int i = 0; i < 8; ++i) {
    const std::string base = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/";
    const std::string level = detail::first_line(base + "level");
    const std::size_t bytes = detail::parse_cache_size(detail::first_line(base + "size"));
    if (level == "1" && detail::first_line(base + "type") == "Data") d.l1d_bytes = bytes;
    if (level == "2") d.l2_bytes = bytes;
    if (level == "3") d.l3_bytes = bytes;
  }
  return d;
}

}  // namespace qtk::inline QTK_ABI
