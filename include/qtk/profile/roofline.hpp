#pragma once

#include "qtk/core/abi.hpp"

namespace qtk::inline QTK_ABI::profile {

/// What the machine can do at most, measured (kernels/probe.hpp) and handed over as numbers.
struct peaks {
  double fp32_gflops = 0;     // multiply-add loop in registers
  double bf16_gflops = 0;     // the same of bf16, where the CPU multiplies it
  double int8_gops = 0;       // the integer kernels' own instructions, in registers
  double bandwidth_gbps = 0;  // reading memory
};

enum class bound : unsigned char { compute, memory };

/// Where work of some intensity stands under the roof: attainable = min(peak, intensity *
/// bandwidth) (Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009).
struct roof_position {
  double intensity = 0;   // operations per byte
  double attainable = 0;  // G operations / s
  double share = 0;       // achieved / attainable; 0 where nothing was counted
  profile::bound bound = bound::compute;
};

[[nodiscard]] inline roof_position place_under_roof(const peaks& p, bool integer, double operations,
                                                    double bytes, double seconds) noexcept {
  roof_position r;
  const double peak = integer ? p.int8_gops : p.fp32_gflops;
  r.intensity = bytes > 0 ? operations / bytes : 0;
  const double by_memory = r.intensity * p.bandwidth_gbps;
  r.bound = by_memory < peak ? bound::memory : bound::compute;
  r.attainable = r.bound == bound::memory ? by_memory : peak;
  if (operations > 0 && seconds > 0 && r.attainable > 0)
    r.share = operations / seconds * 1e-9 / r.attainable;
  else if (bytes > 0 && seconds > 0 && p.bandwidth_gbps > 0)  // pure movement: the memory roof
    r.share = bytes / seconds * 1e-9 / p.bandwidth_gbps;
  return r;
}

}  // namespace qtk::inline QTK_ABI::profile
