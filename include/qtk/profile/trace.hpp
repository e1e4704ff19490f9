#pragma once

#include <cstdio>
#include <ostream>
#include <string_view>
#include <vector>

#include "qtk/profile/scope.hpp"

namespace qtk::inline QTK_ABI::profile {

namespace detail {
/// A JSON string. Ten lines, so that a trace needs no JSON library.
inline void write_json_string(std::ostream& out, std::string_view text) {
  out << '"';
  for (const char c : text) {
    char escaped[8];
    if (c == '"' || c == '\\')
      out << '\\' << c;
    else if (static_cast<unsigned char>(c) < 0x20)
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c), out << escaped;
    else
      out << c;
  }
  out << '"';
}
}  // namespace detail

/// Writes events as Chrome trace JSON ("Trace Event Format", complete events), which Perfetto and
/// chrome://tracing open. Times are microseconds from the first event.
inline void write_trace(std::ostream& out, const std::vector<event>& events) {
  ticks first = events.empty() ? 0 : events[0].begin;
  for (const event& e : events) first = std::min(first, e.begin);
  const double us = ns_per_tick() * 1e-3;
  out << "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[";
  std::vector<std::uint32_t> threads;
  const char* separator = "\n";
  char number[160];
  for (const event& e : events) {
    if (std::find(threads.begin(), threads.end(), e.thread) == threads.end()) {
      threads.push_back(e.thread);
      std::snprintf(number, sizeof number,
                    "{\"ph\":\"M\",\"pid\":1,\"tid\":%u,\"name\":\"thread_name\","
                    "\"args\":{\"name\":\"thread %u\"}}",
                    e.thread, e.thread);
      out << separator << number;
      separator = ",\n";
    }
    const double taken = static_cast<double>(e.end - e.begin) * us;
    out << separator << "{\"ph\":\"X\",\"pid\":1,\"name\":";
    detail::write_json_string(out, e.name);
    std::snprintf(number, sizeof number, ",\"tid\":%u,\"ts\":%.3f,\"dur\":%.3f", e.thread,
                  static_cast<double>(e.begin - first) * us, taken);
    out << number;
    if (e.work.flops > 0 || e.work.bytes > 0) {
      std::snprintf(number, sizeof number,
                    ",\"args\":{\"flops\":%.0f,\"bytes\":%.0f,\"GOP/s\":%.3f,\"kernel\":",
                    e.work.flops, e.work.bytes, taken > 0 ? e.work.flops / taken * 1e-3 : 0.0);
      out << number;
      detail::write_json_string(out, e.work.kernel != nullptr ? e.work.kernel : "");
      out << '}';
    }
    out << '}';
  }
  out << "\n]}\n";
}

}  // namespace qtk::inline QTK_ABI::profile
