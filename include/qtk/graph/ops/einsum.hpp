#pragma once

#include <cctype>
#include <map>
#include <string>
#include <vector>

#include "qtk/graph/ops/common.hpp"
#include "qtk/ops/broadcast.hpp"

namespace qtk::inline QTK_ABI::graph_ops {

/// An Einsum equation: the labels of each operand and of the result. An ellipsis becomes labels of
/// its own ('0' .. '7', the last dimension first), so that it broadcasts by the usual rule.
struct einsum_equation {
  std::vector<std::string> operands;
  std::string result;

  einsum_equation(const op_context& ctx) {  // NOLINT(google-explicit-constructor)
    const std::string where = ctx.node().label();
    std::string text;
    for (const char c : ctx.node().text("equation", ""))
      if (c != ' ') text += c;
    const std::size_t arrow = text.find("->");
    std::string left = text.substr(0, arrow);
    std::vector<std::string> terms(1);
    for (const char c : left)
      if (c == ',')
        terms.emplace_back();
      else
        terms.back() += c;
    QTK_CHECK(terms.size() == ctx.inputs(), where, terms.size(), " terms for ", ctx.inputs(),
              " operands");
    std::size_t widest = 0;
    for (std::size_t i = 0; i < terms.size(); ++i) {
      const std::size_t dots = terms[i].find("...");
      const std::size_t named = terms[i].size() - (dots == std::string::npos ? 0 : 3);
      const std::size_t rank = ctx.dims(i).rank();
      QTK_CHECK(dots == std::string::npos ? named == rank : named <= rank, where, "term '",
                terms[i], "' for ", ctx.dims(i));
      if (dots != std::string::npos) {
        widest = std::max(widest, rank - named);
        terms[i].replace(dots, 3, ellipsis(rank - named));
      }
      check(terms[i], where);
      operands.push_back(terms[i]);
    }
    if (arrow != std::string::npos) {
      result = text.substr(arrow + 2);
      if (const std::size_t dots = result.find("..."); dots != std::string::npos)
        result.replace(dots, 3, ellipsis(widest));
    } else {  // the ellipsis, then the labels that occur once, in alphabetical order
      std::map<char, int> count;
      for (const std::string& t : operands)
        for (const char c : t) ++count[c];
      result = ellipsis(widest);
      for (const auto& [label, times] : count)
        if (times == 1 && std::isalpha(static_cast<unsigned char>(label)) != 0) result += label;
    }
    check(result, where);
    for (std::size_t i = 0; i < result.size(); ++i)
      QTK_CHECK(result.find(result[i], i + 1) == std::string::npos, where, "label '", result[i],
                "' twice in the result");
  }

 private:
  static std::string ellipsis(std::size_t rank) {
    std::string labels;
    for (std::size_t i = rank; i-- > 0;) labels += static_cast<char>('0' + i);
    return labels;
  }
  static void check(const std::string& term, const std::string& where) {
    for (const char c : term)
      QTK_CHECK(std::isalnum(static_cast<unsigned char>(c)) != 0, where, "equation with '", term,
                "'");
  }
};

/// Sums of products over the labels that the result doesn't have.
inline bound_node bind_einsum(const op_context& ctx) {
  const einsum_equation equation(ctx);
  std::map<char, std::size_t> extent;
  for (std::size_t i = 0; i < ctx.inputs(); ++i) {
    QTK_CHECK(ctx.in(i).type == ctx.in(0).type, ctx.node().label(), "operands are ",
              name(ctx.in(0).type), " and ", name(ctx.in(i).type));
    for (std::size_t d = 0; d < ctx.dims(i).rank(); ++d) {
      const char label = equation.operands[i][d];
      auto [at, first] = extent.try_emplace(label, ctx.dims(i)[d]);
      if (at->second == 1) at->second = ctx.dims(i)[d];
      QTK_CHECK(at->second == ctx.dims(i)[d] || ctx.dims(i)[d] == 1, ctx.node().label(), "label '",
                label, "' is ", at->second, " and ", ctx.dims(i)[d]);
    }
  }
  // All labels as one shape: those of the result, then those that are summed.
  std::string order = equation.result;
  for (const auto& [label, size] : extent)
    if (order.find(label) == std::string::npos) order += label;
  QTK_CHECK(order.size() <= shape::max_rank, ctx.node().label(), order.size(),
            " labels are not supported, at most ", shape::max_rank);
  shape all, y;
  for (const char label : order) {
    QTK_CHECK(extent.contains(label), ctx.node().label(), "label '", label, "' has no operand");
    all.push_back(extent[label]);
  }
  for (std::size_t d = 0; d < equation.result.size(); ++d) y.push_back(all[d]);
  const std::size_t count = ctx.inputs();
  QTK_CHECK(count >= 1 && count <= 8, ctx.node().label(), count, " operands are not supported");
  std::array<strides, 8> steps{};
  for (std::size_t i = 0; i < count; ++i) {
    const strides own = row_major(ctx.dims(i));
    for (std::size_t d = 0; d < ctx.dims(i).rank(); ++d)
      if (ctx.dims(i)[d] != 1)  // a diagonal adds its strides
        steps[i][order.find(equation.operands[i][d])] += own[d];
  }
  const std::size_t summed = all.product(y.rank(), all.rank());
  bound_node b{.outputs = {{ctx.in(0).type, y}}, .run = {}};
  visit_format(ctx.in(0).type, [&]<class F>(F) {
    using T = typename F::value_type;
    if constexpr (std::is_arithmetic_v<T> && !F::packed) {
      b.run = [all, summed, count, steps, total = y.elements()](const node_buffers& io) {
        using S = std::conditional_t<std::is_floating_point_v<T>, double, std::uint64_t>;
        std::fill_n(io.out<T>(), total, T{});
        if (all.elements() == 0) return;
        const std::size_t n = all.cols(), last = all.rank() == 0 ? 0 : all.rank() - 1;
        const std::size_t rows = ceil_div(summed, all.rank() == 0 ? 1 : n);
        S sum{0};
        std::size_t row = 0, out = 0;
        for_each_row(all, steps, [&](const std::array<std::ptrdiff_t, 8>& at) {
          for (std::size_t i = 0; i < n; ++i) {
            S product{1};
            for (std::size_t k = 0; k < count; ++k)
              product *= static_cast<S>(
                  io.in<T>(k)[at[k] + static_cast<std::ptrdiff_t>(i) * steps[k][last]]);
            sum += product;
            if (summed == 1) {
              io.out<T>()[out++] = static_cast<T>(sum);
              sum = S{0};
            }
          }
          if (summed != 1 && ++row == rows) {
            io.out<T>()[out++] = static_cast<T>(sum);
            sum = S{0};
            row = 0;
          }
        });
      };
    } else {
      ctx.reject(cat("operands of ", name(F::id), " are not supported"));
    }
  });
  count_work(b, ctx, static_cast<double>(checked_mul(summed, count)));
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
