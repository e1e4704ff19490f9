#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <qtk/kernels/conv.hpp>
#include <qtk/kernels/elementwise.hpp>
#include <qtk/kernels/reference.hpp>
#include <random>
#include <vector>

#include "options.hpp"

/// Every kernel on every ISA that this CPU reaches, against the reference. For a user who suspects
/// a CPU, a compiler or a build: wrong kernels on one ISA are a bug class of this field.
namespace qtk_cli {
namespace {

using qtk::gemm_op;

struct problem {
  std::size_t M, N, K, group;
};

/// Random operands of one product, with codes at both extremes in between.
struct operands {
  std::vector<std::uint8_t> a8;
  std::vector<float> a32, w_scales, a_scales, bias, residual;
  std::vector<std::byte> w;
  std::vector<std::int32_t> w_zeros, a_zeros;

  operands(gemm_op op, const problem& p, std::mt19937& random) {
    const auto real = [&] { return static_cast<float>(random() >> 8) * 0x1p-23f - 1.0f; };
    const auto code = [&] {
      return random() % 4 == 0 ? (random() % 2 == 0 ? 0x80u : 0x7fu) : random() % 256;
    };
    const std::size_t groups = p.K == 0 ? 0 : qtk::ceil_div(p.K, p.group);
    for (std::size_t i = 0; i < p.M * p.K; ++i) {
      a32.push_back(real());
      a8.push_back(
          static_cast<std::uint8_t>(op == gemm_op::u8_s8 && random() % 4 == 0 ? 255 : code()));
    }
    const std::size_t count = p.N * qtk::round_up(p.K, 2);
    switch (op) {
      case gemm_op::f32_f32:
        w.resize(count * 4);
        for (std::size_t i = 0; i < count; ++i) qtk::store_unaligned(w.data() + 4 * i, real());
        break;
      case gemm_op::f32_f16:
      case gemm_op::f32_bf16:
      case gemm_op::bf16_bf16:
        w.resize(count * 2);
        for (std::size_t i = 0; i < count; ++i)
          qtk::store_unaligned(w.data() + 2 * i, op == gemm_op::f32_f16
                                                     ? qtk::to_half(real()).bits
                                                     : qtk::to_bfloat16(real()).bits);
        break;
      default:
        w.resize(count);
        for (std::byte& b : w) b = static_cast<std::byte>(code());
    }
    for (std::size_t i = 0; i < p.N * groups; ++i) {
      w_scales.push_back(0.001f + std::fabs(real()));
      w_zeros.push_back(static_cast<std::int32_t>(random() % 16) - 8);
    }
    for (std::size_t m = 0; m < p.M; ++m) {
      a_scales.push_back(0.001f + std::fabs(real()));
      a_zeros.push_back(m % 3 == 0   ? 0
                        : m % 3 == 1 ? 255
                                     : static_cast<std::int32_t>(random() % 256));
    }
    for (std::size_t n = 0; n < p.N; ++n) bias.push_back(real());
    for (std::size_t i = 0; i < p.M * p.N; ++i) residual.push_back(real());
  }
};

/// Largest error of a kernel in units of what its formula allows; integers must be equal.
double check_product(const qtk::gemm_kernel& kernel, const problem& p, std::mt19937& random) {
  const gemm_op op = kernel.op;
  operands o(op, p, random);
  const bool four_bits =
      op == gemm_op::f32_s4 || op == gemm_op::s8_s4_channel || op == gemm_op::s8_s4;
  const bool codes = four_bits || op == gemm_op::f32_s8 || op == gemm_op::u8_s8;
  const bool grouped = op == gemm_op::f32_s4 || op == gemm_op::s8_s4 || op == gemm_op::f32_s8;
  const std::size_t group = grouped ? p.group : p.K;
  const qtk::gemm_weights w{
      .N = p.N,
      .K = p.K,
      .data = o.w.data(),
      .row_stride = qtk::round_up(p.K, 2),
      .group_size = group,
      .scales = codes ? o.w_scales.data() : nullptr,
      .zero_points = codes && op != gemm_op::u8_s8 ? o.w_zeros.data() : nullptr};
  const qtk::buffer packed(kernel.packed_bytes(p.N, p.K, group));
  kernel.pack(w, const_cast<std::byte*>(packed.data()));
  qtk::buffer workspace(kernel.workspace_bytes(p.M, p.N, p.K, group));
  std::vector<float> c(p.M * p.N);
  qtk::gemm_args args{.M = p.M, .N = p.N, .K = p.K, .m_end = p.M, .n_end = p.N};
  const bool integer = qtk::is_integer(op);
  args.a = integer ? static_cast<const void*>(o.a8.data()) : o.a32.data();
  args.lda = p.K;
  args.a_scales = integer ? o.a_scales.data() : nullptr;
  args.a_zero_points = op == gemm_op::u8_s8 ? o.a_zeros.data() : nullptr;
  args.b = packed.data();
  args.c = c.data();
  args.c_row_stride = p.N;
  args.out = {.bias = o.bias.data(), .residual = o.residual.data(), .act = qtk::activation::relu};
  args.workspace = workspace.data();
  kernel.run(args);
  double worst = 0.0;
  for (std::size_t m = 0; m < p.M; ++m)
    for (std::size_t n = 0; n < p.N; ++n) {
      const auto e = qtk::reference::product(op, w, args, m, n);
      const double split = kernel.splits ? qtk::reference::split_magnitude(op, w, args, m, n) : 0.0;
      const double bound =
          (static_cast<double>(p.K) + 8.0) * 0x1p-23 * e.magnitude + 0x1p-22 * split + 1e-30;
      const double off = std::fabs(static_cast<double>(c[m * p.N + n]) - e.value) / bound;
      worst = off <= worst ? worst : off;  // NaN counts
    }
  if (op == gemm_op::u8_s8 || op == gemm_op::s8_s4_channel) {
    std::vector<std::int32_t> exact(p.M * p.N);
    args.c_int = exact.data();
    kernel.run(args);
    for (std::size_t m = 0; m < p.M; ++m)
      for (std::size_t n = 0; n < p.N; ++n)
        if (exact[m * p.N + n] != qtk::reference::integer_product(op, w, args, m, n))
          return std::numeric_limits<double>::infinity();
  }
  return worst;
}

/// The same for a convolution of O filters with K taps, on 11 x 5 pixels; the taps lie anywhere in
/// the image.
double check_convolution(const qtk::conv_kernel& kernel, std::size_t O, std::size_t K,
                         std::size_t group, std::mt19937& random) {
  constexpr std::size_t width = 11, row_step = 13, pixels = 55, reach = 40;
  constexpr std::size_t size = 4 * row_step + width - 1 + reach;
  const bool integer = kernel.op == qtk::conv_op::int8;
  operands x(gemm_op::u8_s8, {1, 1, size, size}, random);
  const operands w(gemm_op::u8_s8, {O, pixels, K, K}, random);  // a32, a8: weights
  std::vector<float> scales(O * qtk::ceil_div(K, group), 0.01f);
  for (float& s : scales) s += static_cast<float>(random() >> 8) * 0x1p-24f;
  const qtk::k_layout k_of(K, integer ? group : K, kernel.kr);
  std::vector<std::size_t> offsets(k_of.packed_k);
  for (std::size_t k = 0; k < K; ++k) offsets[k_of.position(k)] = random() % reach;
  const qtk::conv_filters filters{
      .O = O,
      .K = K,
      .data = integer ? static_cast<const void*>(w.a8.data()) : w.a32.data(),
      .group_size = k_of.group_size,
      .scales = integer ? scales.data() : nullptr};
  qtk::buffer packed(kernel.packed_bytes(O, K, k_of.group_size));
  kernel.pack(filters, packed.data());
  qtk::buffer workspace(kernel.workspace_bytes(O, K, k_of.group_size, pixels));
  std::vector<float> y(O * pixels);
  qtk::conv_args args{.pixel_end = pixels,
                      .out_width = width,
                      .row_step = row_step,
                      .image = integer ? static_cast<const void*>(x.a8.data()) : x.a32.data(),
                      .image_size = size,
                      .offsets = offsets.data(),
                      .image_scale = 0.02f,
                      .image_zero_point = x.a_zeros[0],
                      .filters = packed.data(),
                      .y = y.data(),
                      .y_stride = pixels,
                      .out = {.bias = w.a_scales.data(),
                              .residual = w.residual.data(),
                              .act = qtk::activation::relu},
                      .workspace = workspace.data()};
  const auto shift_codes = [&](int by) {
    for (std::uint8_t& c : x.a8) c = static_cast<std::uint8_t>(c + by);
    args.image_zero_point += by;
  };
  if (kernel.signed_image) shift_codes(-128);
  kernel.run(args);
  if (kernel.signed_image) shift_codes(128);  // as the reference reads them
  double worst = 0.0;
  for (std::size_t o = 0; o < O; ++o)
    for (std::size_t p = 0; p < pixels; ++p) {
      const auto e = qtk::reference::convolution(kernel.op, filters, args, k_of, o, p);
      const double bound = (static_cast<double>(K) + 8.0) * 0x1p-23 * e.magnitude + 1e-30;
      const double off = std::fabs(static_cast<double>(y[o * pixels + p]) - e.value) / bound;
      worst = off <= worst ? worst : off;
    }
  return worst;
}

/// Elements of quantize_u8 / quantize_s8 that differ from quantize_code.
std::size_t check_codes(const qtk::elementwise_kernels& k, std::mt19937& random) {
  std::vector<float> x;
  for (int i = 0; i < 5000; ++i)
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  for (int i = -600; i <= 600; ++i) x.push_back(static_cast<float>(i) * 0.25f);
  std::size_t wrong = 0;
  for (const auto& [scale, zero] : {std::pair{0.5f, 0}, {1.0f, 128}, {0.0173f, 255}}) {
    std::vector<std::uint8_t> u(x.size());
    std::vector<std::int8_t> s(x.size());
    k.quantize_u8(x.size(), x.data(), scale, zero, u.data());
    k.quantize_s8(x.size(), x.data(), scale, 0, s.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      wrong += u[i] != qtk::quantize_code(x[i], scale, zero, 0, 255);
      wrong += s[i] != qtk::quantize_code(x[i], scale, 0, -128, 127);
    }
  }
  return wrong;
}

}  // namespace

void add_selftest(CLI::App& app) {
  auto* command = app.add_subcommand("selftest", "every kernel on every ISA against the reference");
  command->callback([] {
    std::size_t failed = 0, passed = 0;
    const auto report = [&](qtk::isa i, const char* what, bool good, double worst) {
      ++(good ? passed : failed);
      std::printf("%-12s %-24s %s", qtk::name(i).data(), what, good ? "ok" : "WRONG");
      if (worst >= 0.0) std::printf("  error %.2f of the bound", worst);
      std::printf("\n");
    };
    for (const qtk::isa i : qtk::all_isas) {
      if (!qtk::supported(i)) continue;
      for (std::size_t op = 0; op < qtk::gemm_op_count; ++op) {
        const qtk::gemm_kernel& kernel = qtk::find_gemm(static_cast<gemm_op>(op), i);
        if (kernel.target != i) continue;  // an ISA below serves, and is tested there
        std::mt19937 random(static_cast<unsigned>(op + 1));
        double worst = 0.0;
        for (std::size_t M : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 25})
          for (std::size_t N : {1, 7, 16, 33, 65})
            for (std::size_t K : {1, 2, 31, 64, 77, 300}) {
              const double off = check_product(kernel, {M, N, K, 32}, random);
              worst = off <= worst ? worst : off;
            }
        report(i, kernel.name, worst <= 1.0, worst);
      }
      for (const qtk::conv_op op : {qtk::conv_op::f32, qtk::conv_op::int8}) {
        const qtk::conv_kernel& kernel = qtk::find_conv(op, i);
        if (kernel.target != i) continue;
        std::mt19937 random(static_cast<unsigned>(op) + 11);
        double worst = 0.0;
        for (std::size_t O : {1, 2, 3, 5, 6, 7, 13, 25})
          for (std::size_t K : {1, 9, 27, 64, 147})
            for (std::size_t group : {K, std::size_t{32}}) {
              const double off = check_convolution(kernel, O, K, group, random);
              worst = off <= worst ? worst : off;
            }
        report(i, qtk::cat("convolution ", name(op)).c_str(), worst <= 1.0, worst);
      }
      const qtk::elementwise_kernels& k = qtk::find_elementwise(i);
      std::mt19937 random(1);
      if (k.target == i) report(i, "quantize", check_codes(k, random) == 0, -1.0);
    }
    std::printf("%zu kernels passed, %zu failed\n", passed, failed);
    QTK_CHECK(failed == 0, "selftest", failed, " kernels are wrong on this machine");
  });
}

}  // namespace qtk_cli
