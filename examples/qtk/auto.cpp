#include "auto.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <qtk/core/file.hpp>
#include <qtk/cpu/info.hpp>
#include <qtk/graph/passes/mixed.hpp>
#include <qtk/onnx.hpp>
#include <qtk/profile/benchmark.hpp>
#include <qtk/quantize/mixed_precision.hpp>
#include <qtk/report/comparison.hpp>
#include <qtk/report/table.hpp>

#include "evaluate.hpp"

namespace qtk_cli {
namespace {

using qtk::layer_format;

bool is_dynamic(layer_format f) {
  return f == layer_format::int8_dynamic || f == layer_format::int4_dynamic;
}
bool is_weight_only(layer_format f) {
  return f == layer_format::int8_weight_only || f == layer_format::int4_weight_only;
}

/// A layer in one format, measured.
struct measured_format {
  layer_format format = layer_format::fp32;
  std::vector<double> ns;                                    // of each timed run
  double ms = 0;                                             // median
  std::size_t bytes = 0;                                     // stored, scales included
  double sqnr_db = std::numeric_limits<double>::infinity();  // of the model's scores, and
  double drop = 0;      // percentage points lost: where this layer alone is quantized
  std::string refused;  // why the format can't hold the layer

  /// Noise over signal of the scores. That of several layers adds up, as far as their errors are
  /// independent (Lin et al., "Fixed Point Quantization of Deep Convolutional Networks", 2016).
  double harm() const {
    if (!refused.empty() || std::isnan(sqnr_db)) return std::numeric_limits<double>::infinity();
    return std::pow(10.0, -sqnr_db / 10.0);
  }
};

struct measured_layer {
  std::string name, output;
  std::vector<measured_format> formats;  // layer_formats, in this order
  std::size_t pick = 0;

  const measured_format& fp32() const { return formats[0]; }
  const measured_format& picked() const { return formats[pick]; }
  double speed_up(const measured_format& f) const { return fp32().ms / f.ms; }
};

/// What a whole model does.
struct totals {
  double accuracy = 0, drop = 0;  // share; points lost against fp32
  double ms = 0;
  std::size_t bytes = 0;
};

/// Points that `a` loses: of accuracy, or without labels of agreement with fp32's top-1.
double points_lost(const answers& reference, const answers& a, const data_set& data) {
  if (!data.labels.empty()) return 100.0 * (accuracy(reference, data) - accuracy(a, data));
  std::size_t other = 0;
  for (std::size_t i = 0; i < a.classes.size(); ++i) other += a.classes[i] != reference.classes[i];
  return 100.0 * static_cast<double>(other) / static_cast<double>(a.classes.size());
}

data_set first_samples(const data_set& data, std::size_t count) {
  data_set part = data;
  count = std::min(count, data.count());
  part.values.resize(count * data.sample.elements());
  if (!part.labels.empty()) part.labels.resize(count);
  return part;
}

class automatic {
 public:
  automatic(const qtk::model& trained, data_set data, auto_options& o)
      : options_(o), data_(std::move(data)), part_(first_samples(data_, o.samples)) {
    trained_ = qtk::optimize(trained);
    model_ = with_scores(trained_);
    for (const qtk::node& n : model_.nodes) {
      if (!qtk::passes::is_layer(n)) continue;
      const qtk::any_tensor* w = model_.find_weight(n.inputs[1]);
      if (w == nullptr || !w->is<qtk::fp32>()) continue;
      measured_layer& l = layers_.emplace_back();
      l.name = n.name.empty() ? n.outputs[0] : n.name;
      l.output = n.outputs[0];
      for (const layer_format f : qtk::layer_formats) l.formats.emplace_back().format = f;
    }
    QTK_CHECK(!layers_.empty(), "model", "has no layers with fp32 weights (Conv, Gemm, MatMul)");
    inputs_ = sample_inputs(model_, data_, allowed_batch(model_, o.batch));
    reference_part_ = answer(model_, part_);
    check_known(reference_part_);
  }

  void run() {
    const progress bar("measuring");
    measure_formats(bar);
    measure_times(bar);
    reference_ = answer(model_, data_);
    check_known(reference_);
    before_.accuracy = accuracy(reference_, data_);
    if (options_.has_limit())
      search_within();
    else
      search(bar);
    time_totals();
  }

  qtk::model result() const { return make(trained_, picks()); }
  const std::vector<measured_layer>& layers() const { return layers_; }
  const totals& before() const { return before_; }
  const totals& after() const { return after_; }
  const data_set& data() const { return data_; }

  /// Why a layer is what it is, in words.
  std::string reason(const measured_layer& l) const {
    using namespace qtk::report;
    const auto against = [&](const measured_format& f) {
      const double s = l.speed_up(f);
      return s > 1.03   ? fixed(s, 2) + "x faster"
             : s < 0.97 ? fixed(1.0 / s, 2) + "x slower"
                        : std::string("as fast");
    };
    const measured_format& p = l.picked();
    // The one that would gain most.
    const measured_format* best = nullptr;
    for (const measured_format& f : l.formats)
      if (&f != &p && f.refused.empty() && goes_with_picks(f.format) &&
          (best == nullptr || cost(l, f) < cost(l, *best)))
        best = &f;
    const bool gains = best != nullptr && cost(l, *best) < cost(l, p);
    const auto harms = [&] {
      const std::string other(qtk::name(best->format));
      return best->drop >= 0.05
                 ? qtk::cat(other, " would cost ", fixed(best->drop, 1), " points")
                 : qtk::cat(other, " (", decibels(best->sqnr_db), ") is ",
                            options_.has_limit() ? "not needed" : "beyond the bound");
    };
    if (p.format != layer_format::fp32)
      return qtk::cat(against(p), ", ",
                      fixed(static_cast<double>(l.fp32().bytes) / static_cast<double>(p.bytes), 1),
                      "x smaller, ", decibels(p.sqnr_db), gains ? "; " + harms() : "");
    if (best == nullptr) return l.formats[1].refused;
    if (gains) return harms();
    return qtk::cat(qtk::name(best->format), " is ", against(*best), " here");
  }

 private:
  /// Whether a file can hold a layer in this format beside those picked (see solve()).
  bool goes_with_picks(layer_format f) const {
    return std::none_of(layers_.begin(), layers_.end(), [f](const measured_layer& l) {
      const layer_format p = l.picked().format;
      return (is_dynamic(p) && is_weight_only(f)) || (is_weight_only(p) && is_dynamic(f));
    });
  }

  /// What a budget counts, as shares of fp32's, with a little of the other so that ties break its
  /// way. Times within 3 % of fp32's are fp32's: that is noise.
  double cost(const measured_layer& l, const measured_format& f) const {
    const double s = l.speed_up(f), ms = s > 0.97 && s < 1.03 ? l.fp32().ms : f.ms;
    const double time = ms / total_ms_;
    const double size = static_cast<double>(f.bytes) / static_cast<double>(total_bytes_);
    return options_.budget == "size" ? size + 1e-3 * time : time + 1e-3 * size;
  }

  qtk::model make(const qtk::model& m, const std::vector<std::size_t>& picks) const {
    qtk::layer_format_map formats;
    for (std::size_t i = 0; i < layers_.size(); ++i)
      formats[layers_[i].output] = layers_[i].formats[picks[i]].format;
    return qtk::quantize_mixed(m, formats);
  }
  std::vector<std::size_t> picks() const {
    std::vector<std::size_t> out;
    for (const measured_layer& l : layers_) out.push_back(l.pick);
    return out;
  }

  answers answer(const qtk::model& m, const data_set& data) {
    const qtk::session s(m, {.executor = options_.executor});
    return run_all(s, data, 32);
  }

  /// Bytes and harm of each format of each layer.
  void measure_formats(const progress& bar) {
    std::size_t done = 0;
    for (measured_layer& l : layers_) {
      for (measured_format& f : l.formats) measure_format(l, f);
      bar.show(0.5 * static_cast<double>(++done) / static_cast<double>(layers_.size()));
      total_bytes_ += l.fp32().bytes;
    }
  }
  void measure_format(const measured_layer& l, measured_format& f) {
    try {
      const qtk::model one = qtk::quantize_mixed(model_, {{l.output, f.format}});
      for (const qtk::node& n : one.nodes)
        if (n.outputs[0] == l.output) f.bytes = one.find_weight(n.inputs[1])->size_bytes();
      if (f.format == layer_format::fp32) return;
      const answers a = answer(one, part_);
      f.sqnr_db = output_sqnr_db(reference_part_, a);
      f.drop = points_lost(reference_part_, a, part_);
      if (std::isnan(f.sqnr_db)) f.refused = "the model answers NaN";
    } catch (const qtk::error& e) {
      f.refused = e.what();
    }
  }

  /// Times of all layers: the whole model in one format after the other, several rounds, so that a
  /// slow moment of the machine hits all alike.
  void measure_times(const progress& bar) {
    qtk::model named = model_;  // scopes are known by name
    for (qtk::node& n : named.nodes) n.name = n.outputs[0];
    std::map<std::string_view, std::size_t> index;
    for (std::size_t i = 0; i < layers_.size(); ++i) index.emplace(layers_[i].output, i);
    std::vector<std::unique_ptr<qtk::session>> sessions;
    for (std::size_t k = 0; k < std::size(qtk::layer_formats); ++k) {
      qtk::layer_format_map formats;
      for (const measured_layer& l : layers_)
        if (l.formats[k].refused.empty()) formats[l.output] = l.formats[k].format;
      sessions.push_back(std::make_unique<qtk::session>(
          qtk::quantize_mixed(named, formats),
          qtk::session_options{.executor = options_.executor, .shapes = {inputs_[0].shape()}}));
    }
    constexpr std::size_t rounds = 7;
    constexpr double round_ms = 40;
    std::vector<double> whole;  // ns of a run in fp32
    for (std::size_t round = 0; round < rounds; ++round) {
      for (std::size_t k = 0; k < sessions.size(); ++k) {
        static_cast<void>(sessions[k]->run(inputs_));  // its weights come back to the cache
        qtk::profile::reset();
        qtk::profile::enable();
        const double until =
            static_cast<double>(qtk::profile::now()) + round_ms * 1e6 / qtk::profile::ns_per_tick();
        std::size_t runs = 0;
        const auto from = qtk::profile::now();
        do static_cast<void>(sessions[k]->run(inputs_));
        while (++runs < 64 && (runs < 3 || static_cast<double>(qtk::profile::now()) < until));
        if (k == 0)  // fp32
          whole.push_back(static_cast<double>(qtk::profile::now() - from) *
                          qtk::profile::ns_per_tick() / static_cast<double>(runs));
        qtk::profile::enable(false);
        for (const qtk::profile::event& e : qtk::profile::snapshot()) {
          const auto at = index.find(e.name);
          if (at != index.end())
            layers_[at->second].formats[k].ns.push_back(static_cast<double>(e.end - e.begin) *
                                                        qtk::profile::ns_per_tick());
        }
      }
      bar.show(0.5 + 0.2 * static_cast<double>(round + 1) / rounds);
    }
    for (measured_layer& l : layers_) {
      for (measured_format& f : l.formats) f.ms = qtk::profile::summarize(f.ns).median * 1e-6;
      total_ms_ += l.fp32().ms;
    }
    rest_ms_ = std::max(0.0, qtk::profile::summarize(whole).median * 1e-6 - total_ms_);
  }

  /// The choice of least sum of costs whose sum of harms keeps the bound, where option(layer,
  /// format) says both; nothing where there is none. A file can't mix layers that quantize their
  /// activations with quantized ones that don't, so the two are solved apart.
  template <class Option>
  std::optional<std::vector<std::size_t>> solve(double bound, const Option& option) const {
    std::optional<std::vector<std::size_t>> best;
    double least = std::numeric_limits<double>::infinity();
    for (const bool dynamic : {true, false}) {
      std::vector<std::vector<qtk::precision_option>> all;
      double lowest = 0;
      for (const measured_layer& l : layers_) {
        auto& of = all.emplace_back();
        double low = std::numeric_limits<double>::infinity();
        for (const measured_format& f : l.formats) {
          of.push_back(option(l, f));
          if (dynamic ? is_weight_only(f.format) : is_dynamic(f.format))
            of.back() = {0, std::numeric_limits<double>::infinity()};
          low = std::min(low, of.back().harm);
        }
        lowest += low;
      }
      if (lowest > bound) continue;
      const auto picks = qtk::choose_precision(all, bound);
      double sum = 0;
      for (std::size_t i = 0; i < picks.size(); ++i) sum += all[i][picks[i]].cost;
      if (sum < least) least = sum, best = picks;
    }
    return best;
  }
  static double harm(const measured_format& f) {
    return f.format == layer_format::fp32 ? 0.0 : f.harm();
  }

  double total_cost(const std::vector<std::size_t>& picks) const {
    double sum = 0;
    for (std::size_t i = 0; i < picks.size(); ++i)
      sum += cost(layers_[i], layers_[i].formats[picks[i]]);
    return sum;
  }

  /// The bound that the accuracy allows: bisection over its logarithm, each choice run on all data.
  /// What is kept is the cheapest choice that was seen to keep the accuracy.
  void search(const progress& bar) {
    std::map<std::vector<std::size_t>, double> tried;  // points lost
    std::vector<std::size_t> best(layers_.size(), 0);  // fp32
    double best_cost = total_cost(best);
    tried[best] = 0.0;
    const auto keeps = [&](double bound) {
      const auto picks = *solve(bound, [this](const measured_layer& l, const measured_format& f) {
        return qtk::precision_option{cost(l, f), harm(f)};
      });
      auto [at, fresh] = tried.try_emplace(picks, 0.0);
      if (fresh) at->second = points_lost(reference_, answer(make(model_, picks), data_), data_);
      const bool good = at->second <= options_.max_drop + 1e-9;
      if (good && total_cost(picks) < best_cost) best = picks, best_cost = total_cost(picks);
      return good;
    };
    double least = std::numeric_limits<double>::infinity(), most = 0;
    for (const measured_layer& l : layers_) {
      double worst = 0;
      for (const measured_format& f : l.formats) {
        const double h = harm(f);
        if (h > 0 && std::isfinite(h)) least = std::min(least, h);
        if (std::isfinite(h)) worst = std::max(worst, h);
      }
      most += worst;
    }
    constexpr int steps = 8;
    if (most > 0 && !keeps(most)) {
      double lo = std::min(least, most), hi = most;
      for (int i = 0; i < steps && hi / lo > 1.05; ++i) {
        const double middle = std::sqrt(lo * hi);
        (keeps(middle) ? lo : hi) = middle;
        bar.show(0.7 + 0.3 * (i + 1.0) / steps);
      }
    }
    for (std::size_t i = 0; i < best.size(); ++i) layers_[i].pick = best[i];
    after_.drop = tried[best];
  }

  /// The choice of least harm whose weights, or whose time, keep a limit.
  void search_within() {
    const bool size = options_.max_size_bytes != 0;
    const auto amount = [size](const measured_format& f) {
      return size ? static_cast<double>(f.bytes) : f.ms;
    };
    const double rest =
        size ? static_cast<double>(qtk::weight_bytes(trained_)) - static_cast<double>(total_bytes_)
             : rest_ms_;
    const double limit = (size ? static_cast<double>(options_.max_size_bytes) : options_.max_ms);
    const auto best = solve(limit - rest, [&](const measured_layer&, const measured_format& f) {
      const bool out = !std::isfinite(harm(f));
      return qtk::precision_option{out ? 0.0 : harm(f),
                                   out ? std::numeric_limits<double>::infinity() : amount(f)};
    });
    double lowest = rest;
    for (const measured_layer& l : layers_) {
      double low = std::numeric_limits<double>::infinity();
      for (const measured_format& f : l.formats)
        if (std::isfinite(harm(f))) low = std::min(low, amount(f));
      lowest += low;
    }
    QTK_CHECK(best.has_value(), size ? "--max-size" : "--max-latency",
              "no choice of formats keeps ",
              size ? qtk::report::human_bytes(options_.max_size_bytes)
                   : qtk::report::three_digits(limit) + " ms",
              "; least are about ",
              size ? qtk::report::human_bytes(static_cast<std::size_t>(lowest))
                   : qtk::report::three_digits(lowest) + " ms");
    for (std::size_t i = 0; i < best->size(); ++i) layers_[i].pick = (*best)[i];
    after_.drop = points_lost(reference_, answer(make(model_, *best), data_), data_);
    QTK_CHECK(!options_.drop_is_given || after_.drop <= options_.max_drop + 1e-9, "--max-drop",
              "within the limit the model loses ", qtk::report::fixed(after_.drop, 2), " points");
  }

  void time_totals() {
    const qtk::model made = result();
    const auto session = [&](const qtk::model& m) {
      return std::make_unique<qtk::session>(
          m, qtk::session_options{.executor = options_.executor, .shapes = {inputs_[0].shape()}});
    };
    const std::unique_ptr<qtk::session> sessions[] = {session(trained_), session(made)};
    std::vector<double> ns[2];
    for (std::size_t round = 0; round < 7; ++round)
      for (std::size_t k = 0; k < 2; ++k) {
        const auto some =
            qtk::profile::measure([&] { static_cast<void>(sessions[k]->run(inputs_)); },
                                  {.warmup = 2, .min_runs = 3, .max_runs = 200, .min_time_ms = 30});
        ns[k].insert(ns[k].end(), some.begin(), some.end());
      }
    before_.ms = qtk::profile::summarize(ns[0]).median * 1e-6;
    after_.ms = qtk::profile::summarize(ns[1]).median * 1e-6;
    before_.bytes = qtk::weight_bytes(trained_);
    after_.bytes = qtk::weight_bytes(made);
    after_.accuracy =
        data_.labels.empty() ? before_.accuracy : before_.accuracy - after_.drop / 100;
  }

  auto_options& options_;
  data_set data_, part_;                 // all; those that harm is measured on
  qtk::model trained_, model_;           // optimized; the latter with its scores as an output
  std::vector<qtk::any_tensor> inputs_;  // of the timed runs
  std::vector<measured_layer> layers_;
  answers reference_, reference_part_;
  double total_ms_ = 0, rest_ms_ = 0;  // fp32's layers, and what isn't one
  std::size_t total_bytes_ = 0;
  totals before_, after_;
};

std::string to_json(const automatic& a, const std::string& model, const auto_options& o) {
  using json = nlohmann::ordered_json;
  json layers = json::array();
  for (const measured_layer& l : a.layers()) {
    json formats = json::array();
    for (const measured_format& f : l.formats)
      formats.push_back({{"format", qtk::name(f.format)},
                         {"ms", f.ms},
                         {"bytes", f.bytes},
                         {"sqnr_db", f.sqnr_db},
                         {"points_lost", f.drop},
                         {"refused", f.refused}});
    layers.push_back({{"layer", l.name},
                      {"picked", qtk::name(l.picked().format)},
                      {"reason", a.reason(l)},
                      {"formats", formats}});
  }
  const auto whole = [](const totals& t) {
    return json{{"accuracy", t.accuracy}, {"ms", t.ms}, {"bytes", t.bytes}};
  };
  const json out = {{"model", model},
                    {"cpu", qtk::describe_cpu().name},
                    {"isa", qtk::name(qtk::active_isa())},
                    {"threads", o.executor.concurrency()},
                    {"batch", o.batch},
                    {"samples", a.data().count()},
                    {"budget", o.budget},
                    {"max_drop", o.max_drop},
                    {"max_size_bytes", o.max_size_bytes},
                    {"max_ms", o.max_ms},
                    {"points_lost", a.after().drop},
                    {"before", whole(a.before())},
                    {"after", whole(a.after())},
                    {"layers", layers}};
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace

void auto_options::add_to(CLI::App& app) {
  app.add_flag("--auto", on,
               "measure each layer in each format on this CPU and pick (with --data)");
  app.add_option("--max-drop", max_drop, "points of accuracy that --auto may lose")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0))
      ->each([this](const std::string&) { drop_is_given = true; });
  const auto size =
      app.add_option("--max-size", max_size_bytes,
                     "weights at most, such as 500KB: --auto loses as little as it can")
          ->transform(CLI::AsSizeValue(true));
  app.add_option("--max-latency", max_ms, "milliseconds a run at most, likewise")
      ->check(CLI::PositiveNumber)
      ->excludes(size);
  app.add_option("--budget", budget, "what --auto minimizes: latency or size")
      ->capture_default_str()
      ->check(CLI::IsMember({"latency", "size"}));
  app.add_option("--batch", batch, "samples per run when --auto times")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  app.add_option("--json", json, "write what --auto measured here");
}

void quantize_auto(const std::string& model, const std::string& output, const data_options& data,
                   auto_options& o) {
  using namespace qtk::report;
  QTK_CHECK(!data.spec.empty(), "--auto", "needs --data to measure what formats cost");
  for (const std::string& path : {o.json, output})  // before minutes of work
    if (!path.empty()) static_cast<void>(qtk::staged_file(path));
  automatic a(qtk::onnx::load(model), data.load(), o);
  a.run();
  const qtk::model made = a.result();
  if (!o.json.empty()) write_all({{o.json, to_json(a, model, o)}});
  qtk::onnx::save(made, output);

  text_table t({"layer", "fp32 ms", "bytes", "format", "ms", "bytes", "why"}, "lrrlrrl");
  for (const measured_layer& l : a.layers())
    t.add({shorten(l.name, 32), three_digits(l.fp32().ms), human_bytes(l.fp32().bytes),
           std::string(qtk::name(l.picked().format)), three_digits(l.picked().ms),
           human_bytes(l.picked().bytes), a.reason(l)});
  std::fputs(t.str().c_str(), stdout);
  const totals &b = a.before(), &n = a.after();
  const bool labels = !a.data().labels.empty();
  std::printf("%s: %s -> %s, %s -> %s ms (%s), %s\n", output.c_str(), human_bytes(b.bytes).c_str(),
              human_bytes(n.bytes).c_str(), three_digits(b.ms).c_str(), three_digits(n.ms).c_str(),
              speed(b.ms / n.ms).c_str(),
              labels
                  ? qtk::cat("accuracy ", percent(b.accuracy), " -> ", percent(n.accuracy)).c_str()
                  : qtk::cat("top-1 agrees on ", percent(1.0 - n.drop / 100)).c_str());
}

}  // namespace qtk_cli
