// Convolutions, NCHW in and out, against oneDNN where it was found at configure time, in
// alternation (interleaved.hpp); README.md says the method.
//   names: conv/<fp32|int8>/<shape>/batch:<n>/threads:<t>/<who>
//   time: the median over rounds of one call; gops: operations a second; spread: median deviation
//   over median; ratio: the time of oneDNN's fastest way from NCHW to NCHW over this one's
// A filter leaves out competitors too. The last lines are the geometric means of qtk's ratios.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <map>
#include <qtk/core/thread_pool.hpp>
#include <qtk/cpu/info.hpp>
#include <qtk/quantize.hpp>

#include "conv_shapes.hpp"
#include "interleaved.hpp"
#include "program.hpp"

using namespace bench;

namespace {

/// qtk::conv2d: fp32 images in NCHW to the same. int8 quantizes each of them inside of the time.
class qtk_convolution {
 public:
  qtk_convolution(conv_type type, const conv_shape& s, std::size_t batch, executor_ref executor)
      : x_shape_{batch, s.C, s.size, s.size},
        conv_(pack(type, s),
              {s.kernel, s.kernel, s.stride, s.stride, 1, 1, s.pad, s.pad, s.pad, s.pad}),
        x_(x_shape_),
        y_(conv_.output_shape(x_shape_)),
        workspace_(conv_.workspace_bytes(x_shape_, executor.concurrency())),
        executor_(executor) {
    std::ranges::copy(random_values(x_shape_.elements(), 2), x_.data());
  }

  void operator()() const {
    conv_.run(x_shape_, x_.data(), y_.data(), {}, workspace_.data(), executor_);
  }
  const char* kernel() const { return conv_.kernel(x_shape_).name; }

 private:
  static std::shared_ptr<const std::vector<packed_filters>> pack(conv_type type,
                                                                 const conv_shape& s) {
    std::vector<packed_filters> groups;
    for (std::size_t g = 0; g < s.groups; ++g) {
      tensor<fp32> w({s.O / s.groups, s.taps()});
      const std::vector<float> values =
          random_values(w.shape().elements(), static_cast<unsigned>(g + 1));
      std::copy(values.begin(), values.end(), w.data());
      if (type == conv_type::fp32)
        groups.emplace_back(w);
      else
        groups.emplace_back(quantize<int8>(w, per_channel(0)), compute::integer);
    }
    return std::make_shared<const std::vector<packed_filters>>(std::move(groups));
  }

  shape x_shape_;
  conv2d conv_;
  tensor<fp32> x_;  // aligned, as those of a session and of oneDNN
  mutable tensor<fp32> y_;
  mutable buffer workspace_;
  executor_ref executor_;
};

struct result {
  timing t;
  bool valid = false;
  std::string kernel;  // qtk's
  double ratio = 0;    // against oneDNN; 0: it isn't there
};

/// What runs in alternation. Its members report one by one, and the first that is asked measures
/// all of them.
class contest {
 public:
  contest(conv_type type, const conv_shape& s, std::size_t batch, std::size_t threads,
          double seconds)
      : type_(type), shape_(s), batch_(batch), threads_(threads), seconds_(seconds) {}

  std::size_t join(const conv_peer* peer) {
    members_.push_back(peer);
    asked_.push_back(0);
    return members_.size() - 1;
  }
  /// A member's next result: repetitions measure anew.
  const result& next(std::size_t member) {
    const std::size_t repetition = asked_[member]++;
    if (repetition == results_.size()) results_.push_back(measure());
    return results_[repetition][member];
  }
  double operations() const { return static_cast<double>(batch_) * shape_.operations(); }
  conv_type type() const { return type_; }
  std::size_t batch() const { return batch_; }
  std::size_t threads() const { return threads_; }
  const conv_peer* who(std::size_t member) const { return members_[member]; }

 private:
  std::vector<result> measure() const {
    std::unique_ptr<thread_pool> pool;
    if (threads_ > 1) pool = std::make_unique<thread_pool>(threads_);
    const executor_ref executor = pool == nullptr ? executor_ref() : executor_ref(*pool);
    std::vector<result> results(members_.size());
    std::vector<conv_call> calls;
    std::vector<std::size_t> callers;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      conv_call call;
      if (members_[i] == nullptr) {
        auto p = std::make_shared<qtk_convolution>(type_, shape_, batch_, executor);
        results[i].kernel = p->kernel();
        call = [p] { (*p)(); };
      } else {
        call = members_[i]->make(type_, shape_, batch_, threads_);
      }
      if (!call) continue;
      calls.push_back(std::move(call));
      callers.push_back(i);
    }
    if (calls.empty()) return results;
    interleaved_options options = options_for(seconds_);
    options.rest_ms = rest_for(threads_);
    const auto times = interleaved(calls, options);
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t c = 0; c < callers.size(); ++c) {
      result& r = results[callers[c]];
      r.t = times[c];
      r.valid = true;
      const conv_peer* const peer = members_[callers[c]];
      if (peer != nullptr && peer->same_work) best = std::min(best, r.t.median);
    }
    if (std::isfinite(best))
      for (const std::size_t c : callers) results[c].ratio = best / results[c].t.median;
    return results;
  }

  conv_type type_;
  const conv_shape& shape_;
  std::size_t batch_, threads_;
  double seconds_;
  std::vector<const conv_peer*> members_;
  std::vector<std::size_t> asked_;
  std::vector<std::vector<result>> results_;  // (repetitions, members)
};

/// Geometric mean and minimum of qtk's ratios.
struct summary {
  double logs = 0, least = std::numeric_limits<double>::infinity();
  std::size_t count = 0;
  void add(double ratio) {
    logs += std::log(ratio);
    least = std::min(least, ratio);
    ++count;
  }
};
using summaries = std::map<std::string, summary>;

void report(benchmark::State& state, contest& c, std::size_t member, summaries& means) {
  const result& r = c.next(member);
  if (!r.valid) {
    state.SkipWithError("has no optimized implementation");
    return;
  }
  for (auto _ : state) state.SetIterationTime(r.t.median * 1e-9);
  state.counters["gops"] = c.operations() / r.t.median;
  state.counters["spread"] = r.t.mad / r.t.median;
  if (r.ratio > 0) state.counters["ratio"] = r.ratio;
  if (!r.kernel.empty()) state.SetLabel(r.kernel);
  if (c.who(member) == nullptr && r.ratio > 0)
    for (const std::string& batch : {cat("batch:", c.batch()), std::string("all")})
      means[cat("conv/", name_of(c.type()), "/", batch, "/threads:", c.threads())].add(r.ratio);
}

void run(program& p) {
  std::deque<contest> contests;  // its elements stay where they are
  summaries means;
  for (const conv_type type : {conv_type::fp32, conv_type::int8})
    for (const conv_shape& s : conv_shapes)
      for (const std::size_t batch : {1u, 32u})
        for (const std::size_t threads : {1u, 2u}) {
          contest& c = contests.emplace_back(type, s, batch, threads, p.seconds());
          const auto add = [&](const conv_peer* peer) {
            p.add(cat("conv/", name_of(type), "/", s.name, "/batch:", batch, "/threads:", threads,
                      "/", peer == nullptr ? "qtk" : peer->name),
                  [&c, &means, peer] {
                    return [&c, &means, member = c.join(peer)](benchmark::State& state) {
                      report(state, c, member, means);
                    };
                  });
          };
          add(nullptr);
          for (const conv_peer& peer : conv_peers)
            if (peer.has(type)) add(&peer);
        }
  p.run();
  for (const auto& [name, s] : means)
    std::fprintf(stderr, "%s: %.2f x oneDNN on the geometric mean of %zu shapes, %.2f at least\n",
                 name.c_str(), std::exp(s.logs / static_cast<double>(s.count)), s.count, s.least);
}

}  // namespace

int main(int argc, char** argv) { return bench::run_program("bench_conv", argc, argv, run); }
