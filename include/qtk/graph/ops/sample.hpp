#pragma once

#include <algorithm>
#include <cmath>

#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/resize.hpp"

/// Binders of operators that read images at computed places: GridSample, AffineGrid, RoiAlign, and
/// NonMaxSuppression.
namespace qtk::inline QTK_ABI::graph_ops {

/// y[.., p] = x at grid[p]: x (N, C, D1, .., Dr), grid (N, E1, .., Er, r) with the last dimension
/// first, -1 .. 1 over the image (Jaderberg et al., Spatial Transformer Networks, 2015).
inline bound_node bind_grid_sample(const op_context& ctx) {
  const node& n = ctx.node();
  ctx.expect(0, dtype::fp32);
  ctx.expect(1, dtype::fp32);
  const shape x = ctx.dims(0), grid = ctx.dims(1);
  const std::size_t rank = x.rank() < 3 ? 0 : x.rank() - 2;
  QTK_CHECK(rank > 0 && rank <= 3 && grid.rank() == rank + 2 && grid.back() == rank &&
                grid[0] == x[0] && x.product(2, x.rank()) != 0,
            n.label(), "input ", x, ", grid ", grid);
  const std::string mode = n.text("mode", "linear"), padding = n.text("padding_mode", "zeros");
  const bool corners = n.integer("align_corners", 0) != 0;
  const int reach = mode == "nearest" ? 0 : mode == "linear" || mode == "bilinear" ? 1 : 2;
  QTK_CHECK(reach != 2 || mode == "cubic" || mode == "bicubic", n.label(), "mode '", mode, "'");
  QTK_CHECK(padding == "zeros" || padding == "border" || padding == "reflection", n.label(),
            "padding_mode '", padding, "'");
  shape y{x[0], x[1]};
  for (std::size_t d = 0; d < rank; ++d) y.push_back(grid[d + 1]);
  bound_node b{.outputs = {{dtype::fp32, y}}, .run = {}};
  b.run = [=, points = grid.product(1, rank + 1), planes = x[1], plane = x.product(2, x.rank()),
           batches = x[0]](const node_buffers& io) {
    const auto reflect = [&](double v, double n_) {
      const double lo = corners ? 0 : -0.5, range = corners ? n_ - 1 : n_;
      if (range <= 0) return 0.0;
      double t = std::fmod(std::abs(v - lo), 2 * range);
      if (t > range) t = 2 * range - t;
      return lo + t;
    };
    // Index on an axis of n after padding; -1: zero.
    const auto padded = [&](double k, std::size_t extent) -> std::int64_t {
      const auto n_ = static_cast<double>(extent);
      if (padding == "reflection") k = std::floor(std::clamp(reflect(k, n_), 0.0, n_ - 1) + 1e-9);
      if (padding == "border") k = std::clamp(k, 0.0, n_ - 1);
      return k >= 0 && k < n_ ? static_cast<std::int64_t>(k) : -1;
    };
    std::vector<std::size_t> offsets;  // of the taps of one point that lie inside
    std::vector<double> weights;
    for (std::size_t i = 0; i < batches; ++i)
      for (std::size_t p = 0; p < points; ++p) {
        std::int64_t index[3][4] = {};
        double weight[3][4] = {};
        const int taps = reach == 0 ? 1 : 2 * reach;
        for (std::size_t d = 0; d < rank; ++d) {
          const std::size_t extent = x[d + 2];
          const auto g =
              static_cast<double>(io.in<float>(1)[(i * points + p) * rank + rank - 1 - d]);
          double at = corners ? (g + 1) / 2 * (static_cast<double>(extent) - 1)
                              : ((g + 1) * static_cast<double>(extent) - 1) / 2;
          if (!(std::abs(at) < 1e9)) at = -1e9;  // NaN and what no image holds
          if (padding == "border") at = std::clamp(at, 0.0, static_cast<double>(extent) - 1);
          if (padding == "reflection") at = reflect(at, static_cast<double>(extent));
          const double base = reach == 0 ? std::nearbyint(at) : std::floor(at);
          for (int t = 0; t < taps; ++t) {
            const double k = base + (reach == 2 ? t - 1 : t);
            index[d][t] = padded(k, extent);
            weight[d][t] = reach == 0 ? 1 : interpolation_weight(reach == 2, -0.75, k - at);
          }
        }
        offsets.clear();
        weights.clear();
        int total = 1;
        for (std::size_t d = 0; d < rank; ++d) total *= taps;
        for (int t = 0; t < total; ++t) {
          int rest = t;
          double w = 1;
          std::size_t offset = 0;
          bool inside = true;
          for (std::size_t d = 0; d < rank; ++d) {
            const int k = rest % taps;
            rest /= taps;
            w *= weight[d][k];
            inside = inside && index[d][k] >= 0;
            offset = offset * x[d + 2] + static_cast<std::size_t>(inside ? index[d][k] : 0);
          }
          if (!inside) continue;
          offsets.push_back(offset);
          weights.push_back(w);
        }
        for (std::size_t c = 0; c < planes; ++c) {
          const float* image = io.in<float>(0) + (i * planes + c) * plane;
          double sum = 0;
          for (std::size_t t = 0; t < offsets.size(); ++t)
            sum += weights[t] * static_cast<double>(image[offsets[t]]);
          io.out<float>()[(i * planes + c) * points + p] = static_cast<float>(sum);
        }
      }
  };
  count_work(b, ctx, 8);
  return b;
}

/// The grid that GridSample takes, from affine maps theta (N, r, r + 1) and the size (N, C, ..).
inline bound_node bind_affine_grid(const op_context& ctx) {
  const node& n = ctx.node();
  ctx.expect(0, dtype::fp32);
  const auto size = ctx.integers(1);
  const std::size_t rank = size.size() < 4 ? 0 : size.size() - 2;
  QTK_CHECK((rank == 2 || rank == 3) && size[0] >= 0 &&
                ctx.dims(0) == shape({static_cast<std::size_t>(size[0]), rank, rank + 1}),
            n.label(), "theta ", ctx.dims(0), " for ", size.size(), " sizes");
  shape y{static_cast<std::size_t>(size[0])};
  for (std::size_t d = 0; d < rank; ++d) {
    QTK_CHECK(size[d + 2] > 0, n.label(), "size ", size[d + 2]);
    y.push_back(static_cast<std::size_t>(size[d + 2]));
  }
  const std::size_t points = y.product(1, y.rank());
  shape extents;
  for (std::size_t d = 0; d < rank; ++d) extents.push_back(y[d + 1]);
  y.push_back(rank);
  bound_node b{.outputs = {{dtype::fp32, y}},
               .run = [=, batches = y[0],
                       corners = n.integer("align_corners", 0) != 0](const node_buffers& io) {
                 for (std::size_t i = 0; i < batches; ++i)
                   for (std::size_t p = 0; p < points; ++p) {
                     double place[4] = {0, 0, 0, 1};
                     for (std::size_t d = rank, rest = p; d-- > 0; rest /= extents[d]) {
                       const auto k = static_cast<double>(rest % extents[d]);
                       const auto e = static_cast<double>(extents[d]);
                       place[rank - 1 - d] =
                           corners ? (e == 1 ? 0 : 2 * k / (e - 1) - 1) : (2 * k + 1) / e - 1;
                     }
                     place[rank] = 1;
                     for (std::size_t r = 0; r < rank; ++r) {
                       double sum = 0;
                       for (std::size_t c = 0; c <= rank; ++c)
                         sum +=
                             static_cast<double>(io.in<float>(0)[(i * rank + r) * (rank + 1) + c]) *
                             place[c];
                       io.out<float>()[(i * points + p) * rank + r] = static_cast<float>(sum);
                     }
                   }
               }};
  count_work(b, ctx, 4);
  return b;
}

/// Regions of images averaged (or their maximum taken) over a grid of samples (He et al., Mask
/// R-CNN, 2017). x (N, C, H, W), rois (R, 4) as x1 y1 x2 y2, the image of each.
inline bound_node bind_roi_align(const op_context& ctx) {
  const node& n = ctx.node();
  ctx.expect(0, dtype::fp32);
  ctx.expect(1, dtype::fp32);
  ctx.expect(2, dtype::int64);
  const shape x = ctx.dims(0), rois = ctx.dims(1);
  const std::int64_t h = n.integer("output_height", 1), w = n.integer("output_width", 1);
  const std::int64_t ratio = n.integer("sampling_ratio", 0);
  QTK_CHECK(x.rank() == 4 && x[2] > 0 && x[3] > 0 && rois.rank() == 2 && rois[1] == 4 &&
                ctx.dims(2).elements() == rois[0] && h > 0 && w > 0 && h < (1 << 16) &&
                w < (1 << 16) && ratio >= 0 && ratio < 1024,
            n.label(), "input ", x, ", rois ", rois);
  const bool max = n.text("mode", "avg") == "max";
  const bool half = n.text("coordinate_transformation_mode",
                           ctx.opset() >= 16 ? "half_pixel" : "output_half_pixel") == "half_pixel";
  const auto scale = static_cast<double>(n.number("spatial_scale", 1.0f));
  const std::size_t H = x[2], W = x[3], C = x[1];
  bound_node b{
      .outputs = {{dtype::fp32,
                   {rois[0], C, static_cast<std::size_t>(h), static_cast<std::size_t>(w)}}},
      .run = [=, label = n.label(), images = x[0], count = rois[0]](const node_buffers& io) {
        float* out = io.out<float>();
        for (std::size_t r = 0; r < count; ++r) {
          const float* roi = io.in<float>(1) + r * 4;
          const std::int64_t image = io.in<std::int64_t>(2)[r];
          QTK_CHECK(image >= 0 && static_cast<std::size_t>(image) < images, label, "image ", image);
          const double shift = half ? 0.5 : 0;
          const auto edge = [&](int i) { return static_cast<double>(roi[i]) * scale - shift; };
          double width = edge(2) - edge(0), height = edge(3) - edge(1);
          if (!half) width = std::max(width, 1.0), height = std::max(height, 1.0);
          const double bin_h = height / static_cast<double>(h),
                       bin_w = width / static_cast<double>(w);
          const auto samples = [&](double bin) {
            const double k = ratio > 0 ? static_cast<double>(ratio) : std::ceil(bin);
            return static_cast<int>(std::clamp(k, 0.0, 1024.0));
          };
          const int sh = samples(bin_h), sw = samples(bin_w);
          for (std::size_t c = 0; c < C; ++c) {
            const float* plane =
                io.in<float>(0) + (static_cast<std::size_t>(image) * C + c) * H * W;
            for (std::int64_t i = 0; i < h; ++i)
              for (std::int64_t j = 0; j < w; ++j) {
                double sum = 0, top = 0;
                bool first = true;
                for (int p = 0; p < sh; ++p)
                  for (int q = 0; q < sw; ++q) {
                    double y = edge(1) + (static_cast<double>(i) + (p + 0.5) / sh) * bin_h;
                    double z = edge(0) + (static_cast<double>(j) + (q + 0.5) / sw) * bin_w;
                    double taps[4] = {};
                    if (y >= -1 && y <= static_cast<double>(H) && z >= -1 &&
                        z <= static_cast<double>(W)) {
                      y = std::max(y, 0.0);
                      z = std::max(z, 0.0);
                      std::size_t y0 = static_cast<std::size_t>(y),
                                  z0 = static_cast<std::size_t>(z);
                      if (y0 >= H - 1) y0 = H - 1, y = static_cast<double>(y0);
                      if (z0 >= W - 1) z0 = W - 1, z = static_cast<double>(z0);
                      const std::size_t y1 = std::min(y0 + 1, H - 1), z1 = std::min(z0 + 1, W - 1);
                      const double fy = y - static_cast<double>(y0),
                                   fz = z - static_cast<double>(z0);
                      taps[0] = (1 - fy) * (1 - fz) * static_cast<double>(plane[y0 * W + z0]);
                      taps[1] = (1 - fy) * fz * static_cast<double>(plane[y0 * W + z1]);
                      taps[2] = fy * (1 - fz) * static_cast<double>(plane[y1 * W + z0]);
                      taps[3] = fy * fz * static_cast<double>(plane[y1 * W + z1]);
                    }
                    sum += taps[0] + taps[1] + taps[2] + taps[3];
                    const double largest = *std::max_element(taps, taps + 4);
                    top = first ? largest : std::max(top, largest);
                    first = false;
                  }
                *out++ = static_cast<float>(max ? top : sum / std::max(1, sh * sw));
              }
          }
        }
      }};
  // As many samples as the node asks for, or as pixels fall into a bin where the region is the
  // image.
  const auto side = [ratio](std::size_t pixels, std::int64_t bins) {
    return ratio > 0 ? static_cast<double>(ratio)
                     : std::ceil(static_cast<double>(pixels) / static_cast<double>(bins));
  };
  count_work(b, ctx, 16 * side(H, h) * side(W, w));
  return b;
}

/// Boxes in the order of their scores, those that overlap a better one too much left out: (image,
/// class, box) for each.
inline bound_node bind_non_max_suppression(const op_context& ctx) {
  const node& n = ctx.node();
  const auto& boxes = ctx.value(0).as<fp32>();
  const auto& scores = ctx.value(1).as<fp32>();
  const shape &bs = boxes.shape(), &ss = scores.shape();
  QTK_CHECK(bs.rank() == 3 && bs[2] == 4 && ss.rank() == 3 && ss[0] == bs[0] && ss[2] == bs[1],
            n.label(), "boxes ", bs, ", scores ", ss);
  const std::int64_t most = ctx.has(2) ? ctx.one_integer(2) : 0;
  const auto number = [&](std::size_t i, float fallback) {
    if (!ctx.has(i)) return fallback;
    QTK_CHECK(ctx.dims(i).elements() == 1, n.label(), "input ", i, " is ", ctx.dims(i));
    return ctx.value(i).as<fp32>().data()[0];
  };
  const float iou = number(3, 0), least = number(4, -std::numeric_limits<float>::infinity());
  const bool center = n.integer("center_point_box", 0) != 0;
  struct box {
    float y1, x1, y2, x2;
    [[nodiscard]] float area() const { return (y2 - y1) * (x2 - x1); }
  };
  const auto box_at = [&](std::size_t i) -> box {
    const float* b = boxes.data() + i * 4;
    if (center) return {b[1] - b[3] / 2, b[0] - b[2] / 2, b[1] + b[3] / 2, b[0] + b[2] / 2};
    return {std::min(b[0], b[2]), std::min(b[1], b[3]), std::max(b[0], b[2]), std::max(b[1], b[3])};
  };
  std::vector<std::int64_t> found;
  for (std::size_t image = 0; image < ss[0]; ++image)
    for (std::size_t c = 0; c < ss[1]; ++c) {
      const float* s = scores.data() + (image * ss[1] + c) * ss[2];
      std::vector<std::size_t> order;
      for (std::size_t i = 0; i < ss[2]; ++i)
        if (s[i] > least) order.push_back(i);
      std::stable_sort(order.begin(), order.end(),
                       [&](std::size_t a, std::size_t b) { return s[a] > s[b]; });
      std::vector<box> kept;
      for (const std::size_t i : order) {
        if (static_cast<std::int64_t>(kept.size()) >= most) break;
        const box b = box_at(image * bs[1] + i);
        const bool overlaps = std::any_of(kept.begin(), kept.end(), [&](const box& k) {
          const float height = std::min(b.y2, k.y2) - std::max(b.y1, k.y1);
          const float width = std::min(b.x2, k.x2) - std::max(b.x1, k.x1);
          if (height <= 0 || width <= 0) return false;
          const float common = height * width;
          return common / (b.area() + k.area() - common) > iou;
        });
        if (overlaps) continue;
        kept.push_back(b);
        for (const std::size_t v : {image, c, i}) found.push_back(static_cast<std::int64_t>(v));
      }
    }
  tensor<int64> y({found.size() / 3, 3});
  std::copy(found.begin(), found.end(), y.data());
  return known(std::move(y));
}

}  // namespace qtk::inline QTK_ABI::graph_ops
