#pragma once

#include <algorithm>
#include <functional>
#include <numeric>

#include "qtk/graph/ops/common.hpp"
#include "qtk/ops/broadcast.hpp"
#include "qtk/ops/copy.hpp"

/// Binders of operators that read or write at indices: gathers, scatters, selections.
namespace qtk::inline QTK_ABI::graph_ops {

/// Reads indices of int64 or int32, negative ones from the end; qtk::error outside of the range.
class index_reader {
 public:
  index_reader(const op_context& ctx, std::size_t input)
      : wide_(ctx.in(input).type == dtype::int64), input_(input), where_(ctx.node().label()) {
    QTK_CHECK(wide_ || ctx.in(input).type == dtype::int32, where_, "indices of ",
              name(ctx.in(input).type), " are not supported");
  }
  [[nodiscard]] std::size_t at(const node_buffers& io, std::size_t i, std::size_t extent) const {
    const std::int64_t k = wide_ ? io.in<std::int64_t>(input_)[i] : io.in<std::int32_t>(input_)[i];
    const auto n = static_cast<std::int64_t>(extent);
    QTK_CHECK(k >= -n && k < n, where_, "index ", k, " of ", n);
    return static_cast<std::size_t>(k < 0 ? k + n : k);
  }

 private:
  bool wide_;
  std::size_t input_;
  std::string where_;
};

/// y[.., i.., ..] = x[.., index[i..], ..] along `axis`.
inline bound_node bind_gather(const op_context& ctx) {
  const shape &x = ctx.dims(0), &index = ctx.dims(1);
  const std::size_t axis = x.axis(ctx.node().integer("axis", 0));
  QTK_CHECK(x.rank() + index.rank() - 1 <= shape::max_rank, ctx.node().label(), "rank above ",
            shape::max_rank);
  shape y;
  for (std::size_t d = 0; d < axis; ++d) y.push_back(x[d]);
  for (const std::size_t d : index) y.push_back(d);
  for (std::size_t d = axis + 1; d < x.rank(); ++d) y.push_back(x[d]);
  bound_node b{.outputs = {{ctx.in(0).type, y}},
               .run = [read = index_reader(ctx, 1), outer = x.product(0, axis), extent = x[axis],
                       row = x.product(axis + 1, x.rank()) * element_size(ctx, ctx.in(0).type),
                       count = index.elements()](const node_buffers& io) {
                 const auto from = [&](std::size_t i) {
                   return io.inputs[0] + read.at(io, i, extent) * row;
                 };
                 std::byte* out = io.outputs[0];
                 if (outer == 1) {
                   for (std::size_t i = 0; i < count; ++i) std::memcpy(out + i * row, from(i), row);
                 } else {
                   // Some rows at a time: they stay in the cache from column to column.
                   for (std::size_t o = 0, n; o < outer; o += n) {
                     n = std::min<std::size_t>(256, outer - o);
                     for (std::size_t i = 0; i < count; ++i)
                       copy_rows(n, row, from(i) + o * extent * row, extent * row,
                                 out + (o * count + i) * row, count * row);
                   }
                 }
               }};
  count_work(b, ctx, 0);
  return b;
}

/// Where element i of a tensor of shape `index` lies in one of shape `x`, its coordinate along
/// `axis` being 0.
template <class Function>
void for_each_line(const shape& index, const shape& x, std::size_t axis, Function&& f) {
  strides at = row_major(x);
  at[axis] = 0;
  const std::size_t n = index.cols();
  const std::ptrdiff_t step = n == 1 ? 0 : at[index.rank() - 1];
  std::size_t i = 0;
  for_each_row(index, std::array<strides, 1>{at}, [&](const std::array<std::ptrdiff_t, 1>& offset) {
    for (std::size_t c = 0; c < n; ++c, ++i)
      f(i, static_cast<std::size_t>(offset[0] + static_cast<std::ptrdiff_t>(c) * step));
  });
}

/// y[i][j][k] = x[index[i][j][k]][j][k] for axis 0, and so on.
inline bound_node bind_gather_elements(const op_context& ctx) {
  const shape x = ctx.dims(0), index = ctx.dims(1);
  const std::size_t axis = x.axis(ctx.node().integer("axis", 0));
  QTK_CHECK(index.rank() == x.rank(), ctx.node().label(), "indices ", index, " for ", x);
  for (std::size_t d = 0; d < x.rank(); ++d)
    QTK_CHECK(d == axis || index[d] <= x[d], ctx.node().label(), "indices ", index, " for ", x);
  bound_node b{.outputs = {{ctx.in(0).type, index}},
               .run = [x, index, axis, read = index_reader(ctx, 1),
                       step = static_cast<std::size_t>(x.elements() == 0 ? 0 : row_major(x)[axis]),
                       size = element_size(ctx, ctx.in(0).type)](const node_buffers& io) {
                 for_each_line(index, x, axis, [&](std::size_t i, std::size_t base) {
                   std::memcpy(io.outputs[0] + i * size,
                               io.inputs[0] + (base + read.at(io, i, x[axis]) * step) * size, size);
                 });
               }};
  count_work(b, ctx, 0);
  return b;
}

/// What a scatter does where it writes: replace, add, multiply, keep the larger or the smaller.
using scatter_write = void (*)(std::byte* to, const std::byte* from, std::size_t count);

template <class T, class Function>
void combine(std::byte* to, const std::byte* from, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    T a, b;
    std::memcpy(&a, to + i * sizeof(T), sizeof(T));
    std::memcpy(&b, from + i * sizeof(T), sizeof(T));
    a = static_cast<T>(Function{}(a, b));
    std::memcpy(to + i * sizeof(T), &a, sizeof(T));
  }
}
struct larger {
  template <class T>
  T operator()(T a, T b) const {
    return b > a ? b : a;
  }
};
struct smaller {
  template <class T>
  T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};

/// Null: elements are replaced as they are.
[[nodiscard]] inline scatter_write scatter_reduction(const op_context& ctx) {
  const std::string how = ctx.node().text("reduction", "none");
  if (how == "none") return nullptr;
  scatter_write write = nullptr;
  visit_format(ctx.in(0).type, [&]<class F>(F) {
    using T = typename F::value_type;
    if constexpr (std::is_arithmetic_v<T> && !F::packed)
      write = how == "add"   ? combine<T, std::plus<>>
              : how == "mul" ? combine<T, std::multiplies<>>
              : how == "max" ? combine<T, larger>
              : how == "min" ? combine<T, smaller>
                             : nullptr;
  });
  QTK_CHECK(write != nullptr, ctx.node().label(), "reduction = '", how, "' of ",
            name(ctx.in(0).type), " is not supported");
  return write;
}

/// y = x, then y[index[i][j][k]][j][k] = updates[i][j][k] for axis 0, and so on; in order, so that
/// of equal indices the last wins.
inline bound_node bind_scatter_elements(const op_context& ctx) {
  const shape x = ctx.dims(0), index = ctx.dims(1);
  const std::size_t axis = x.axis(ctx.node().integer("axis", 0));
  QTK_CHECK(index.rank() == x.rank() && ctx.dims(2) == index && ctx.in(2).type == ctx.in(0).type,
            ctx.node().label(), "indices ", index, " and updates ", ctx.dims(2), " for ", x);
  for (std::size_t d = 0; d < x.rank(); ++d)
    QTK_CHECK(d == axis || index[d] <= x[d], ctx.node().label(), "indices ", index, " for ", x);
  bound_node b{.outputs = {ctx.in(0)},
               .run =
                   [x, index, axis, read = index_reader(ctx, 1), write = scatter_reduction(ctx),
                    step = static_cast<std::size_t>(x.elements() == 0 ? 0 : row_major(x)[axis]),
                    size = element_size(ctx, ctx.in(0).type)](const node_buffers& io) {
                     if (io.outputs[0] != io.inputs[0])
                       std::memcpy(io.outputs[0], io.inputs[0], x.elements() * size);
                     for_each_line(index, x, axis, [&](std::size_t i, std::size_t base) {
                       std::byte* to =
                           io.outputs[0] + (base + read.at(io, i, x[axis]) * step) * size;
                       const std::byte* from = io.inputs[2] + i * size;
                       write != nullptr ? write(to, from, 1)
                                        : static_cast<void>(std::memcpy(to, from, size));
                     });
                   },
               .in_place = 0};
  count_work(b, ctx, 0);
  return b;
}

/// The last dimension of `index` as coordinates of x, from dimension `batch` on: offset of what
/// they name, in elements.
class coordinates {
 public:
  coordinates(const op_context& ctx, std::size_t batch)
      : read_(ctx, 1), x_(ctx.dims(0)), depth_(ctx.dims(1).rank() == 0 ? 0 : ctx.dims(1).back()) {
    QTK_CHECK(ctx.dims(1).rank() > batch && x_.rank() >= batch + depth_, ctx.node().label(),
              "indices ", ctx.dims(1), " into ", x_);
    for (std::size_t d = batch; d < batch + depth_; ++d) {
      extent_.push_back(x_[d]);
      step_.push_back(x_.product(d + 1, x_.rank()));
    }
    run_ = x_.product(batch + depth_, x_.rank());
  }
  [[nodiscard]] std::size_t offset(const node_buffers& io, std::size_t i) const {
    std::size_t at = 0;
    for (std::size_t d = 0; d < depth_; ++d)
      at += read_.at(io, i * depth_ + d, extent_[d]) * step_[d];
    return at;
  }
  [[nodiscard]] std::size_t depth() const noexcept { return depth_; }
  [[nodiscard]] std::size_t run() const noexcept { return run_; }  // elements that one index names

 private:
  index_reader read_;
  shape x_;
  std::size_t depth_ = 0, run_ = 0;
  std::vector<std::size_t> extent_, step_;
};

inline bound_node bind_gather_nd(const op_context& ctx) {
  const shape &x = ctx.dims(0), &index = ctx.dims(1);
  const std::int64_t given = ctx.node().integer("batch_dims", 0);
  QTK_CHECK(given >= 0 && static_cast<std::uint64_t>(given) < x.rank(), ctx.node().label(),
            "batch_dims ", given, " of ", x);
  const auto batch = static_cast<std::size_t>(given);
  const coordinates at(ctx, batch);
  shape y;
  for (std::size_t d = 0; d + 1 < index.rank(); ++d) y.push_back(index[d]);
  for (std::size_t d = batch + at.depth(); d < x.rank(); ++d) y.push_back(x[d]);
  for (std::size_t d = 0; d < batch; ++d)
    QTK_CHECK(index[d] == x[d], ctx.node().label(), "indices ", index, " for ", x);
  const std::size_t count = index.product(0, index.rank() - 1), batches = x.product(0, batch);
  bound_node b{.outputs = {{ctx.in(0).type, y}},
               .run = [at, count, each = batches == 0 ? 0 : count / batches,
                       image = x.product(batch, x.rank()),
                       size = element_size(ctx, ctx.in(0).type)](const node_buffers& io) {
                 for (std::size_t i = 0; i < count; ++i)
                   std::memcpy(io.outputs[0] + i * at.run() * size,
                               io.inputs[0] + (i / each * image + at.offset(io, i)) * size,
                               at.run() * size);
               }};
  count_work(b, ctx, 0);
  return b;
}

inline bound_node bind_scatter_nd(const op_context& ctx) {
  const shape &x = ctx.dims(0), &index = ctx.dims(1);
  const coordinates at(ctx, 0);
  const std::size_t count = index.product(0, index.rank() - 1);
  QTK_CHECK(
      ctx.dims(2).elements() == checked_mul(count, at.run()) && ctx.in(2).type == ctx.in(0).type,
      ctx.node().label(), "updates ", ctx.dims(2), " for ", count, " runs of ", at.run());
  bound_node b{.outputs = {ctx.in(0)},
               .run =
                   [at, count, write = scatter_reduction(ctx), total = x.elements(),
                    size = element_size(ctx, ctx.in(0).type)](const node_buffers& io) {
                     if (io.outputs[0] != io.inputs[0])
                       std::memcpy(io.outputs[0], io.inputs[0], total * size);
                     for (std::size_t i = 0; i < count; ++i) {
                       std::byte* to = io.outputs[0] + at.offset(io, i) * size;
                       const std::byte* from = io.inputs[2] + i * at.run() * size;
                       write != nullptr ? write(to, from, at.run())
                                        : static_cast<void>(std::memcpy(to, from, at.run() * size));
                     }
                   },
               .in_place = 0};
  count_work(b, ctx, 0);
  return b;
}

/// Writes `update` into a cache: along `axis` of batch b from write_indices[b] on ("circular":
/// around its end).
inline bound_node bind_tensor_scatter(const op_context& ctx) {
  const node& n = ctx.node();
  const shape &x = ctx.dims(0), &u = ctx.dims(1);
  const std::size_t axis = x.axis(n.integer("axis", -2));
  QTK_CHECK(axis > 0 && u.rank() == x.rank() && ctx.in(1).type == ctx.in(0).type, n.label(),
            "update ", u, " of ", x);
  for (std::size_t d = 0; d < x.rank(); ++d)
    QTK_CHECK(d == axis ? u[d] <= x[d] : u[d] == x[d], n.label(), "update ", u, " of ", x);
  if (ctx.has(2)) {
    ctx.expect(2, dtype::int64);
    QTK_CHECK(ctx.dims(2).elements() == x[0], n.label(), "write_indices ", ctx.dims(2));
  }
  const bool circular = n.text("mode", "linear") == "circular";
  bound_node b{
      .outputs = {ctx.in(0)},
      .run =
          [batch = x[0], middle = x.product(1, axis), length = x[axis], steps = u[axis], circular,
           label = n.label(), total = x.elements() * element_size(ctx, ctx.in(0).type),
           row = x.product(axis + 1, x.rank()) *
                 element_size(ctx, ctx.in(0).type)](const node_buffers& io) {
            if (io.outputs[0] != io.inputs[0]) std::memcpy(io.outputs[0], io.inputs[0], total);
            for (std::size_t i = 0; i < batch; ++i) {
              const std::int64_t first = io.in<std::int64_t>(2) ? io.in<std::int64_t>(2)[i] : 0;
              QTK_CHECK(
                  first >= 0 && (circular || static_cast<std::size_t>(first) + steps <= length),
                  label, "writes at ", first);
              for (std::size_t m = 0; m < middle; ++m)
                for (std::size_t s = 0; s < steps; ++s) {
                  const std::size_t at = (static_cast<std::size_t>(first) + s) % length;
                  std::memcpy(io.outputs[0] + ((i * middle + m) * length + at) * row,
                              io.inputs[1] + ((i * middle + m) * steps + s) * row, row);
                }
            }
          },
      .in_place = 0};
  count_work(b, ctx, 0);
  return b;
}

/// Coordinates of the elements that aren't 0: (rank, count).
inline bound_node bind_non_zero(const op_context& ctx) {
  const any_tensor& x = ctx.value(0);
  std::vector<std::size_t> found;
  x.visit([&]<class F>(const tensor<F>& t) {
    if constexpr (std::is_arithmetic_v<typename F::value_type> && !F::packed) {
      for (std::size_t i = 0; i < t.elements(); ++i)
        if (t.data()[i] != typename F::value_type{}) found.push_back(i);
    } else if constexpr (std::is_same_v<F, fp16> || std::is_same_v<F, bf16>) {
      for (std::size_t i = 0; i < t.elements(); ++i)
        if (to_float(t.data()[i]) != 0.0f) found.push_back(i);
    } else {
      ctx.reject(cat("input of ", name(F::id), " is not supported"));
    }
  });
  const shape& s = x.shape();
  tensor<int64> y({s.rank(), found.size()});
  for (std::size_t i = 0; i < found.size(); ++i)
    for (std::size_t d = s.rank(), left = found[i]; d-- > 0; left /= s[d])
      y.data()[d * found.size() + i] = static_cast<std::int64_t>(left % s[d]);
  return known(std::move(y));
}

/// The slices along `axis` (or the elements) where the condition holds.
inline bound_node bind_compress(const op_context& ctx) {
  const node& n = ctx.node();
  const any_tensor& x = ctx.value(0);
  const auto& condition = ctx.value(1).as<boolean>();
  const std::int64_t* given = n.find<std::int64_t>("axis");
  const shape s = given != nullptr ? x.shape() : shape{x.shape().elements()};
  const std::size_t axis = given != nullptr ? s.axis(*given) : 0;
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < std::min(condition.elements(), s[axis]); ++i)
    if (condition.data()[i] != 0) kept.push_back(i);
  shape y = s;
  y[axis] = kept.size();
  any_tensor out(x.dtype(), y);
  const std::size_t row = s.product(axis + 1, s.rank()) * element_size(ctx, x.dtype());
  std::byte* to = out.data();
  for (std::size_t o = 0; row != 0 && o < s.product(0, axis); ++o)
    for (const std::size_t k : kept) {
      std::memcpy(to, x.data() + (o * s[axis] + k) * row, row);
      to += row;
    }
  return known(std::move(out));
}

/// The different slices along `axis` (or elements), sorted or in order of appearance; where each
/// was first, which one each is, and how often it occurs.
inline bound_node bind_unique(const op_context& ctx) {
  const node& n = ctx.node();
  const any_tensor& x = ctx.value(0);
  const std::int64_t* given = n.find<std::int64_t>("axis");
  const shape s = given != nullptr ? x.shape() : shape{x.shape().elements()};
  const std::size_t axis = given != nullptr ? s.axis(*given) : 0;
  const std::size_t count = s[axis], inner = s.product(axis + 1, s.rank());
  const std::size_t outer = s.product(0, axis);
  return x.visit([&]<class F>(const tensor<F>& t) -> bound_node {
    using T = typename F::value_type;
    if constexpr (std::is_arithmetic_v<T> && !F::packed) {
      const auto compare = [&](std::size_t a, std::size_t b) {  // < 0, 0, > 0
        for (std::size_t o = 0; o < outer; ++o)
          for (std::size_t i = 0; i < inner; ++i) {
            const T p = t.data()[(o * count + a) * inner + i];
            const T q = t.data()[(o * count + b) * inner + i];
            if (p < q) return -1;
            if (q < p) return 1;
          }
        return 0;
      };
      std::vector<std::size_t> order(count);
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::stable_sort(order.begin(), order.end(),
                       [&](std::size_t a, std::size_t b) { return compare(a, b) < 0; });
      std::vector<std::size_t> first, of(count);  // by class
      std::vector<std::int64_t> counts;
      for (std::size_t i = 0; i < count; ++i) {
        if (i == 0 || compare(order[i - 1], order[i]) != 0) {
          first.push_back(order[i]);
          counts.push_back(0);
        }
        of[order[i]] = first.size() - 1;
        ++counts.back();
      }
      std::vector<std::size_t> ranked(first.size()), place(first.size());
      std::iota(ranked.begin(), ranked.end(), std::size_t{0});
      if (n.integer("sorted", 1) == 0)
        std::sort(ranked.begin(), ranked.end(),
                  [&](std::size_t a, std::size_t b) { return first[a] < first[b]; });
      for (std::size_t i = 0; i < ranked.size(); ++i) place[ranked[i]] = i;
      shape y = s;
      y[axis] = first.size();
      tensor<F> values(y);
      std::vector<std::int64_t> firsts, inverse, numbers;
      for (std::size_t k = 0; k < ranked.size(); ++k) {
        const std::size_t from = first[ranked[k]];
        for (std::size_t o = 0; o < outer; ++o)
          std::copy_n(t.data() + (o * count + from) * inner, inner,
                      values.data() + (o * ranked.size() + k) * inner);
        firsts.push_back(static_cast<std::int64_t>(from));
        numbers.push_back(counts[ranked[k]]);
      }
      for (std::size_t i = 0; i < count; ++i)
        inverse.push_back(static_cast<std::int64_t>(place[of[i]]));
      std::vector<any_tensor> all;
      all.push_back(std::move(values));
      for (const auto* list : {&firsts, &inverse, &numbers}) all.push_back(int64_list(*list));
      return known(std::move(all));
    } else {
      ctx.reject(cat("input of ", name(F::id), " is not supported"));
    }
  });
}

}  // namespace qtk::inline QTK_ABI::graph_ops
