#pragma once

#include <algorithm>

#include "qtk/core/executor.hpp"
#include "qtk/core/numeric.hpp"

namespace qtk::inline QTK_ABI {

/// About what work takes one thread: 50 multiply-adds or 20 bytes a nanosecond.
[[nodiscard]] inline double work_ns(double multiply_adds, double bytes) {
  return std::max(multiply_adds / 50, bytes / 20);
}

/// Threads that so much work should be shared among: each of them gets 10 us of it or more. Less
/// isn't worth it: a thread that looks for work has found it after 1 us, one that sleeps after 7 or
/// more, and then what one core wrote comes to the other at 6 GB/s (Linux, Zen 4: mnist takes 30 us
/// on one thread, 43 on two that share its convolution of 19 us).
[[nodiscard]] inline std::size_t threads_for(executor_ref executor, double ns) {
  const double most = static_cast<double>(executor.concurrency());
  return static_cast<std::size_t>(std::clamp(ns / 10000, 1.0, most));
}
/// For a product.
[[nodiscard]] inline std::size_t threads_for(executor_ref executor, double multiply_adds,
                                             std::size_t weight_bytes) {
  return threads_for(executor, work_ns(multiply_adds, static_cast<double>(weight_bytes)));
}

/// Shares out the images of a batch among tasks, and where there are fewer of them, parts of each:
/// f(task, image, begin, end) for [begin, end) of each image's `extent`, parts a multiple of
/// `unit`.
template <class Function>
void for_image_parts(executor_ref executor, std::size_t tasks, std::size_t batch,
                     std::size_t extent, std::size_t unit, const Function& f) {
  const std::size_t parts = batch >= tasks || batch == 0 ? 1 : ceil_div(tasks, batch);
  // Of equal numbers of units, the last of which may be small: it counts as the part that it is.
  const std::size_t shares = std::max<std::size_t>(1, std::min(parts, ceil_div(extent, unit)));
  const std::size_t jobs = batch * shares;
  const auto bound = [&](std::size_t share) {
    return share == shares ? extent : (extent * share + shares * unit / 2) / (shares * unit) * unit;
  };
  const std::size_t jobs_per_task = std::max<std::size_t>(1, ceil_div(jobs, tasks));
  executor(ceil_div(jobs, jobs_per_task), [&](std::size_t task) {
    const std::size_t end = std::min(jobs, (task + 1) * jobs_per_task);
    for (std::size_t job = task * jobs_per_task; job < end; ++job) {
      const std::size_t share = job % shares;
      const std::size_t begin = bound(share), end_of_share = bound(share + 1);
      if (begin != end_of_share) f(task, job / shares, begin, end_of_share);
    }
  });
}

}  // namespace qtk::inline QTK_ABI
