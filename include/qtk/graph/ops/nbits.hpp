#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "qtk/graph/ops/common.hpp"
#include "qtk/ops/linear.hpp"

/// MatMulNBits: y = A * dequantize(B)^T + bias, B in codes of 2, 4 or 8 bits in blocks along K.
namespace qtk::inline QTK_ABI::graph_ops {

/// The weights of a MatMulNBits: inputs B (N, blocks, bytes of a block), scales (N * blocks), zero
/// points (packed like B, or numbers like the scales), group indices (K), bias (N).
struct nbits_weights {
  std::size_t K, N, bits, block, blocks, blob;
  bool real_zeros, packed_zeros, indexed;
  std::string label;

  explicit nbits_weights(const op_context& ctx) : label(ctx.node().label()) {
    const node& n = ctx.node();
    const auto positive = [&](const char* key, std::int64_t fallback) {
      const std::int64_t v = n.integer(key, fallback);
      QTK_CHECK(v > 0 && v <= std::int64_t{1} << 40, label, key, " = ", v);
      return static_cast<std::size_t>(v);
    };
    K = positive("K", 0);
    N = positive("N", 0);
    bits = positive("bits", 4);
    block = positive("block_size", 32);
    QTK_CHECK(bits == 2 || bits == 4 || bits == 8, label, "weights of ", bits,
              " bits are not supported");
    blocks = ceil_div(K, block);
    blob = ceil_div(checked_mul(block, bits), 8);
    ctx.expect(1, dtype::uint8);
    ctx.expect(2, dtype::fp32);
    QTK_CHECK(
        ctx.dims(1) == shape({N, blocks, blob}) && ctx.dims(2).elements() == checked_mul(N, blocks),
        label, "weights ", ctx.dims(1), ", scales ", ctx.dims(2), " for N = ", N, ", K = ", K,
        " in blocks of ", block);
    real_zeros = ctx.has(3) && ctx.in(3).type == dtype::fp32;
    packed_zeros = ctx.has(3) && !real_zeros;
    if (packed_zeros) ctx.expect(3, dtype::uint8);
    QTK_CHECK(
        !ctx.has(3) || ctx.dims(3).elements() == checked_mul(N, real_zeros ? blocks : zero_bytes()),
        label, "zero points ", ctx.has(3) ? ctx.dims(3) : shape{});
    indexed = ctx.has(4);
    if (indexed) {
      ctx.expect(4, dtype::int32);
      QTK_CHECK(ctx.dims(4).elements() >= K, label, "g_idx ", ctx.dims(4), " for K = ", K);
    }
    if (ctx.has(5)) {
      ctx.expect(5, dtype::fp32);
      QTK_CHECK(ctx.dims(5).elements() == N, label, "bias ", ctx.dims(5), " for N = ", N);
    }
  }

  /// Bytes of the packed zero points of one column of y.
  [[nodiscard]] std::size_t zero_bytes() const noexcept { return ceil_div(blocks * bits, 8); }
  /// Code i of a run of them, the first in the low bits.
  [[nodiscard]] std::int32_t code(const std::byte* from, std::size_t i) const noexcept {
    const std::size_t bit = i * bits;
    return (std::to_integer<std::int32_t>(from[bit / 8]) >> (bit % 8)) & ((1 << bits) - 1);
  }
  [[nodiscard]] std::int32_t zero(const std::byte* zeros, std::size_t n, std::size_t g) const {
    return zeros == nullptr ? 1 << (bits - 1) : code(zeros + n * zero_bytes(), g);
  }

  /// As a kernel takes them: codes with their scales, or where a kernel has no such zero points or
  /// blocks, fp32.
  [[nodiscard]] packed_weights pack(isa target, const std::byte* codes, const float* scales,
                                    const std::byte* zeros, const std::int32_t* index) const {
    if (real_zeros || indexed) return pack_real(target, codes, scales, zeros, index);
    return bits == 8 ? pack_codes<int8>(target, codes, scales, zeros, 128)
                     : pack_codes<uint4>(target, codes, scales, zeros, 0);
  }

 private:
  template <class F>
  [[nodiscard]] packed_weights pack_codes(isa target, const std::byte* codes, const float* scales,
                                          const std::byte* zeros, std::int32_t shift) const {
    quantization q{.block = {1, std::min(block, K)},
                   .scales = {scales, scales + N * blocks},
                   .zero_points = {}};
    tensor<F> w({N, K});
    const tensor_view<F> view = w.view();
    for (std::size_t n = 0; n < N; ++n)
      for (std::size_t g = 0; g < blocks; ++g) {
        const std::byte* const run = codes + (n * blocks + g) * blob;
        q.zero_points.push_back(zero(zeros, n, g) - shift);
        for (std::size_t k = g * block; k < std::min(K, (g + 1) * block); ++k)
          view.set(n, k, static_cast<typename F::value_type>(code(run, k - g * block) - shift));
      }
    w.set_quantization(std::move(q));
    return packed_weights(w, compute::real, target);
  }

  [[nodiscard]] packed_weights pack_real(isa target, const std::byte* codes, const float* scales,
                                         const std::byte* zeros, const std::int32_t* index) const {
    const auto* const real = reinterpret_cast<const float*>(zeros);
    tensor<fp32> w({N, K});
    for (std::size_t n = 0; n < N; ++n)
      for (std::size_t k = 0; k < K; ++k) {
        std::size_t g = k / block;
        const auto c = code(codes + (n * blocks + g) * blob, k % block);
        if (indexed) {
          QTK_CHECK(index[k] >= 0 && static_cast<std::size_t>(index[k]) < blocks, label, "group ",
                    index[k], " of ", blocks);
          g = static_cast<std::size_t>(index[k]);
        }
        const float z = real_zeros ? real[n * blocks + g] : static_cast<float>(zero(zeros, n, g));
        w.data()[n * K + k] = (static_cast<float>(c) - z) * scales[n * blocks + g];
      }
    return packed_weights(w, compute::real, target);
  }
};

/// Activations stay fp32 whatever accuracy_level allows. Weights are packed here: those that are
/// fixed once, others at each binding.
inline bound_node bind_matmul_nbits(const op_context& ctx) {
  ctx.expect(0, dtype::fp32);
  const node& n = ctx.node();
  const nbits_weights w(ctx);
  shape y = ctx.dims(0);
  QTK_CHECK(y.rank() >= 1 && y.back() == w.K, n.label(), "input ", y, " for K = ", w.K);
  y[y.rank() - 1] = w.N;
  bound_node b{.outputs = {{dtype::fp32, y}}, .run = {}};
  count_work(b, ctx, 2.0 * static_cast<double>(w.K));
  if (ctx.types_only()) return b;
  const std::size_t M = y.rows();
  const auto pack = [&] {
    const auto bytes = [&](std::size_t i) { return ctx.has(i) ? ctx.value(i).data() : nullptr; };
    return linear(w.pack(ctx.target(), bytes(1), ctx.value(2).as<fp32>().data(), bytes(3),
                         reinterpret_cast<const std::int32_t*>(bytes(4))));
  };
  bool fixed = true;
  std::string name = n.op;
  for (std::size_t i = 1; i < std::min<std::size_t>(n.inputs.size(), 5); ++i) {
    fixed = fixed && (!ctx.has(i) || ctx.fixed(i));
    name += cat("\n", n.inputs[i]);
  }
  const auto layer = fixed ? ctx.once<linear>(cat(name, "\n", w.bits, " ", w.block, " ", w.K), pack)
                           : std::make_shared<const linear>(pack());
  b.run = [layer, M, K = w.K, N = w.N](const node_buffers& io) {
    layer->run(M, io.in<float>(0), K, io.out<float>(), N, {.bias = io.in<float>(5)}, io.workspace,
               io.executor);
  };
  b.workspace_bytes = layer->workspace_bytes(M, ctx.concurrency());
  b.packed = layer;
  b.packed_bytes = layer->weights().size_bytes();
  b.kernel = cat(layer->weights().kernel().name);
  return b;
}

}  // namespace qtk::inline QTK_ABI::graph_ops
