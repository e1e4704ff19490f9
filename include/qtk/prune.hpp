#pragma once

/// Fewer weights: single ones by magnitude, N of each M, or whole neurons and channels.
///
///     #include <cstdio>
///     #include <qtk/prune.hpp>
///     int main() {
///       qtk::tensor<qtk::fp32> w({2, 4}, {0.1f, -0.7f, 0.3f, 0.9f, 4.0f, -2.0f, 1.0f, 3.0f});
///       qtk::apply(w, qtk::nm_mask(w, 2, 4));                          // 2:4 along each row
///       std::printf("%.0f %% zeros\n", 100 * qtk::count_zeros(w).sparsity());
///       auto kept = qtk::channels_to_keep(w, 0.5);                     // the stronger row
///       auto smaller = qtk::take(w, 0, kept);                          // (1, 4)
///     }
///
/// Masks leave the shape as it is: a dense kernel is no faster for the zeros, the file compresses
/// better. Removed neurons and channels make any kernel faster.

#include "qtk/prune/magnitude.hpp"
#include "qtk/prune/mask.hpp"
#include "qtk/prune/nm.hpp"
#include "qtk/prune/stats.hpp"
#include "qtk/prune/structured.hpp"
#include "qtk/tensor.hpp"
