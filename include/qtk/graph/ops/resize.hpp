#pragma once

#include <cmath>
#include <limits>
#include <optional>

#include "qtk/graph/convert.hpp"
#include "qtk/graph/ops/common.hpp"
#include "qtk/graph/ops/rearrange.hpp"

/// Binders of Resize and Upsample. Interpolation is separable: each axis by itself has, for each
/// index of the result, the indices that it takes and their weights.
namespace qtk::inline QTK_ABI::graph_ops {

/// How Resize maps an index of the result back (docs/Operators.md#Resize).
struct resize_options {
  std::string mode, coordinates, nearest;
  double cubic_a = -0.75;
  bool exclude_outside = false, antialias = false;
  float extrapolation = 0;

  explicit resize_options(const op_context& ctx) {
    const node& n = ctx.node();
    const bool old = n.op == "Upsample" || ctx.opset() < 11;
    mode = n.text("mode", "nearest");
    if (mode == "bilinear" || mode == "trilinear") mode = "linear";
    coordinates = old ? "asymmetric" : n.text("coordinate_transformation_mode", "half_pixel");
    nearest = old ? "floor" : n.text("nearest_mode", "round_prefer_floor");
    cubic_a = static_cast<double>(n.number("cubic_coeff_a", -0.75f));
    exclude_outside = n.integer("exclude_outside", 0) != 0;
    antialias = n.integer("antialias", 0) != 0;
    extrapolation = n.number("extrapolation_value", 0.0f);
    QTK_CHECK(mode == "nearest" || mode == "linear" || mode == "cubic", n.label(), "mode '", mode,
              "'");
  }
};

/// One axis of a Resize.
struct resize_axis {
  std::size_t in = 0, out = 0;
  double scale = 1;
  double roi_begin = 0, roi_end = 1;

  /// Where index i of the result lies in the input; nothing where that is outside and extrapolated.
  [[nodiscard]] std::optional<double> source(const resize_options& o, std::size_t i,
                                             const std::string& where) const {
    const auto x = static_cast<double>(i), n = static_cast<double>(in);
    const double width = scale * n;
    if (o.coordinates == "asymmetric") return x / scale;
    if (o.coordinates == "align_corners") return width == 1 ? 0.0 : x * (n - 1) / (width - 1);
    if (o.coordinates == "pytorch_half_pixel" && width == 1) return -0.5;
    if (o.coordinates == "half_pixel" || o.coordinates == "pytorch_half_pixel")
      return (x + 0.5) / scale - 0.5;
    if (o.coordinates == "half_pixel_symmetric")
      return n / 2 * (1 - static_cast<double>(out) / width) + (x + 0.5) / scale - 0.5;
    QTK_CHECK(o.coordinates == "tf_crop_and_resize", where, "coordinate_transformation_mode '",
              o.coordinates, "'");
    const double length = (roi_end - roi_begin) * (n - 1);
    const double at = roi_begin * (n - 1) + (width == 1 ? length / 2 : x * length / (width - 1));
    return at < 0 || at > n - 1 ? std::nullopt : std::optional(at);
  }

  [[nodiscard]] std::int64_t nearest(const resize_options& o, double at,
                                     const std::string& where) const {
    double index = 0;
    if (o.nearest == "floor")
      index = std::floor(at);
    else if (o.nearest == "ceil")
      index = std::ceil(at);
    else if (o.nearest == "round_prefer_floor")
      index = std::ceil(at - 0.5);
    else if (o.nearest == "round_prefer_ceil")
      index = std::floor(at + 0.5);
    else
      fail(cat("nearest_mode '", o.nearest, "'"), where);
    return static_cast<std::int64_t>(std::clamp(index, 0.0, static_cast<double>(in) - 1));
  }
};

/// The weight of a tap at a distance from the point, in steps of the input.
[[nodiscard]] inline double interpolation_weight(bool cubic, double a, double distance) {
  const double x = std::abs(distance);
  if (!cubic) return x < 1 ? 1 - x : 0;
  // Keys, Cubic Convolution Interpolation for Digital Image Processing, 1981.
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/// Taps of one axis: `taps` indices and weights for each index of the result.
struct resize_taps {
  std::size_t taps = 0;
  std::vector<std::size_t> index;
  std::vector<float> weight;
  std::vector<bool> outside;  // extrapolated

  /// May hold `limit` bytes.
  resize_taps(const resize_options& o, const resize_axis& axis, const node& n, std::size_t limit) {
    const std::string where = n.label();
    // Antialiasing stretches the kernel over all that one index of a smaller result stands for.
    const double stretch = o.antialias ? std::min(axis.scale, 1.0) : 1.0;
    const double reach = (o.mode == "linear" ? 1.0 : 2.0) / stretch;
    QTK_CHECK(reach < 1e6, where, "scale ", axis.scale);
    const std::int64_t first = static_cast<std::int64_t>(std::floor(-reach)) + 1;
    taps = static_cast<std::size_t>(2 - 2 * first);
    check_memory(n, bytes_for(axis.out, taps), limit);
    index.reserve(axis.out * taps);
    weight.reserve(axis.out * taps);
    outside.reserve(axis.out);
    for (std::size_t i = 0; i < axis.out; ++i) {
      const auto at = axis.source(o, i, where);
      outside.push_back(!at.has_value());
      const double x = at.value_or(0), base = std::ceil(x) - 1;
      std::vector<double> weights;
      double sum = 0;
      for (std::size_t t = 0; t < taps; ++t) {
        const double k = base + static_cast<double>(first) + static_cast<double>(t);
        const bool out_of_range = k < 0 || k > static_cast<double>(axis.in) - 1;
        weights.push_back(
            o.exclude_outside && out_of_range
                ? 0
                : interpolation_weight(o.mode == "cubic", o.cubic_a, (k - x) * stretch));
        sum += weights.back();
        index.push_back(
            static_cast<std::size_t>(std::clamp(k, 0.0, static_cast<double>(axis.in) - 1)));
      }
      const bool divide = (o.exclude_outside || o.antialias) && sum != 0;
      for (const double w : weights) weight.push_back(static_cast<float>(divide ? w / sum : w));
    }
  }
  [[nodiscard]] std::size_t bytes() const { return bytes_for(outside.size(), taps); }

 private:
  [[nodiscard]] static std::size_t bytes_for(std::size_t out, std::size_t taps) {
    return checked_add(checked_mul(checked_mul(out, taps), sizeof(std::size_t) + sizeof(float)),
                       out / 8);
  }
};

/// The axes of a Resize, all of x in order, from scales or sizes.
[[nodiscard]] inline std::vector<resize_axis> resize_axes(const op_context& ctx) {
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  std::vector<resize_axis> all(x.rank());
  for (std::size_t d = 0; d < x.rank(); ++d) all[d].in = all[d].out = x[d];
  auto axes = n.integers("axes");
  if (axes.empty())
    for (std::size_t d = 0; d < x.rank(); ++d) axes.push_back(static_cast<std::int64_t>(d));
  const auto floats = [&](std::size_t i) {
    std::vector<float> values;
    if (!ctx.has(i)) return values;
    const any_tensor wide = converted(ctx.value(i), dtype::fp32);
    const auto span = wide.as<fp32>().span();
    values.assign(span.begin(), span.end());
    return values;
  };
  const bool old = n.op == "Upsample" || ctx.opset() < 11;
  std::vector<float> scales = floats(old ? 1 : 2);
  if (n.op == "Upsample" && !ctx.has(1)) scales = n.get<std::vector<float>>("scales", {});
  const std::vector<float> roi = old ? std::vector<float>{} : floats(1);
  const auto sizes = !old && ctx.has(3) ? ctx.integers(3) : std::vector<std::int64_t>{};
  QTK_CHECK(scales.size() == axes.size() || (scales.empty() && sizes.size() == axes.size()),
            n.label(), scales.size(), " scales and ", sizes.size(), " sizes for ", axes.size(),
            " axes");
  const std::string policy = n.text("keep_aspect_ratio_policy", "stretch");
  std::optional<double> common;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    resize_axis& a = all[x.axis(axes[i])];
    QTK_CHECK(a.in > 0, n.label(), "input ", x, " is empty");
    if (!scales.empty()) {
      a.scale = static_cast<double>(scales[i]);
      QTK_CHECK(a.scale > 0 && a.scale < 1e6, n.label(), "scale ", a.scale);
      a.out = static_cast<std::size_t>(std::floor(a.scale * static_cast<double>(a.in)));
    } else {
      QTK_CHECK(sizes[i] >= 0, n.label(), "size ", sizes[i]);
      a.out = static_cast<std::size_t>(sizes[i]);
      a.scale = static_cast<double>(a.out) / static_cast<double>(a.in);
      if (policy != "stretch")
        common = !common                  ? a.scale
                 : policy == "not_larger" ? std::min(*common, a.scale)
                                          : std::max(*common, a.scale);
    }
    if (roi.size() == 2 * axes.size()) {
      a.roi_begin = static_cast<double>(roi[i]);
      a.roi_end = static_cast<double>(roi[i + axes.size()]);
    }
  }
  if (common)
    for (const std::int64_t axis : axes) {
      resize_axis& a = all[x.axis(axis)];
      a.scale = *common;
      a.out = static_cast<std::size_t>(std::floor(*common * static_cast<double>(a.in) + 0.5));
    }
  return all;
}

inline bound_node bind_resize(const op_context& ctx) {
  const node& n = ctx.node();
  const resize_options options(ctx);
  const std::vector<resize_axis> axes = resize_axes(ctx);
  const shape& x = ctx.dims(0);
  shape y;
  for (const resize_axis& a : axes) y.push_back(a.out);
  if (options.mode == "nearest") {
    const float value = options.extrapolation;
    std::vector<std::byte> fill(element_size(ctx, ctx.in(0).type));
    convert_elements(dtype::fp32, reinterpret_cast<const std::byte*>(&value), ctx.in(0).type,
                     fill.data(), 1);
    const auto from = [&](std::size_t d, std::size_t i) {
      const auto at = axes[d].source(options, i, n.label());
      return at ? axes[d].nearest(options, *at, n.label()) : -1;
    };
    return take(ctx, y, from, std::move(fill));
  }
  // Axis by axis, each into the other half of the workspace, the last into the result.
  struct pass {
    std::size_t outer, in, out, inner;
    resize_taps taps;
  };
  std::vector<pass> made;
  shape now = x;
  std::size_t largest = 0, tables = 0;
  for (std::size_t d = 0; y.elements() != 0 && d < axes.size(); ++d) {
    if (axes[d].in == axes[d].out && axes[d].scale == 1 &&
        options.coordinates != "tf_crop_and_resize")
      continue;
    now[d] = axes[d].out;
    largest = std::max(largest, now.elements());
    if (ctx.types_only()) continue;
    made.push_back({now.product(0, d), axes[d].in, axes[d].out, now.product(d + 1, now.rank()),
                    resize_taps(options, axes[d], n, ctx.memory_limit() - tables)});
    tables += made.back().taps.bytes();
  }
  const std::size_t half =
      round_up(checked_mul(std::max(largest, x.elements()), sizeof(float)), 64);
  const dtype type = ctx.in(0).type;
  bound_node b{.outputs = {{type, y}}, .run = {}, .workspace_bytes = checked_mul(half, 2)};
  count_work(b, ctx, 4);
  if (ctx.types_only()) return b;
  b.run = [passes = hold(b, std::move(made), tables), half, type, from = x.elements(),
           count = y.elements(), value = options.extrapolation](const node_buffers& io) {
    auto* in = reinterpret_cast<float*>(io.workspace);
    auto* out = reinterpret_cast<float*>(io.workspace + half);
    convert_elements(type, io.inputs[0], dtype::fp32, io.workspace, from);
    for (const pass& p : *passes) {
      float* to = out;
      for (std::size_t o = 0; o < p.outer; ++o)
        for (std::size_t i = 0; i < p.out; ++i, to += p.inner) {
          std::fill_n(to, p.inner, p.taps.outside[i] ? value : 0.0f);
          if (p.taps.outside[i]) continue;
          for (std::size_t t = 0; t < p.taps.taps; ++t) {
            const float w = p.taps.weight[i * p.taps.taps + t];
            const float* row = in + (o * p.in + p.taps.index[i * p.taps.taps + t]) * p.inner;
            if (w != 0.0f)
              for (std::size_t k = 0; k < p.inner; ++k) to[k] += w * row[k];
          }
        }
      std::swap(in, out);
    }
    convert_elements(dtype::fp32, reinterpret_cast<const std::byte*>(in), type, io.outputs[0],
                     count);
  };
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
