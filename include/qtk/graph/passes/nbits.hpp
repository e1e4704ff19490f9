#pragma once

#include <bit>
#include <optional>
#include <string>
#include <utility>

#include "qtk/graph/passes/fold.hpp"
#include "qtk/graph/passes/lower.hpp"

/// MatMulNBits of Microsoft's operators, y = x * w^T for w (N, K) of 4 bits in blocks along K: the
/// form in which ONNX Runtime keeps such weights packed.
///   B       (N, K / block, block / 2) bytes, two codes each, the first low; K filled up
///   scales  (N * K / block)
///   zero    points (N, (K / block + 1) / 2) bytes likewise; absent: 8
namespace qtk::inline QTK_ABI::passes {

/// MatMul nodes whose weights are DequantizeLinear of int4 in blocks of 16, 32, ... along K become
/// MatMulNBits: of a model in ONNX's operators (onnx::to_standard). Others stay. MatMulNBits is not
/// of ONNX: fewer runtimes read it.
[[nodiscard]] inline model use_matmul_nbits(model m) {
  const value_uses uses(m);
  value_names names(m);
  bool any = false;
  for (node& n : m.nodes) {
    const auto maker = n.is("MatMul") && n.has_input(1) ? uses.maker(n.inputs[1]) : std::nullopt;
    if (!maker || !m.nodes[*maker].is("DequantizeLinear")) continue;
    const node& real = m.nodes[*maker];
    const std::int64_t size = real.integer("block_size", 0);
    const any_tensor* w = m.find_weight(real.inputs[0]);
    const any_tensor* scale = m.find_weight(real.inputs[1]);
    const any_tensor* zero = real.has_input(2) ? m.find_weight(real.inputs[2]) : nullptr;
    if (size < 16 || !std::has_single_bit(static_cast<std::uint64_t>(size)) ||
        real.integer("axis", 1) != 0 || w == nullptr || !w->is<int4>() || w->shape().rank() != 2 ||
        scale == nullptr || !scale->is<fp32>() || (real.has_input(2) && zero == nullptr))
      continue;
    const tensor<int4>& codes = w->as<int4>();
    const std::size_t K = codes.shape()[0], N = codes.shape()[1];
    const auto block = static_cast<std::size_t>(size), blocks = ceil_div(K, block);
    tensor<uint8> packed({N, blocks, block / 2});
    tensor<fp32> scales({N * blocks});
    tensor<uint8> zeros({N * ceil_div(blocks, 2)});
    for (std::size_t o = 0; o < N; ++o) {
      std::uint8_t* row = packed.data() + o * blocks * block / 2;
      for (std::size_t k = 0; k < K; ++k) nibble::store(row, k, codes.at(k, o) + 8);
      for (std::size_t b = 0; b < blocks; ++b) {
        scales.data()[o * blocks + b] = scale->as<fp32>().data()[b * N + o];
        const int z = zero == nullptr ? 0 : zero->as<int4>().at(b, o);
        nibble::store(zeros.data() + o * ceil_div(blocks, 2), b, z + 8);
      }
    }
    const std::string base = real.inputs[0];
    n.op = "MatMulNBits";
    n.domain = microsoft_domain;
    n.inputs = {n.inputs[0], names.fresh(base + ":packed"), names.fresh(base + ":scales")};
    m.set_weight(n.inputs[1], std::move(packed));
    m.set_weight(n.inputs[2], std::move(scales));
    if (zero != nullptr) {
      n.inputs.push_back(names.fresh(base + ":zero_points"));
      m.set_weight(n.inputs[3], std::move(zeros));
    }
    n.attributes = {{"K", static_cast<std::int64_t>(K)},
                    {"N", static_cast<std::int64_t>(N)},
                    {"bits", std::int64_t{4}},
                    {"block_size", size}};
    any = true;
  }
  if (any) m.opsets[std::string(microsoft_domain)] = 1;
  return remove_dead(std::move(m));
}

/// The weights (K, N) of a MatMulNBits of 4 bits; nothing where they are not known, are of other
/// sizes than the node says, or go by g_idx.
[[nodiscard]] inline std::optional<tensor<int4>> nbits_weights(const model& m, const node& n) {
  const auto constant = [&](std::size_t i) {
    return n.has_input(i) ? m.find_weight(n.inputs[i]) : nullptr;
  };
  const std::int64_t k_given = n.integer("K", 0), n_given = n.integer("N", 0),
                     size = n.integer("block_size", 0);
  constexpr std::int64_t most = std::int64_t{1} << 31;
  if (n.integer("bits", 4) != 4 || n.has_input(4) || k_given <= 0 || n_given <= 0 || size < 16 ||
      size % 2 != 0 || k_given > most || n_given > most || size > most)
    return std::nullopt;
  const auto K = static_cast<std::size_t>(k_given), N = static_cast<std::size_t>(n_given),
             block = static_cast<std::size_t>(size), blocks = ceil_div(K, block);
  const any_tensor *packed = constant(1), *scales = constant(2), *zeros = constant(3);
  const std::size_t zero_row = ceil_div(blocks, 2);
  const auto holds = [](const any_tensor* t, std::size_t count) {
    return t != nullptr && t->shape().elements() == count;
  };
  if (!holds(packed, checked_mul(checked_mul(N, blocks), block / 2)) || !packed->is<uint8>() ||
      !holds(scales, N * blocks) || !scales->is<fp32>() ||
      (n.has_input(3) && (!holds(zeros, N * zero_row) || !zeros->is<uint8>())))
    return std::nullopt;
  tensor<int4> w({N, K});
  quantization q{.block = {1, std::min(block, K)}, .scales = {}, .zero_points = {}};
  const tensor_view<int4> to = w;
  for (std::size_t o = 0; o < N; ++o) {
    const std::uint8_t* row = packed->as<uint8>().data() + o * blocks * (block / 2);
    for (std::size_t k = 0; k < K; ++k)
      to.set(o, k, static_cast<std::int8_t>(nibble::raw(row, k) - 8));
    for (std::size_t b = 0; b < blocks; ++b) {
      q.scales.push_back(scales->as<fp32>().data()[o * blocks + b]);
      if (zeros != nullptr)
        q.zero_points.push_back(nibble::raw(zeros->as<uint8>().data() + o * zero_row, b) - 8);
    }
  }
  w.set_quantization(std::move(q));
  return transposed(w);
}

/// MatMulNBits with known weights becomes MatMul by them, in their 4 bits, and Add of the bias:
/// what lower_layers makes a layer of.
inline model lower_matmul_nbits(model m) {
  value_names names(m);
  std::vector<node> nodes;
  for (node& n : m.nodes) {
    auto w = n.is("MatMulNBits", microsoft_domain) ? nbits_weights(m, n) : std::nullopt;
    if (!w) {
      nodes.push_back(std::move(n));
      continue;
    }
    const std::string weights = names.fresh(n.inputs[1] + ":stored");
    const std::string bias = n.has_input(5) ? n.inputs[5] : "", y = n.outputs[0];
    m.set_weight(weights, std::move(*w));
    node& product = nodes.emplace_back();
    product.op = "MatMul";
    product.name = n.name;
    product.inputs = {n.inputs[0], weights};
    product.outputs = {bias.empty() ? y : names.fresh(y + ":product")};
    if (bias.empty()) continue;
    const std::string sum = product.outputs[0];
    node& add = nodes.emplace_back();
    add.op = "Add";
    add.name = n.name;
    add.inputs = {sum, bias};
    add.outputs = {y};
  }
  m.nodes = std::move(nodes);
  return m;
}

}  // namespace qtk::inline QTK_ABI::passes
