#pragma once

#include "qtk/graph/onnx_types.hpp"
#include "qtk/graph/ops/common.hpp"
#include "qtk/ops/strided.hpp"

/// Binders of operators that put elements in another order: parts, repetitions, blocks.
namespace qtk::inline QTK_ABI::graph_ops {

/// Consecutive parts along an axis: of given lengths, or as many equal ones as there are outputs
/// (the last may be shorter).
inline bound_node bind_split(const op_context& ctx) {
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  const std::size_t axis = x.axis(n.integer("axis", 0)), parts = n.outputs.size();
  auto lengths = list_argument(ctx, "split", 1);
  if (lengths.empty()) {
    const auto each = static_cast<std::int64_t>(ceil_div(x[axis], std::max<std::size_t>(parts, 1)));
    auto left = static_cast<std::int64_t>(x[axis]);
    for (std::size_t i = 0; i < parts; ++i, left -= lengths.back())
      lengths.push_back(std::min(each, left));
  }
  QTK_CHECK(lengths.size() == parts, n.label(), lengths.size(), " parts for ", parts, " outputs");
  bound_node b;
  std::vector<std::size_t> rows, begins;
  std::size_t begin = 0;
  const std::size_t inner = x.product(axis + 1, x.rank()) * element_size(ctx, ctx.in(0).type);
  for (const std::int64_t length : lengths) {
    QTK_CHECK(length >= 0, n.label(), "a part of ", length);
    shape y = x;
    y[axis] = static_cast<std::size_t>(length);
    b.outputs.push_back({ctx.in(0).type, y});
    rows.push_back(y[axis] * inner);
    begins.push_back(begin * inner);
    begin = checked_add(begin, y[axis]);
  }
  QTK_CHECK(begin == x[axis], n.label(), "parts of ", begin, " for ", x[axis]);
  b.run = [rows, begins, outer = x.product(0, axis),
           row = x[axis] * inner](const node_buffers& io) {
    for (std::size_t i = 0; i < rows.size() && outer != 0; ++i)
      if (rows[i] != 0)
        copy_rows(outer, rows[i], io.inputs[0] + begins[i], row, io.outputs[i], rows[i]);
  };
  count_work(b, ctx, 0);
  return b;
}

/// A copy of x seen as `from` dimensions in another order: y has dimension order[d] of it at d.
[[nodiscard]] inline bound_node permuted(const op_context& ctx, const shape& seen,
                                         std::span<const std::size_t> order, const shape& y) {
  const strides own = row_major(seen);
  shape dims;
  strides from{};
  for (std::size_t d = 0; d < order.size(); ++d) {
    dims.push_back(seen[order[d]]);
    from[d] = own[order[d]];
  }
  bound_node b{
      .outputs = {{ctx.in(0).type, y}},
      .run = [dims, from, size = element_size(ctx, ctx.in(0).type)](const node_buffers& io) {
        if (dims.elements() != 0)
          copy_strided(dims, size, io.inputs[0], from, io.outputs[0], row_major(dims));
      }};
  count_work(b, ctx, 0);
  return b;
}

[[nodiscard]] inline std::size_t block_size(const op_context& ctx) {
  const std::int64_t size = ctx.node().integer("blocksize", 0);
  QTK_CHECK(size > 0 && size < (1 << 16) && ctx.dims(0).rank() == 4, ctx.node().label(),
            "blocksize ", size, " of ", ctx.dims(0));
  return static_cast<std::size_t>(size);
}

inline bound_node bind_depth_to_space(const op_context& ctx) {
  const shape& x = ctx.dims(0);
  const std::size_t s = block_size(ctx);
  QTK_CHECK(x[1] % (s * s) == 0, ctx.node().label(), "blocksize ", s, " of ", x);
  const std::size_t c = x[1] / (s * s);
  const shape y{x[0], c, x[2] * s, x[3] * s};
  if (ctx.node().text("mode", "DCR") == "DCR")
    return permuted(ctx, {x[0], s, s, c, x[2], x[3]}, std::array<std::size_t, 6>{0, 3, 4, 1, 5, 2},
                    y);
  return permuted(ctx, {x[0], c, s, s, x[2], x[3]}, std::array<std::size_t, 6>{0, 1, 4, 2, 5, 3},
                  y);
}

inline bound_node bind_space_to_depth(const op_context& ctx) {
  const shape& x = ctx.dims(0);
  const std::size_t s = block_size(ctx);
  QTK_CHECK(x[2] % s == 0 && x[3] % s == 0, ctx.node().label(), "blocksize ", s, " of ", x);
  return permuted(ctx, {x[0], x[1], x[2] / s, s, x[3] / s, s},
                  std::array<std::size_t, 6>{0, 3, 5, 1, 2, 4},
                  {x[0], x[1] * s * s, x[2] / s, x[3] / s});
}

/// Neighbors in a row of the result that are neighbors in x, or all fill (from -1).
struct index_run {
  std::int64_t from;
  std::size_t count;
};
/// One more element of the row.
inline void extend(std::vector<index_run>& runs, std::int64_t from) {
  const bool fill = from < 0;
  if (!runs.empty() &&
      (fill ? runs.back().from < 0
            : runs.back().from >= 0 &&
                  from == runs.back().from + static_cast<std::int64_t>(runs.back().count)))
    ++runs.back().count;
  else
    runs.push_back({fill ? -1 : from, 1});
}

/// Where each element of a result comes from: for each dimension but the last the index in x, or -1
/// for the fill, and the runs of a row: 32 rows of 576 padded by reflection to 640 take 5 us by
/// runs, one element after the other 92.
struct index_maps {
  std::vector<std::vector<std::int64_t>> outer;
  std::vector<index_run> row;

  void copy(const shape& x, const shape& y, std::size_t size, const std::byte* in, std::byte* out,
            const std::vector<std::byte>& fill) const {
    const strides own = row_major(x);
    std::array<std::size_t, shape::max_rank> at{};
    for (;;) {
      std::ptrdiff_t start = 0;
      bool inside = true;
      for (std::size_t d = 0; d < outer.size(); ++d) {
        const std::int64_t k = outer[d][at[d]];
        inside = inside && k >= 0;
        start += k * own[d];
      }
      for (const index_run& r : row) {
        if (inside && r.from >= 0) {
          const std::byte* from = in + (start + r.from) * static_cast<std::ptrdiff_t>(size);
          if (size == 4 && r.count == 1)  // a fixed size becomes one load and one store
            std::memcpy(out, from, 4);
          else
            std::memcpy(out, from, r.count * size);
          out += r.count * size;
        } else {
          for (std::size_t i = 0; i < r.count; ++i, out += size)
            std::memcpy(out, fill.data(), size);
        }
      }
      std::size_t d = outer.size();
      while (d-- > 0 && ++at[d] == y[d]) at[d] = 0;
      if (d == static_cast<std::size_t>(-1)) return;
    }
  }
};

/// A result of shape y whose element at (i, j, ..) is that of x at (from(0, i), from(1, j), ..), or
/// the fill where one of these is -1. from(d, i) is asked once for each index of each dimension.
template <class From>
[[nodiscard]] bound_node take(const op_context& ctx, const shape& y, From&& from,
                              std::vector<std::byte> fill = {}) {
  const shape x = ctx.dims(0);
  const std::size_t size = element_size(ctx, ctx.in(0).type);
  bound_node b{.outputs = {{ctx.in(0).type, y}}, .run = {}};
  count_work(b, ctx, 0);
  if (ctx.types_only()) return b;
  if (fill.empty()) fill.resize(size);
  std::size_t most = 0;  // each element of a row may be a run
  for (std::size_t d = 0; y.elements() != 0 && d < y.rank(); ++d)
    most = checked_add(
        most, checked_mul(y[d], d + 1 < y.rank() ? sizeof(std::int64_t) : sizeof(index_run)));
  ctx.expect_memory(most);
  index_maps indices;
  std::size_t bytes = 0;
  for (std::size_t d = 0; y.elements() != 0 && d < y.rank(); ++d) {
    if (d + 1 == y.rank()) {
      for (std::size_t i = 0; i < y[d]; ++i) extend(indices.row, from(d, i));
      break;
    }
    std::vector<std::int64_t>& map = indices.outer.emplace_back(y[d]);
    for (std::size_t i = 0; i < y[d]; ++i) map[i] = from(d, i);
    bytes += y[d] * sizeof(std::int64_t);
  }
  if (y.rank() == 0) indices.row = {{0, 1}};
  indices.row.shrink_to_fit();
  bytes += indices.row.size() * sizeof(index_run);
  const auto maps = hold(b, std::move(indices), bytes);
  b.run = [x, y, maps, fill = std::move(fill), size](const node_buffers& io) {
    if (y.elements() != 0) maps->copy(x, y, size, io.inputs[0], io.outputs[0], fill);
  };
  return b;
}

/// Whole repetitions of x along each axis.
inline bound_node bind_tile(const op_context& ctx) {
  const shape& x = ctx.dims(0);
  const auto repeats = ctx.integers(1);
  QTK_CHECK(repeats.size() == x.rank(), ctx.node().label(), repeats.size(), " repeats for ", x);
  shape y;
  for (std::size_t d = 0; d < x.rank(); ++d) {
    QTK_CHECK(repeats[d] >= 0, ctx.node().label(), "repeats ", repeats[d]);
    y.push_back(checked_mul(x[d], static_cast<std::size_t>(repeats[d])));
  }
  return take(ctx, y,
              [&](std::size_t d, std::size_t i) { return static_cast<std::int64_t>(i % x[d]); });
}

/// Cut or padded with zeros around the middle, along `axes`, to the given shape.
inline bound_node bind_center_crop_pad(const op_context& ctx) {
  const shape& x = ctx.dims(0);
  const auto target = ctx.integers(1);
  auto axes = ctx.node().integers("axes");
  if (axes.empty())
    for (std::size_t d = 0; d < x.rank(); ++d) axes.push_back(static_cast<std::int64_t>(d));
  QTK_CHECK(axes.size() == target.size(), ctx.node().label(), target.size(), " sizes for ",
            axes.size(), " axes");
  shape y = x;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    QTK_CHECK(target[i] >= 0, ctx.node().label(), "size ", target[i]);
    y[x.axis(axes[i])] = static_cast<std::size_t>(target[i]);
  }
  return take(ctx, y, [&](std::size_t d, std::size_t i) {
    const auto from = static_cast<std::int64_t>(x[d]), to = static_cast<std::int64_t>(y[d]);
    const std::int64_t shift = from > to ? (from - to) / 2 : -((to - from) / 2);
    const std::int64_t at = static_cast<std::int64_t>(i) + shift;
    return at >= 0 && at < from ? at : -1;
  });
}

/// Where index i of a dimension of n that is padded by mode comes from: "edge" repeats the last
/// element, "reflect" mirrors at it, "wrap" starts anew.
[[nodiscard]] inline std::int64_t padded_index(std::int64_t i, std::int64_t n,
                                               std::string_view mode) {
  if (mode == "edge") return std::clamp<std::int64_t>(i, 0, n - 1);
  if (mode == "wrap") return ((i % n) + n) % n;
  if (n == 1) return 0;
  const std::int64_t period = 2 * (n - 1), at = ((i % period) + period) % period;
  return at < n ? at : period - at;
}

/// The first sequence_lens[b] elements along the time axis of each batch in reverse.
inline bound_node bind_reverse_sequence(const op_context& ctx) {
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  const std::int64_t batch = n.integer("batch_axis", 1), time = n.integer("time_axis", 0);
  QTK_CHECK(x.rank() >= 2 && batch + time == 1 && batch * time == 0, n.label(), "batch_axis ",
            batch, ", time_axis ", time);
  const auto lengths = ctx.integers(1);
  const std::size_t B = x[static_cast<std::size_t>(batch)], T = x[static_cast<std::size_t>(time)];
  QTK_CHECK(lengths.size() == B, n.label(), lengths.size(), " lengths for ", B, " batches");
  for (const std::int64_t l : lengths)
    QTK_CHECK(l >= 0 && static_cast<std::size_t>(l) <= T, n.label(), "length ", l, " of ", T);
  bound_node b{.outputs = {ctx.in(0)},
               .run = [lengths, B, T, first = batch == 0,
                       row = x.product(2, x.rank()) *
                             element_size(ctx, ctx.in(0).type)](const node_buffers& io) {
                 for (std::size_t i = 0; i < B; ++i)
                   for (std::size_t t = 0; t < T; ++t) {
                     const auto l = static_cast<std::size_t>(lengths[i]);
                     const std::size_t from = t < l ? l - 1 - t : t;
                     const auto at = [&](std::size_t s) { return first ? i * T + s : s * B + i; };
                     std::memcpy(io.outputs[0] + at(t) * row, io.inputs[0] + at(from) * row, row);
                   }
               }};
  count_work(b, ctx, 0);
  return b;
}

/// The sum of columns back to where they came from in an image: the inverse of cutting it into
/// blocks. x (N, C * block, columns), image and block shapes of any rank.
inline bound_node bind_col2im(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const node& n = ctx.node();
  const shape& x = ctx.dims(0);
  const auto image = ctx.integers(1), block = ctx.integers(2);
  const std::size_t rank = image.size();
  QTK_CHECK(x.rank() == 3 && rank > 0 && rank + 2 <= shape::max_rank && block.size() == rank,
            n.label(), "input ", x, " for ", rank, " dimensions");
  const auto list = [&](const char* key, std::size_t size, std::int64_t value) {
    auto v = n.integers(key);
    if (v.empty()) v.assign(size, value);
    QTK_CHECK(v.size() == size, n.label(), key, " has ", v.size(), " values");
    return v;
  };
  const auto dilations = list("dilations", rank, 1), pads = list("pads", 2 * rank, 0),
             strides_ = list("strides", rank, 1);
  shape y{x[0]}, grid, cells;
  std::size_t in_block = 1;
  for (std::size_t d = 0; d < rank; ++d) {
    QTK_CHECK(image[d] > 0 && block[d] > 0 && dilations[d] > 0 && strides_[d] > 0 && pads[d] >= 0 &&
                  pads[rank + d] >= 0 && image[d] < (1 << 24) && block[d] < (1 << 24) &&
                  dilations[d] < (1 << 24) && pads[d] < (1 << 24) && pads[rank + d] < (1 << 24),
              n.label(), "dimension ", d);
    const std::int64_t room =
        image[d] + pads[d] + pads[rank + d] - dilations[d] * (block[d] - 1) - 1;
    QTK_CHECK(room >= 0, n.label(), "a block larger than the image");
    grid.push_back(static_cast<std::size_t>(room / strides_[d] + 1));
    cells.push_back(static_cast<std::size_t>(block[d]));
    in_block = checked_mul(in_block, cells.back());
  }
  QTK_CHECK(x[1] % in_block == 0 && x[2] == grid.elements(), n.label(), "input ", x, " for ",
            grid.elements(), " blocks of ", in_block);
  y.push_back(x[1] / in_block);
  for (const std::int64_t d : image) y.push_back(static_cast<std::size_t>(d));
  bound_node b{.outputs = {{dtype::fp32, y}},
               .run = [=, planes = y[0] * y[1], plane = y.product(2, y.rank()),
                       columns = grid.elements()](const node_buffers& io) {
                 std::fill_n(io.out<float>(), planes * plane, 0.0f);
                 const float* in = io.in<float>(0);
                 for (std::size_t p = 0; p < planes; ++p)
                   for (std::size_t k = 0; k < in_block; ++k)
                     for (std::size_t g = 0; g < columns; ++g, ++in) {
                       std::size_t cell = k, place = g, step = 1, at = 0;
                       bool inside = true;
                       for (std::size_t d = rank; d-- > 0;) {
                         const auto c = static_cast<std::int64_t>(cell % cells[d]);
                         const auto o = static_cast<std::int64_t>(place % grid[d]);
                         cell /= cells[d];
                         place /= grid[d];
                         const std::int64_t i = o * strides_[d] + c * dilations[d] - pads[d];
                         inside = inside && i >= 0 && i < image[d];
                         at += static_cast<std::size_t>(inside ? i : 0) * step;
                         step *= static_cast<std::size_t>(image[d]);
                       }
                       if (inside) io.out<float>()[p * plane + at] += *in;
                     }
               }};
  count_work(b, ctx, 0);
  return b;
}

/// The same bytes as elements of another type: where it is smaller or larger, the last dimension
/// grows or shrinks.
inline bound_node bind_bit_cast(const op_context& ctx) {
  const std::int64_t type = ctx.node().integer("to", 0);
  const auto to = from_onnx_type(type);
  QTK_CHECK(to, ctx.node().label(), "data type ", type, " is not supported");
  const std::size_t from_size = element_size(ctx, ctx.in(0).type), size = element_size(ctx, *to);
  shape y = ctx.dims(0);
  if (from_size != size) {
    QTK_CHECK(y.rank() > 0 && y.back() * from_size % size == 0, ctx.node().label(), y, " of ",
              name(ctx.in(0).type), " as ", name(*to));
    y[y.rank() - 1] = y.back() * from_size / size;
  }
  return {.outputs = {{*to, y}}, .run = {}, .alias = 0};
}

inline bound_node bind_concat(const op_context& ctx) {
  shape y = ctx.dims(0);
  const std::size_t axis = y.axis(ctx.node().integer("axis", 1));
  std::vector<shape> parts;
  y[axis] = 0;
  for (std::size_t i = 0; i < ctx.inputs(); ++i) {
    shape part = ctx.dims(i);
    QTK_CHECK(ctx.in(i).type == ctx.in(0).type && part.rank() == y.rank(), ctx.node().label(),
              "input ", i, " is ", name(ctx.in(i).type), " ", part);
    parts.push_back(part);
    y[axis] = checked_add(y[axis], part[axis]);
    part[axis] = y[axis];
    QTK_CHECK(part == y, ctx.node().label(), "input ", i, " is ", ctx.dims(i), " beside ", y);
  }
  const std::size_t row = y.product(axis, y.rank()) * element_size(ctx, ctx.in(0).type);
  bound_node b{.outputs = {{ctx.in(0).type, y}},
               .run = [parts, axis, row, rows = y.product(0, axis),
                       size = element_size(ctx, ctx.in(0).type)](const node_buffers& io) {
                 std::size_t at = 0;
                 for (std::size_t i = 0; i < parts.size(); ++i) {
                   const std::size_t n = parts[i].product(axis, parts[i].rank()) * size;
                   if (n != 0 && rows != 0)
                     copy_rows(rows, n, io.inputs[i], n, io.outputs[0] + at, row);
                   at += n;
                 }
               }};
  count_work(b, ctx, 0);
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
