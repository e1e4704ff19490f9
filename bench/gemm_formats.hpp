#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <qtk/core/tensor.hpp>
#include <qtk/core/thread_pool.hpp>
#include <qtk/kernels/probe.hpp>
#include <qtk/ops/linear.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

/// The matrix products that are timed: formats as rows of one table, random operands for them, and
/// the product itself. C (M, N) = A (M, K) * W (N, K)^T.
namespace bench {

using namespace qtk;

struct gemm_shape {
  std::size_t M, N, K;
  [[nodiscard]] double operations() const { return 2.0 * static_cast<double>(M * N * K); }
};

[[nodiscard]] inline std::string name_of(gemm_shape s) { return cat(s.M, " x ", s.N, " x ", s.K); }

/// "M,N,K;M,N,K", each size from 1 to a million and each matrix up to 2^31 elements;
/// qtk::error otherwise, which begins with `where`.
[[nodiscard]] inline std::vector<gemm_shape> parse_shapes(std::string_view text,
                                                          const char* where) {
  std::vector<gemm_shape> shapes;
  const char *at = text.data(), *const end = at + text.size();
  const auto size = [&](char after) {
    std::size_t v = 0;
    const auto [stop, bad] = std::from_chars(at, end, v);
    const bool ends = stop == end ? after == ';' : *stop == after;
    QTK_CHECK(bad == std::errc{} && ends, where, "'", text, "' is not of the form M,N,K;M,N,K");
    QTK_CHECK(v >= 1 && v <= 1000000, where, v, " is not within 1 and 1000000");
    at = stop == end ? stop : stop + 1;
    return v;
  };
  do {
    const std::size_t M = size(','), N = size(','), K = size(';');
    QTK_CHECK(std::max({M * N, M * K, N * K}) <= std::size_t{1} << 31, where, name_of({M, N, K}),
              " has a matrix of more than 2^31 elements");
    shapes.push_back({M, N, K});
  } while (at != end);
  return shapes;
}

/// Random storage units, drawn once and copied from random offsets: weights of gigabytes differ
/// from each other and cost no more than a memcpy. Codes follow a bell curve over the whole range
/// of int8 (sigma 32, cut at +-127) as trained weights do: uniform ones, or few small values, would
/// saturate less and draw less power.
template <class F>
[[nodiscard]] tensor<F> random_weights(std::size_t N, std::size_t K, std::size_t group,
                                       std::uint32_t seed) {
  using storage = typename F::storage_type;
  constexpr std::size_t pool_size = 1 << 18, run = 4096;
  static const std::vector<storage> pool = [] {
    std::mt19937 random(1);
    std::normal_distribution<float> bell(0.0f, 32.0f);
    const auto code = [&] { return std::clamp(std::nearbyint(bell(random)), -127.0f, 127.0f); };
    std::vector<storage> p(pool_size + run);
    for (storage& x : p) {
      const float c = code();
      if constexpr (std::same_as<F, fp32>)
        x = 0.001f * c;
      else if constexpr (std::same_as<F, fp16>)
        x = to_half(0.001f * c);
      else if constexpr (std::same_as<F, bf16>)
        x = to_bfloat16(0.001f * c);
      else if constexpr (std::same_as<F, int8>)
        x = static_cast<std::int8_t>(c);
      else  // two codes of four bits: the upper halves of two of eight
        x = static_cast<storage>((static_cast<int>(c) & 0xf0) |
                                 ((static_cast<int>(code()) >> 4) & 0x0f));
    }
    return p;
  }();

  tensor<F> w({N, K});
  std::mt19937 random(seed);
  const auto units = w.span();
  for (std::size_t i = 0; i < units.size(); i += run)
    std::memcpy(&units[i], &pool[random() % pool_size],
                std::min(run, units.size() - i) * sizeof(storage));
  if constexpr (F::quantized) {
    if (F::packed && K % F::per_unit != 0)  // a row ends in zeros
      for (std::size_t n = 0; n < N; ++n) w.view().row(n)[K / F::per_unit] &= 0x0f;
    const std::size_t size = group == 0 ? K : std::min(group, K);
    w.set_quantization({{1, size}, std::vector<float>(N * ceil_div(K, size), 0.001f), {}});
  }
  return w;
}

/// Weights of format F in groups of `Group` along K (0: per channel), packed; another seed, other
/// weights.
template <class F, compute How, std::size_t Group = 0>
[[nodiscard]] packed_weights random_packed(std::size_t N, std::size_t K, std::uint32_t seed) {
  return packed_weights(random_weights<F>(N, K, Group, seed), How);
}

enum class activations : std::uint8_t {
  real,   // fp32 in; where the product is one of integers, quantized inside of the time
  codes,  // already quantized
};

/// The product of another library that is the same work.
enum class peer_product : std::uint8_t { none, fp32, bf16, int8 };

struct gemm_format {
  const char* name;
  packed_weights (*pack)(std::size_t N, std::size_t K, std::uint32_t seed);
  activations input;
  double profile::peaks::*peak;  // of the instructions that it is made of
  peer_product peer = peer_product::none;
};

/// A new format is a new line.
inline constexpr std::array gemm_formats{
    gemm_format{"fp32", random_packed<fp32, compute::real>, activations::real,
                &profile::peaks::fp32_gflops, peer_product::fp32},
    gemm_format{"fp16w", random_packed<fp16, compute::real>, activations::real,
                &profile::peaks::fp32_gflops},
    gemm_format{"bf16w", random_packed<bf16, compute::real>, activations::real,
                &profile::peaks::fp32_gflops},
    gemm_format{"bf16", random_packed<bf16, compute::bf16>, activations::real,
                &profile::peaks::bf16_gflops, peer_product::bf16},
    gemm_format{"int8", random_packed<int8, compute::integer>, activations::codes,
                &profile::peaks::int8_gops, peer_product::int8},
    gemm_format{"int8-dynamic", random_packed<int8, compute::integer>, activations::real,
                &profile::peaks::int8_gops},
    gemm_format{"int8w", random_packed<int8, compute::real>, activations::real,
                &profile::peaks::fp32_gflops},
    gemm_format{"int4-g32", random_packed<int4, compute::integer, 32>, activations::codes,
                &profile::peaks::int8_gops},
    gemm_format{"int4-g32-dynamic", random_packed<int4, compute::integer, 32>, activations::real,
                &profile::peaks::int8_gops},
    gemm_format{"int4-channel", random_packed<int4, compute::integer>, activations::codes,
                &profile::peaks::int8_gops},
    gemm_format{"int4w-g32", random_packed<int4, compute::real, 32>, activations::real,
                &profile::peaks::fp32_gflops},
};

/// With few rows weights are read once a call, from memory where a model is larger than the caches:
/// rotate over copies that no last-level cache holds, all of other content, as equal ones may be
/// merged by whoever stores them. (Below 128 KiB a copy, 2048 of them are less than that.)
[[nodiscard]] inline std::size_t copies_for(std::size_t M, std::size_t size_bytes) {
  constexpr std::size_t enough = std::size_t{256} << 20;
  return M > 32 || size_bytes == 0 ? 1 : std::min<std::size_t>(2048, ceil_div(enough, size_bytes));
}

/// Uniform random activations.
[[nodiscard]] inline std::vector<float> random_floats(std::size_t count) {
  std::mt19937 random(2);
  std::uniform_real_distribution<float> pick(-1.0f, 1.0f);
  std::vector<float> x(count);
  for (float& v : x) v = pick(random);
  return x;
}
/// Codes for kernels of uint8 and, seen as int8, of symmetric codes: any byte but that of -128.
[[nodiscard]] inline std::vector<std::uint8_t> random_codes(std::size_t count) {
  std::mt19937 random(3);
  std::vector<std::uint8_t> x(count);
  for (std::uint8_t& v : x) v = static_cast<std::uint8_t>(129 + random() % 255);
  return x;
}

/// qtk's product of one format and shape: each call takes the next copy of the weights.
class qtk_product {
 public:
  qtk_product(const gemm_format& f, gemm_shape s, executor_ref executor = {})
      : shape_(s),
        input_(f.input),
        executor_(executor),
        x_(random_floats(f.input == activations::real ? s.M * s.K : 0)),
        codes_(random_codes(f.input == activations::codes ? s.M * s.K : 0)),
        scales_(s.M, 0.01f),
        zero_points_(s.M, 127),
        y_(s.M * s.N) {
    copies_.emplace_back(f.pack(s.N, s.K, 0));
    const std::size_t count = copies_for(s.M, weight_bytes());
    for (std::uint32_t i = 1; i < count; ++i) copies_.emplace_back(f.pack(s.N, s.K, i));
    workspace_ =
        buffer(input_ == activations::real ? copies_[0].workspace_bytes(s.M, executor.concurrency())
                                           : executor.concurrency() * task_bytes());
  }

  void operator()() {
    const linear& layer = copies_[next_];
    next_ = (next_ + 1) % copies_.size();
    if (input_ == activations::real)
      layer.run(shape_.M, x_.data(), shape_.K, y_.data(), shape_.N, {}, workspace_.data(),
                executor_);
    else
      run_codes(layer.weights());
    profile::do_not_optimize(y_.data());
  }

  const gemm_kernel& kernel() const { return copies_[0].weights().kernel(); }
  std::size_t weight_bytes() const { return copies_[0].weights().size_bytes(); }

 private:
  std::size_t task_bytes() const {
    const packed_weights& w = copies_[0].weights();
    return round_up(w.kernel().workspace_bytes(shape_.M, w.N(), w.K(), w.group_size()),
                    buffer_alignment);
  }

  /// As qtk::linear shares the work out, without the quantization that it would do first.
  void run_codes(const packed_weights& w) {
    const gemm_kernel& k = w.kernel();
    gemm_args args{.M = shape_.M,
                   .N = shape_.N,
                   .K = shape_.K,
                   .m_end = shape_.M,
                   .n_end = shape_.N,
                   .a = codes_.data(),
                   .lda = shape_.K,
                   .a_scales = scales_.data(),
                   .b = w.data(),
                   .c = y_.data(),
                   .c_row_stride = shape_.N};
    if (k.op == gemm_op::u8_s8) args.a_zero_points = zero_points_.data();
    const product_shares shares(k, shape_.M, shape_.N, executor_.concurrency());
    executor_(shares.tasks(), [&](std::size_t task) {
      gemm_args part = args;
      shares.take(task, part);
      part.workspace = workspace_.data() + task * task_bytes();
      k.run(part);
    });
  }

  gemm_shape shape_;
  activations input_;
  executor_ref executor_;
  std::vector<linear> copies_;
  std::size_t next_ = 0;
  std::vector<float> x_;                   // (M, K)
  std::vector<std::uint8_t> codes_;        // (M, K)
  std::vector<float> scales_;              // (M)
  std::vector<std::int32_t> zero_points_;  // (M)
  std::vector<float> y_;                   // (M, N)
  buffer workspace_;
};

/// Read-only passes over 512 MiB, much more than caches hold: each call reads the next 16 MiB, each
/// thread a part of its own, so that a turn is no longer than that of a product.
class read_pass {
 public:
  explicit read_pass(isa target, executor_ref executor)
      : read_(find_probe(target).read),
        executor_(executor),
        part_(slice / executor.concurrency() / 64 * 64) {}
  void operator()() {
    const std::byte* from = memory_.data() + next_;
    next_ = (next_ + slice) % size;
    executor_(executor_.concurrency(),
              [&](std::size_t i) { profile::do_not_optimize(read_(from + i * part_, part_)); });
  }
  std::size_t bytes_of_call() const { return part_ * executor_.concurrency(); }

 private:
  static constexpr std::size_t size = std::size_t{512} << 20, slice = std::size_t{16} << 20;
  buffer memory_{size};
  decltype(probe_kernels::read) read_;
  executor_ref executor_;
  std::size_t part_, next_ = 0;
};

/// Threads and roofs of this machine, made when first asked for.
class machine {
 public:
  executor_ref on(std::size_t threads) {
    if (threads == 1) return {};
    auto& pool = pools_[threads];
    if (pool == nullptr) pool = std::make_unique<thread_pool>(threads);
    return *pool;
  }
  /// Register-only peaks of that ISA's instructions.
  const profile::peaks& roof(isa target, std::size_t threads) {
    const auto found = roofs_.find({target, threads});
    if (found != roofs_.end()) return found->second;
    return roofs_.emplace(std::pair{target, threads}, measure_peaks(target, on(threads)))
        .first->second;
  }

 private:
  std::map<std::size_t, std::unique_ptr<thread_pool>> pools_;
  std::map<std::pair<isa, std::size_t>, profile::peaks> roofs_;
};

}  // namespace bench
