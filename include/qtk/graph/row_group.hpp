#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "qtk/graph/op.hpp"
#include "qtk/ops/batch.hpp"

namespace qtk::inline QTK_ABI {

/// Layers that follow each other, of an image that several threads share: each thread takes some
/// rows of the last output through all of them, in buffers of its own, and computes again what its
/// rows need of its neighbors'. Layer by layer, each would wait for lines that the other has just
/// written, at the ends of its rows in every channel (Zen 4, two threads, the first 13 layers of
/// ultraface: 1.20 ms, so 0.85; one thread: 1.45).
class row_group {
 public:
  struct layer {
    const bound_node* bound;  // with `bands`
    const value_type *x, *y;
  };

  /// Of the layers that `chain` begins with as many as are worth it; none: fewer than two.
  [[nodiscard]] static std::optional<row_group> find(std::span<const layer> chain,
                                                     executor_ref executor) {
    std::optional<row_group> best;
    if (chain.size() < 2) return best;
    const std::size_t images = chain[0].x->dims[0];
    double ns = 0;
    for (std::size_t n = 1; n <= chain.size(); ++n) {
      ns += cost(*chain[n - 1].bound);
      const std::size_t tasks = threads_for(executor, ns);
      if (n == 1 || images == 0 || tasks <= images) continue;
      const std::size_t parts = ceil_div(tasks, images);
      row_group g(chain.first(n), parts);
      if (g.again_ * most_again > ns || g.parts_ < parts) break;
      best = std::move(g);
    }
    return best;
  }

  std::size_t layers() const noexcept { return links_.size(); }
  std::size_t workspace_bytes() const {
    return checked_mul(images_ * parts_, task_bytes_, "row_group");
  }

  /// `io`: of each layer, but for what is inside of the group.
  void run(std::span<const node_buffers> io, std::byte* workspace, executor_ref executor) const {
    const link& last = links_.back();
    for_image_parts(executor, images_ * parts_, images_, last.height, last.bands->unit,
                    [&](std::size_t task, std::size_t image, std::size_t begin, std::size_t end) {
                      run_rows(io, image, {begin, end}, workspace + task * task_bytes_);
                    });
  }

 private:
  /// An image, and of what it is the output.
  struct link {
    std::shared_ptr<const row_bands> bands;
    std::size_t height, width, channels, element_bytes;
    std::size_t most_rows = 0;  // that a task computes
    [[nodiscard]] std::size_t pixels() const noexcept { return height * width; }
    [[nodiscard]] std::size_t elements() const noexcept {
      return channels * most_rows * width + row_bands::room;
    }
  };

  /// Less than so much of the work is done again.
  static constexpr double most_again = 8;
  [[nodiscard]] static double cost(const bound_node& b) { return work_ns(b.flops / 2, b.bytes); }

  static link link_of(const value_type& image, std::shared_ptr<const row_bands> bands) {
    const shape& s = image.dims;
    return {std::move(bands), s[2], s[3], s[1], image.type == dtype::fp32 ? sizeof(float) : 1};
  }

  row_group(std::span<const layer> chain, std::size_t parts)
      : images_(chain[0].x->dims[0]), input_(link_of(*chain[0].x, nullptr)) {
    for (const layer& l : chain) links_.push_back(link_of(*l.y, l.bound->bands));
    const link& last = links_.back();
    const std::size_t unit = last.bands->unit;
    parts_ = std::min(parts, ceil_div(last.height, unit));
    std::size_t rows = round_up(ceil_div(last.height, parts_), unit);
    for (std::size_t i = links_.size(); i-- > 0;) {
      link& l = links_[i];
      l.most_rows = std::min(l.height, rows);
      again_ += cost(*chain[i].bound) *
                (static_cast<double>(parts_ * l.most_rows) / static_cast<double>(l.height) - 1);
      task_bytes_ = std::max(task_bytes_, l.bands->workspace_bytes(l.most_rows));
      if (i + 1 < links_.size())
        buffer_bytes_[i % 2] = std::max(buffer_bytes_[i % 2],
                                        round_up(l.elements() * l.element_bytes, buffer_alignment));
      const window_2d& w = l.bands->window;
      rows = (l.most_rows - 1) * w.stride_h + window_band::reach(w);
      // They begin and end where those of the layer before do.
      if (i > 0) rows = round_up(rows + links_[i - 1].bands->unit - 1, links_[i - 1].bands->unit);
    }
    task_bytes_ = round_up(task_bytes_, buffer_alignment) + buffer_bytes_[0] + buffer_bytes_[1];
  }

  /// Output rows of layer i of which `rows` of the last output are made.
  [[nodiscard]] row_range rows_of(std::size_t i, row_range rows) const noexcept {
    for (std::size_t j = links_.size(); --j > i;) {
      const link& before = links_[j - 1];
      const std::size_t unit = before.bands->unit;
      rows = window_band(links_[j].bands->window, before.height, rows).rows;
      rows = {rows.begin / unit * unit, std::min(before.height, round_up(rows.end, unit))};
    }
    return rows;
  }

  void run_rows(std::span<const node_buffers> io, std::size_t image, row_range last_rows,
                std::byte* workspace) const {
    const link& last = links_.back();
    const std::size_t input = input_.channels * input_.pixels();
    const std::byte* x = io.front().inputs[0] + image * input * input_.element_bytes;
    row_layout x_rows{.stride = input_.pixels(), .size = (images_ - image) * input};
    std::byte* const buffers[2] = {workspace, workspace + buffer_bytes_[0]};
    workspace += buffer_bytes_[0] + buffer_bytes_[1];
    for (std::size_t i = 0; i < links_.size(); ++i) {
      const link& l = links_[i];
      const row_range rows = rows_of(i, last_rows);
      std::byte* y = buffers[i % 2];
      row_layout y_rows{
          .first_row = rows.begin, .stride = rows.size() * l.width, .size = l.elements()};
      if (i + 1 == links_.size()) {
        y = io[i].outputs[0] + image * last.channels * last.pixels() * last.element_bytes;
        y_rows = {.stride = last.pixels()};
      }
      l.bands->run(io[i], image, rows, x, x_rows, y, y_rows, workspace);
      x = y;
      x_rows = y_rows;
    }
  }

  std::size_t images_;
  link input_;
  std::size_t parts_ = 1;
  std::vector<link> links_;
  std::size_t task_bytes_ = 0, buffer_bytes_[2] = {};
  double again_ = 0;  // ns of work that is done more than once
};

}  // namespace qtk::inline QTK_ABI
