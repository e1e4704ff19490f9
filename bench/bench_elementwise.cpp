// Elementwise kernels and rows (softmax, norms, quantization), against a pass over the same memory
// that computes nothing, in alternation (interleaved.hpp); README.md says the method.
//   names: elementwise/<op>/rows:<rows>/cols:<cols>/threads:1/<who>, who is qtk or plain (that
//   pass) time: the median over rounds of one call, which goes through all rows gb_s: bytes read
//   and written a second, each byte of an operand or result counted once; bandwidth_fraction: of
//   the plain pass; ns_per_element; spread: median deviation over median
// QTK_ISA=avx2 and the like choose qtk's kernels; a filter leaves out what is not asked for.
#include <benchmark/benchmark.h>

#include <array>
#include <deque>
#include <qtk/cpu/info.hpp>
#include <qtk/kernels/elementwise.hpp>
#include <qtk/ops/linear.hpp>
#include <random>
#include <string>

#include "interleaved.hpp"
#include "program.hpp"
#include "stream_pass.hpp"

using namespace qtk;
using namespace bench;

namespace {

struct extent {
  std::size_t rows, cols;
};
constexpr extent extents[] = {
    {16384, 4096},  // out of every cache: 256 MiB of floats
    {8, 4096},      // in L2: 256 KiB of floats with the result
};

/// Memory of one extent: four bytes an element of each operand and result are enough for all.
struct memory {
  buffer x, other, y, scales;
};

/// One row, `r`: n elements.
using row_function = void (*)(const elementwise_kernels& k, std::size_t r, std::size_t n,
                              const memory& m);

enum class content : std::uint8_t { floats, halves, brains, codes };

struct operation {
  const char* name;
  content input;
  std::size_t in_bytes, out_bytes;  // an element
  bool two_operands;
  stream_pass (*plain)(isa target);
  row_function row;
};

template <class T>
T* row_of(const buffer& b, std::size_t r, std::size_t n) {
  return reinterpret_cast<T*>(const_cast<std::byte*>(b.data())) + r * n;
}

template <unary_op Op>
constexpr operation unary_case(const char* name) {
  return {name,
          content::floats,
          4,
          4,
          false,
          &find_stream_pass<4, 4>,
          [](const elementwise_kernels& k, std::size_t r, std::size_t n, const memory& m) {
            k.unary[static_cast<std::size_t>(Op)](n, row_of<float>(m.x, r, n),
                                                  row_of<float>(m.y, r, n));
          }};
}
template <binary_op Op>
constexpr operation binary_case(const char* name) {
  return {name,
          content::floats,
          4,
          4,
          true,
          &find_stream_pass<4, 4>,
          [](const elementwise_kernels& k, std::size_t r, std::size_t n, const memory& m) {
            k.binary[static_cast<std::size_t>(Op)](n, row_of<float>(m.x, r, n),
                                                   row_of<float>(m.other, r, n),
                                                   row_of<float>(m.y, r, n));
          }};
}
/// A member of the table with arguments (n, x, extra..., y).
template <auto Member, class In, class Out, auto... Extra>
void call_row(const elementwise_kernels& k, std::size_t r, std::size_t n, const memory& m) {
  (k.*Member)(n, row_of<In>(m.x, r, n), Extra..., row_of<Out>(m.y, r, n));
}
/// What qtk::linear does to a row of activations: range, scale and zero point, codes.
template <gemm_op Op>
void quantize_row(const elementwise_kernels& k, std::size_t r, std::size_t n, const memory& m) {
  workspace_cursor codes(row_of<std::byte>(m.y, r, n));
  quantized_activations q(codes, 1, 0);
  q.codes = row_of<std::uint8_t>(m.y, r, n);
  q.scales = row_of<float>(m.scales, r, 1);
  q.zero_points = row_of<std::int32_t>(m.scales, r, 1);
  q.quantize_row(k, Op, 0, n, row_of<float>(m.x, r, n), std::nullopt);
}

using kernels = elementwise_kernels;

constexpr operation operations[] = {
    {"minmax", content::floats, 4, 0, false, &find_stream_pass<4, 0>,
     [](const kernels& k, std::size_t r, std::size_t n, const memory& m) {
       k.minmax(n, row_of<float>(m.x, r, n), row_of<float>(m.scales, r, 1),
                row_of<float>(m.scales, r, 1));
     }},
    {"sum", content::floats, 4, 0, false, &find_stream_pass<4, 0>,
     [](const kernels& k, std::size_t r, std::size_t n, const memory& m) {
       *row_of<float>(m.scales, r, 1) =
           static_cast<float>(k.sum(n, row_of<float>(m.x, r, n), nullptr));
     }},
    {"sum-squares", content::floats, 4, 0, false, &find_stream_pass<4, 0>,
     [](const kernels& k, std::size_t r, std::size_t n, const memory& m) {
       double squares = 0.0;
       k.sum(n, row_of<float>(m.x, r, n), &squares);
       *row_of<float>(m.scales, r, 1) = static_cast<float>(squares);
     }},
    {"quantize-row-u8", content::floats, 4, 1, false, &find_stream_pass<4, 1>,
     &quantize_row<gemm_op::u8_s8>},
    {"quantize-row-s8", content::floats, 4, 1, false, &find_stream_pass<4, 1>,
     &quantize_row<gemm_op::s8_s4>},
    {"quantize-u8", content::floats, 4, 1, false, &find_stream_pass<4, 1>,
     [](const kernels& k, std::size_t r, std::size_t n, const memory& m) {
       k.quantize_u8(n, row_of<float>(m.x, r, n), 0.031f, 128, row_of<std::uint8_t>(m.y, r, n));
     }},
    {"quantize-s8", content::floats, 4, 1, false, &find_stream_pass<4, 1>,
     [](const kernels& k, std::size_t r, std::size_t n, const memory& m) {
       k.quantize_s8(n, row_of<float>(m.x, r, n), 0.031f, 0, row_of<std::int8_t>(m.y, r, n));
     }},
    {"dequantize-u8", content::codes, 1, 4, false, &find_stream_pass<1, 4>,
     [](const kernels& k, std::size_t r, std::size_t n, const memory& m) {
       k.dequantize_u8(n, row_of<std::uint8_t>(m.x, r, n), 0.031f, 128, row_of<float>(m.y, r, n));
     }},
    {"dequantize-s8", content::codes, 1, 4, false, &find_stream_pass<1, 4>,
     [](const kernels& k, std::size_t r, std::size_t n, const memory& m) {
       k.dequantize_s8(n, row_of<std::int8_t>(m.x, r, n), 0.031f, 0, row_of<float>(m.y, r, n));
     }},
    {"f16-to-f32", content::halves, 2, 4, false, &find_stream_pass<2, 4>,
     &call_row<&kernels::f16_to_f32, half, float>},
    {"f32-to-f16", content::floats, 4, 2, false, &find_stream_pass<4, 2>,
     &call_row<&kernels::f32_to_f16, float, half>},
    {"bf16-to-f32", content::brains, 2, 4, false, &find_stream_pass<2, 4>,
     &call_row<&kernels::bf16_to_f32, bfloat16, float>},
    {"f32-to-bf16", content::floats, 4, 2, false, &find_stream_pass<4, 2>,
     &call_row<&kernels::f32_to_bf16, float, bfloat16>},
    unary_case<unary_op::exp>("exp"),
    unary_case<unary_op::tanh>("tanh"),
    unary_case<unary_op::sigmoid>("sigmoid"),
    unary_case<unary_op::erf>("erf"),
    unary_case<unary_op::gelu>("gelu"),
    unary_case<unary_op::silu>("silu"),
    unary_case<unary_op::relu>("relu"),
    unary_case<unary_op::sqrt>("sqrt"),
    binary_case<binary_op::add>("add"),
    binary_case<binary_op::multiply>("multiply"),
    binary_case<binary_op::divide>("divide"),
    {"softmax", content::floats, 4, 4, false, &find_stream_pass<4, 4>,
     &call_row<&kernels::softmax, float, float>},
    {"layer-norm", content::floats, 4, 4, false, &find_stream_pass<4, 4>,
     [](const kernels& k, std::size_t r, std::size_t n, const memory& m) {
       const float* gamma = row_of<float>(m.x, 0, n);  // any row, then in the cache
       k.layer_norm(n, row_of<float>(m.x, r, n), gamma, gamma, 1e-5f, row_of<float>(m.y, r, n));
     }},
    {"rms-norm", content::floats, 4, 4, false, &find_stream_pass<4, 4>,
     [](const kernels& k, std::size_t r, std::size_t n, const memory& m) {
       const float* gamma = row_of<float>(m.x, 0, n);
       k.rms_norm(n, row_of<float>(m.x, r, n), gamma, 1e-5f, row_of<float>(m.y, r, n));
     }},
};

/// Floats on a bell curve of width 2: what activations look like, with both sides of every branch.
void fill(buffer& b, content what) {
  constexpr std::size_t pool_size = 1 << 16;
  static const std::vector<float> pool = [] {
    std::mt19937 random(1);
    std::normal_distribution<float> bell(0.0f, 2.0f);
    std::vector<float> p(pool_size);
    for (float& v : p) v = bell(random);
    return p;
  }();
  const auto each = [&]<class T>(T, auto&& from_float) {
    T* to = row_of<T>(b, 0, 0);
    for (std::size_t i = 0; i < b.size_bytes() / sizeof(T); ++i)
      to[i] = from_float(pool[i % pool_size]);
  };
  if (what == content::floats) each(float{}, [](float v) { return v; });
  if (what == content::halves) each(half{}, [](float v) { return to_half(v); });
  if (what == content::brains) each(bfloat16{}, [](float v) { return to_bfloat16(v); });
  if (what == content::codes)
    each(std::uint8_t{}, [](float v) { return static_cast<std::uint8_t>(128.0f + v * 12.0f); });
}

/// qtk and the plain pass on one operation and extent. The first that is asked measures both.
class contest {
 public:
  contest(const operation& o, extent e, double seconds) : op_(o), extent_(e), seconds_(seconds) {}

  struct result {
    timing qtk, plain;
  };
  const result& next(bool plain) {
    const std::size_t repetition = asked_[plain]++;
    if (repetition == results_.size()) results_.push_back(measure());
    return results_[repetition];
  }
  double elements() const { return static_cast<double>(extent_.rows * extent_.cols); }
  double bytes() const {
    return elements() *
           static_cast<double>(op_.in_bytes * (op_.two_operands ? 2 : 1) + op_.out_bytes);
  }

 private:
  result measure() const {
    const auto [rows, n] = extent_;
    memory m{buffer(rows * n * op_.in_bytes), buffer(op_.two_operands ? rows * n * 4 : 0),
             buffer(rows * n * op_.out_bytes + 256), buffer(rows * sizeof(float))};
    fill(m.x, op_.input);
    if (op_.two_operands) fill(m.other, op_.input);
    const elementwise_kernels& k = find_elementwise(active_isa());
    const stream_pass pass = op_.plain(k.target);
    const std::function<void()> calls[] = {
        [&] {
          for (std::size_t r = 0; r < rows; ++r) op_.row(k, r, n, m);
        },
        [&] {
          for (std::size_t r = 0; r < rows; ++r)
            pass(n, m.x.data() + r * n * op_.in_bytes,
                 op_.two_operands ? m.other.data() + r * n * op_.in_bytes : nullptr,
                 m.y.data() + r * n * op_.out_bytes);
        }};
    const auto times = interleaved(calls, options_for(seconds_));
    return {times[0], times[1]};
  }

  const operation& op_;
  extent extent_;
  double seconds_;
  std::array<std::size_t, 2> asked_{};
  std::vector<result> results_;
};

void report(benchmark::State& state, contest& c, bool plain) {
  const contest::result& r = c.next(plain);
  const timing& t = plain ? r.plain : r.qtk;
  for (auto _ : state) state.SetIterationTime(t.median * 1e-9);
  state.counters["gb_s"] = c.bytes() / t.median;
  state.counters["bandwidth_fraction"] = r.plain.median / t.median;
  state.counters["ns_per_element"] = t.median / c.elements();
  state.counters["spread"] = t.mad / t.median;
}

void run(program& p) {
  std::deque<contest> contests;  // its elements stay where they are
  for (const operation& op : operations)
    for (const extent& e : extents) {
      contest& c = contests.emplace_back(op, e, p.seconds());
      for (const bool plain : {false, true})
        p.add(cat("elementwise/", op.name, "/rows:", e.rows, "/cols:", e.cols, "/threads:1/",
                  plain ? "plain" : "qtk"),
              [&c, plain] {
                return [&c, plain](benchmark::State& state) { report(state, c, plain); };
              });
    }
  p.run();
}

}  // namespace

int main(int argc, char** argv) { return bench::run_program("bench_elementwise", argc, argv, run); }
