#pragma once

#include <algorithm>

#include "qtk/core/executor.hpp"
#include "qtk/core/numeric.hpp"

namespace qtk::inline QTK_ABI {

/// Shares out the images of a batch, and where there are fewer of them than threads, parts of each:
/// f(task, image, begin, end) for [begin, end) of each image's `extent`, parts a multiple of
/// `unit`.
template <class Function>
void for_image_parts(executor_ref executor, std::size_t batch, std::size_t extent, std::size_t unit,
                     const Function& f) {
  const std::size_t tasks = executor.concurrency();
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
