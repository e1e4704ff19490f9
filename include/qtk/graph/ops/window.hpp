#pragma once

#include "qtk/graph/ops/common.hpp"
#include "qtk/ops/window.hpp"

namespace qtk::inline QTK_ABI::graph_ops {

/// Kernel, strides, pads and dilations of a Conv or pool node; `kernel` is the fallback where there
/// is no kernel_shape. auto_pad needs the input (H, W). qtk::error for another rank than 2.
[[nodiscard]] inline window_2d parse_window(const node& n, const shape& x, std::size_t kernel_h,
                                            std::size_t kernel_w) {
  const auto pair = [&](std::string_view key, std::size_t h, std::size_t w) {
    const auto v = n.integers(key);
    QTK_CHECK(v.empty() || v.size() == 2, n.label(), key, " of ", v.size(), " values, 2-D has 2");
    for (const std::int64_t i : v) QTK_CHECK(i > 0 && i < (1 << 20), n.label(), key, " has ", i);
    return v.empty() ? std::pair(h, w)
                     : std::pair(static_cast<std::size_t>(v[0]), static_cast<std::size_t>(v[1]));
  };
  window_2d window;
  std::tie(window.kernel_h, window.kernel_w) = pair("kernel_shape", kernel_h, kernel_w);
  std::tie(window.stride_h, window.stride_w) = pair("strides", 1, 1);
  std::tie(window.dilation_h, window.dilation_w) = pair("dilations", 1, 1);
  const std::string auto_pad = n.text("auto_pad", "NOTSET");
  if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
    // out = ceil(in / stride); what is missing is split, the odd one at the end for SAME_UPPER.
    const auto split = [&](std::size_t in, std::size_t kernel, std::size_t stride,
                           std::size_t dilation, std::size_t& begin, std::size_t& end) {
      const std::size_t reach = (ceil_div(in, stride) - 1) * stride + dilation * (kernel - 1) + 1;
      const std::size_t pads = reach > in ? reach - in : 0;
      begin = auto_pad == "SAME_UPPER" ? pads / 2 : pads - pads / 2;
      end = pads - begin;
    };
    split(x[2], window.kernel_h, window.stride_h, window.dilation_h, window.pad_top,
          window.pad_bottom);
    split(x[3], window.kernel_w, window.stride_w, window.dilation_w, window.pad_left,
          window.pad_right);
  } else if (auto_pad == "NOTSET") {
    const auto pads = n.integers("pads");
    QTK_CHECK(pads.empty() || pads.size() == 4, n.label(), "pads of ", pads.size(), " values");
    for (const std::int64_t p : pads) QTK_CHECK(p >= 0 && p < (1 << 20), n.label(), "pads has ", p);
    if (!pads.empty()) {
      window.pad_top = static_cast<std::size_t>(pads[0]);
      window.pad_left = static_cast<std::size_t>(pads[1]);
      window.pad_bottom = static_cast<std::size_t>(pads[2]);
      window.pad_right = static_cast<std::size_t>(pads[3]);
    }
  } else {
    QTK_CHECK(auto_pad == "VALID", n.label(), "unknown auto_pad '", auto_pad, "'");
  }
  return window;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
