// Matrix products of all formats, against other libraries where they were found at configure time,
// in alternation (interleaved.hpp); README.md says the method.
//   names: gemm/<format>/M:<M>/N:<N>/K:<K>/threads:<threads>/<who>
//   time: the median over rounds of one call
//   gops: 2 * M * N * K a second; peak_fraction: of the register-only loop of the instructions that
//   qtk's kernel of that format is made of; spread: median deviation over median; weights_gb_s:
//   bytes of packed weights a second; bandwidth_fraction (M = 1): of a pass that reads 512 MiB in
//   the same rounds
// QTK_ISA=avx2 and the like choose qtk's kernels, QTK_BENCH_SHAPES="M,N,K;M,N,K" other shapes; a
// filter leaves out competitors too.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <deque>
#include <qtk/cpu/info.hpp>
#include <string>

#include "gemm_peers.hpp"
#include "interleaved.hpp"
#include "program.hpp"

using namespace bench;

namespace {

constexpr gemm_shape usual_shapes[] = {
    {1024, 1024, 1024}, {2048, 2048, 2048},                    // cubes
    {1, 4096, 4096},    {2, 4096, 4096},    {4, 4096, 4096},   // a language model's projection:
    {8, 4096, 4096},    {16, 4096, 4096},   {32, 4096, 4096},  // one token, some, a prompt
    {128, 4096, 4096},  {512, 4096, 4096},                     //
    {1, 11008, 4096},   {128, 11008, 4096},                    // its feed-forward layers
    {1, 4096, 11008},   {128, 4096, 11008},                    //
    {1, 32000, 4096},                                          // and its vocabulary
    {128, 768, 768},    {128, 3072, 768},   {128, 768, 3072},  // an encoder
    {7, 333, 1001},                                            // nothing divides
};

struct result {
  timing t;
  std::size_t weight_bytes = 0;
  std::string kernel;    // qtk's
  double read_gbps = 0;  // of the pass in the same rounds; M = 1
};

/// What runs in alternation: qtk (library null) and the others on one format, shape and number of
/// threads. Its members report one by one, and the first that is asked measures all of them.
class contest {
 public:
  contest(const gemm_format& f, gemm_shape s, std::size_t threads, double seconds)
      : format_(f), shape_(s), threads_(threads), seconds_(seconds) {}

  std::size_t join(const peer_library* library) {
    members_.push_back(library);
    asked_.push_back(0);
    return members_.size() - 1;
  }

  /// A member's next result: repetitions measure anew.
  const result& next(std::size_t member, machine& m) {
    const std::size_t repetition = asked_[member]++;
    if (repetition == results_.size()) results_.push_back(measure(m));
    return results_[repetition][member];
  }

  /// One yardstick for a format, whoever runs: that of qtk's kernel.
  isa target() const { return format_.pack(1, 1, 0).kernel().target; }
  const gemm_format& format() const { return format_; }
  gemm_shape shape() const { return shape_; }
  std::size_t threads() const { return threads_; }

 private:
  std::vector<result> measure(machine& m) const {
    std::vector<result> results(members_.size());
    std::vector<std::function<void()>> calls;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      if (members_[i] == nullptr) {
        auto p = std::make_shared<qtk_product>(format_, shape_, m.on(threads_));
        calls.emplace_back([p] { (*p)(); });
        results[i] = {{}, p->weight_bytes(), p->kernel().name};
      } else {
        const peer p = members_[i]->make(format_.peer, shape_, threads_);
        calls.push_back(p.call);
        results[i] = {{}, p.weight_bytes, {}};
      }
    }
    // Memory's speed moves with the neighbors by a third: passes over it are in the rounds too.
    double read_bytes = 0;
    if (shape_.M == 1) {
      auto p = std::make_shared<read_pass>(target(), m.on(threads_));
      calls.emplace_back([p] { (*p)(); });
      read_bytes = static_cast<double>(p->bytes_of_call());
    }
    interleaved_options options = options_for(seconds_);
    options.rest_ms = rest_for(threads_);
    const auto times = interleaved(calls, options);
    for (std::size_t i = 0; i < results.size(); ++i) {
      results[i].t = times[i];
      if (shape_.M == 1) results[i].read_gbps = read_bytes / times.back().median;
    }
    return results;
  }

  const gemm_format& format_;
  gemm_shape shape_;
  std::size_t threads_;
  double seconds_;
  std::vector<const peer_library*> members_;
  std::vector<std::size_t> asked_;
  std::vector<std::vector<result>> results_;  // (repetitions, members)
};

void report(benchmark::State& state, contest& c, std::size_t member, machine& m) {
  const result& r = c.next(member, m);
  for (auto _ : state) state.SetIterationTime(r.t.median * 1e-9);
  const double peak = m.roof(c.target(), c.threads()).*c.format().peak;
  const double gops = c.shape().operations() / r.t.median;
  const double gb_s = static_cast<double>(r.weight_bytes) / r.t.median;
  state.counters["gops"] = gops;
  state.counters["peak_fraction"] = gops / peak;
  state.counters["spread"] = r.t.mad / r.t.median;
  state.counters["weights_gb_s"] = gb_s;
  if (c.shape().M == 1) state.counters["bandwidth_fraction"] = gb_s / r.read_gbps;
  if (!r.kernel.empty()) state.SetLabel(r.kernel);
}

/// Those of the environment, QTK_BENCH_SHAPES="M,N,K;M,N,K", else the usual ones.
std::vector<gemm_shape> chosen_shapes() {
  const char* text = std::getenv("QTK_BENCH_SHAPES");
  if (text != nullptr && *text != '\0') return parse_shapes(text, "QTK_BENCH_SHAPES");
  return {std::begin(usual_shapes), std::end(usual_shapes)};
}

void run(program& p) {
  machine m;
  const std::vector<gemm_shape> shapes = chosen_shapes();
  std::deque<contest> contests;  // its elements stay where they are
  for (const gemm_format& f : gemm_formats)
    for (const gemm_shape& s : shapes)
      for (const std::size_t threads : {1u, 2u}) {
        contest& c = contests.emplace_back(f, s, threads, p.seconds());
        const auto add = [&](const peer_library* library) {
          const std::string who = library == nullptr ? "qtk" : library->name;
          p.add(cat("gemm/", f.name, "/M:", s.M, "/N:", s.N, "/K:", s.K, "/threads:", threads, "/",
                    who),
                [&c, &m, library] {
                  return [&c, &m, member = c.join(library)](benchmark::State& state) {
                    report(state, c, member, m);
                  };
                });
        };
        add(nullptr);
        for (const peer_library& library : peer_libraries)
          if (library.has(f.peer)) add(&library);
      }
  p.run();
}

}  // namespace

int main(int argc, char** argv) { return bench::run_program("bench_gemm", argc, argv, run); }
