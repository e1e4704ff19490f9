#pragma once

#include <vector>

#include "qtk/graph/ops/common.hpp"

namespace qtk::inline QTK_ABI::graph_ops {

/// The window of a convolution or pool over any number of dimensions (N, C, D1, .., Dr).
struct window_nd {
  std::size_t rank = 0;
  std::vector<std::int64_t> kernel, stride, dilation, before, after;  // by dimension

  /// Attributes of a node over an input x; the kernel is `fallback` where the node gives none.
  window_nd(const op_context& ctx, const shape& x, const std::vector<std::int64_t>& fallback = {}) {
    const node& n = ctx.node();
    QTK_CHECK(x.rank() >= 3, n.label(), "input ", x, " has no dimensions to slide over");
    rank = x.rank() - 2;
    kernel = n.integers("kernel_shape");
    if (kernel.empty()) kernel = fallback;
    const auto list = [&](const char* key, std::size_t size, std::int64_t value) {
      auto v = n.integers(key);
      if (v.empty()) v.assign(size, value);
      QTK_CHECK(v.size() == size, n.label(), key, " has ", v.size(), " values for ", x);
      for (const std::int64_t i : v)
        QTK_CHECK(i >= (value == 1 ? 1 : 0) && i < (1 << 24), n.label(), key, " of ", i);
      return v;
    };
    QTK_CHECK(kernel.size() == rank && (fallback.empty() || kernel == fallback), n.label(),
              "kernel_shape has ", kernel.size(), " values for ", x);
    for (const std::int64_t k : kernel)
      QTK_CHECK(k > 0 && k < (1 << 24), n.label(), "kernel of ", k);
    stride = list("strides", rank, 1);
    dilation = list("dilations", rank, 1);
    const auto pads = list("pads", 2 * rank, 0);
    before.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(rank));
    after.assign(pads.begin() + static_cast<std::ptrdiff_t>(rank), pads.end());
  }

  [[nodiscard]] std::int64_t reach(std::size_t d) const {
    return (kernel[d] - 1) * dilation[d] + 1;
  }

  /// auto_pad of a forward operator over x.
  void pad_automatically(const op_context& ctx, const shape& x) {
    const std::string how = ctx.node().text("auto_pad", "NOTSET");
    if (how == "NOTSET") return;
    QTK_CHECK(how == "VALID" || how == "SAME_UPPER" || how == "SAME_LOWER", ctx.node().label(),
              "auto_pad '", how, "'");
    for (std::size_t d = 0; d < rank; ++d) {
      const auto in = static_cast<std::int64_t>(x[d + 2]);
      const std::int64_t out = (in + stride[d] - 1) / stride[d];
      const std::int64_t all =
          how == "VALID" ? 0 : std::max<std::int64_t>(0, (out - 1) * stride[d] + reach(d) - in);
      before[d] = how == "SAME_LOWER" ? all - all / 2 : all / 2;
      after[d] = all - before[d];
    }
  }

  /// Positions along each dimension; with `ceil` the last window may hang over the end, but not
  /// start behind it.
  [[nodiscard]] std::vector<std::size_t> positions(const op_context& ctx, const shape& x,
                                                   bool ceil = false) const {
    std::vector<std::size_t> out;
    for (std::size_t d = 0; d < rank; ++d) {
      const auto in = static_cast<std::int64_t>(x[d + 2]);
      const std::int64_t room = in + before[d] + after[d] - reach(d);
      QTK_CHECK(room >= 0, ctx.node().label(), "a window of ", reach(d), " over ", in,
                " and pads of ", before[d] + after[d]);
      std::int64_t count = room / stride[d] + 1;
      if (ceil && room % stride[d] != 0 && count * stride[d] < in + before[d]) ++count;
      out.push_back(static_cast<std::size_t>(count));
    }
    return out;
  }
};

/// Walks the positions of a window and, at each, its taps.
class window_walk {
 public:
  window_walk(const window_nd& w, const shape& x, std::vector<std::size_t> positions)
      : w_(w), positions_(std::move(positions)) {
    for (std::size_t d = 0; d < w.rank; ++d) {
      in_.push_back(static_cast<std::int64_t>(x[d + 2]));
      count_ *= positions_[d];
      taps_ *= static_cast<std::size_t>(w.kernel[d]);
    }
  }
  [[nodiscard]] std::size_t positions() const noexcept { return count_; }
  [[nodiscard]] std::size_t taps() const noexcept { return taps_; }

  /// Index of tap t at position p in the plane of x, or nothing in the padding; `within`, if given,
  /// says whether that is padding and not beyond it (ceil mode).
  [[nodiscard]] std::ptrdiff_t at(std::size_t p, std::size_t t, bool* within = nullptr) const {
    std::int64_t offset = 0, step = 1;
    bool inside = true, padded = true;
    for (std::size_t d = w_.rank; d-- > 0;) {
      const auto i =
          static_cast<std::int64_t>(p % positions_[d]) * w_.stride[d] +
          static_cast<std::int64_t>(t % static_cast<std::size_t>(w_.kernel[d])) * w_.dilation[d] -
          w_.before[d];
      p /= positions_[d];
      t /= static_cast<std::size_t>(w_.kernel[d]);
      inside = inside && i >= 0 && i < in_[d];
      padded = padded && i < in_[d] + w_.after[d];
      offset += i * step;
      step *= in_[d];
    }
    if (within != nullptr) *within = padded;
    return inside ? static_cast<std::ptrdiff_t>(offset) : -1;
  }

 private:
  window_nd w_;
  std::vector<std::size_t> positions_;
  std::vector<std::int64_t> in_;
  std::size_t count_ = 1, taps_ = 1;
};

}  // namespace qtk::inline QTK_ABI::graph_ops
