#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "qtk/core/executor.hpp"
#include "qtk/cpu/isa.hpp"
#include "qtk/graph/model.hpp"
#include "qtk/ops/window.hpp"

#if defined(QTK_EXTERN_GRAPH) && !defined(QTK_GRAPH_IMPLEMENTATION)
#  define QTK_GRAPH_FUNCTION  // declared here, defined in the units that implement the operators
#elif defined(QTK_GRAPH_IMPLEMENTATION)
#  define QTK_GRAPH_FUNCTION
#else
#  define QTK_GRAPH_FUNCTION inline
#endif

/// What an operator is to the session: a *binder*, one function from a node and the types of its
/// inputs to everything needed to run it. Shape inference and execution cannot disagree, because
/// one function says both.
namespace qtk::inline QTK_ABI {

struct value_type {
  qtk::dtype type = dtype::fp32;
  qtk::shape dims;
  friend bool operator==(const value_type&, const value_type&) = default;
};

[[nodiscard]] inline std::size_t size_bytes(const value_type& v) {
  return visit_format(v.type, [&](auto tag) { return tensor<decltype(tag)>::bytes_for(v.dims); });
}

/// The buffers of one run of one node, in the order of its inputs and outputs. An absent optional
/// input is null.
struct node_buffers {
  std::span<const std::byte* const> inputs;
  std::span<std::byte* const> outputs;
  std::byte* workspace = nullptr;
  executor_ref executor;

  template <class T>
  [[nodiscard]] const T* in(std::size_t i) const noexcept {
    return i < inputs.size() ? reinterpret_cast<const T*>(inputs[i]) : nullptr;
  }
  template <class T>
  [[nodiscard]] T* out(std::size_t i = 0) const noexcept {
    return reinterpret_cast<T*>(outputs[i]);
  }
};

/// How a node computes some rows of an output (batch, channels, height, width) from some rows of
/// its input 0, another one.
struct row_bands {
  /// Elements behind the rows that a buffer holds: they may be read.
  static constexpr std::size_t room = 64;

  window_2d window;      // over the rows of input 0; it is higher than each of its pads
  std::size_t unit = 1;  // bands begin at a multiple of so many output rows, 1 or 2, and end there
                         // or with the image
  bool whole = false;    // what it adds has the strides of the whole output, so must y
  std::function<std::size_t(std::size_t rows)> workspace_bytes;
  /// Rows of one image of the batch, from and to x and y in the place of those of `io`.
  std::function<void(const node_buffers& io, std::size_t image, row_range rows, const std::byte* x,
                     const row_layout& x_rows, std::byte* y, const row_layout& y_rows,
                     std::byte* workspace)>
      run;
};

/// A node bound to the types of its inputs.
struct bound_node {
  std::vector<value_type> outputs;
  std::function<void(const node_buffers&)> run;
  /// Output 0 is input `alias` under another shape: nothing runs, nothing is copied.
  std::optional<std::size_t> alias = std::nullopt;
  /// Output 0 may overwrite this input where nobody else reads it (same number of bytes).
  std::optional<std::size_t> in_place = std::nullopt;
  std::size_t workspace_bytes = 0;
  std::shared_ptr<const void> packed = nullptr;  // weights in the kernel's layout, or tables,
  std::size_t packed_bytes = 0;                  // counted once for all nodes that share them;
  std::size_t absorbed = 0;  // bit i: input i lives on in them alone, its tensor may go
  double flops = 0;          // multiply-adds count two; integer products likewise
  double bytes = 0;          // read and written, each once
  std::string kernel = {};   // "gemm_f32_6x16 (avx2)": for receipts
  bool integer = false;      // which roof the receipt compares with
  [[nodiscard]] bool absorbs(std::size_t input) const noexcept {
    return input < 64 && ((absorbed >> input) & 1u) != 0;
  }
  /// The outputs themselves, where they follow from what the binder was told: from types (Shape,
  /// Size), or from the inputs that it needs (NonZero, If). Then nothing runs.
  std::vector<any_tensor> values = {};
  std::shared_ptr<const row_bands> bands = nullptr;  // null: only as a whole
};

/// What binders keep for other bindings of the session, by name: packed weights, the sessions of
/// subgraphs. Threads may bind at once.
class packed_store {
 public:
  /// What make() returned for the first who asked under `name`, which says what T is.
  template <class T, class Make>
  [[nodiscard]] std::shared_ptr<const T> once(const std::string& name, Make&& make) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<const void>& slot = kept_[name];
    if (slot == nullptr) slot = std::make_shared<const T>(make());
    return std::static_pointer_cast<const T>(slot);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<const void>> kept_;
};

/// Inputs of a node, one bit each.
using input_mask = std::uint64_t;
[[nodiscard]] constexpr input_mask input_bit(std::size_t i) noexcept { return input_mask{1} << i; }
inline constexpr input_mask all_inputs = ~input_mask{0};
/// Beyond 64 inputs there is only all or none.
[[nodiscard]] constexpr bool holds(input_mask mask, std::size_t i) noexcept {
  return mask == all_inputs || (i < 64 && (mask & input_bit(i)) != 0);
}

/// The one check of memory: qtk::error that names the node, the bytes and the session's limit
/// (session_options::memory_limit).
inline void check_memory(const node& n, std::size_t bytes, std::size_t limit) {
  QTK_CHECK(bytes <= limit, n.label(), "would take ", bytes, " bytes, the limit is ", limit);
}

/// A model ready to run: inputs in their order to outputs.
using compiled_model = std::function<std::vector<any_tensor>(std::span<const any_tensor>)>;

/// What a node is bound with.
struct binding {
  const qtk::node& node;
  const std::map<std::string, std::int64_t>& opsets;
  std::span<const value_type* const> inputs;     // null: absent
  std::span<const any_tensor* const> constants;  // null: not known
  input_mask fixed;                              // constants that are the same in every run
  isa target;
  executor_ref executor;
  packed_store& store;
  compiled_model (*compile)(model, isa, executor_ref, std::size_t);  // null: no bodies run
  bool types_only;
  std::size_t memory_limit;  // bytes that the session has left
};

/// What a binder is told.
class op_context {
 public:
  explicit op_context(const binding& b) : b_(b) {}

  const binding& given() const noexcept { return b_; }
  const qtk::node& node() const noexcept { return b_.node; }
  const std::map<std::string, std::int64_t>& opsets() const noexcept { return b_.opsets; }
  /// Version of the operator set that the node is of.
  std::int64_t opset() const noexcept { return opset_of(b_.opsets, b_.node.domain); }
  isa target() const noexcept { return b_.target; }
  executor_ref executor() const noexcept { return b_.executor; }
  std::size_t concurrency() const noexcept { return b_.executor.concurrency(); }
  /// Bytes that the session has left for the node.
  std::size_t memory_limit() const noexcept { return b_.memory_limit; }
  /// To be called before a binder allocates what a few bytes of a file may ask for (index maps,
  /// tables): qtk::error where that is more than the session grants. Tables that stay are `packed`;
  /// what a run needs is the workspace.
  void expect_memory(std::size_t bytes) const { check_memory(node(), bytes, b_.memory_limit); }
  /// Whether only the types of the outputs are asked for: nothing needs packing.
  bool types_only() const noexcept { return b_.types_only; }
  std::size_t inputs() const noexcept { return b_.inputs.size(); }
  bool has(std::size_t i) const noexcept { return i < b_.inputs.size() && b_.inputs[i] != nullptr; }

  /// Type of input i; qtk::error where it is absent.
  const value_type& in(std::size_t i) const {
    QTK_CHECK(has(i), node().label(), "input ", i, " is missing");
    return *b_.inputs[i];
  }
  const shape& dims(std::size_t i) const { return in(i).dims; }
  /// The value of input i where it is known before the run, else null.
  const any_tensor* constant(std::size_t i) const noexcept {
    return i < b_.constants.size() ? b_.constants[i] : nullptr;
  }
  /// The value of input i; qtk::error where it is absent or not known.
  const any_tensor& value(std::size_t i) const {
    QTK_CHECK(constant(i) != nullptr, node().label(), "input ", i, " is missing or not known");
    return *constant(i);
  }
  /// One integer.
  [[nodiscard]] std::int64_t one_integer(std::size_t i) const {
    const auto all = integers(i);
    QTK_CHECK(all.size() == 1, node().label(), "input ", i, " has ", all.size(),
              " values, not one");
    return all[0];
  }
  /// Whether input i is known before the run.
  bool fixed(std::size_t i) const noexcept {
    return constant(i) != nullptr && i < 64 && (b_.fixed & input_bit(i)) != 0;
  }
  /// The integers of a constant int64 or int32 input; qtk::error where it is not known.
  [[nodiscard]] std::vector<std::int64_t> integers(std::size_t i) const {
    const any_tensor* t = constant(i);
    QTK_CHECK(t != nullptr, node().label(), "input ", i, " must be known before the run");
    if (const auto* wide = t->get_if<int64>()) return {wide->span().begin(), wide->span().end()};
    const auto narrow = t->as<int32>().span();
    return {narrow.begin(), narrow.end()};
  }
  void expect(std::size_t i, dtype type) const {
    QTK_CHECK(in(i).type == type, node().label(), "input ", i, " of ", name(in(i).type),
              " is not supported, only ", name(type));
  }
  [[nodiscard]] compiled_model compile(model body) const {
    QTK_CHECK(b_.compile != nullptr, node().label(), "a body cannot run here");
    return b_.compile(std::move(body), b_.target, b_.executor, b_.memory_limit);
  }
  [[noreturn]] void reject(std::string why) const { fail(std::move(why), node().label()); }

  /// What does not depend on the types of the inputs (packed weights): made at the first binding,
  /// then shared by all that ask under the same name, which says what T is.
  template <class T, class Make>
  [[nodiscard]] std::shared_ptr<const T> once(const std::string& name, Make&& make) const {
    return b_.store.once<T>(name, std::forward<Make>(make));
  }

 private:
  const binding& b_;
};

using binder = bound_node (*)(const op_context&);

/// An operator that a session runs.
struct op_definition {
  std::string_view op, domain;
  binder bind;
  /// Where the value of one of these is known only while the model runs (it is computed from the
  /// model's inputs), the node is bound then: each time, with everything after it whose types
  /// depend on it.
  input_mask needs = 0;
  /// Computes in fp32 alone: of these inputs, those in half precision or double are converted to
  /// it, and the outputs back.
  input_mask fp32_only = 0;
  /// The same for half precision alone: computes in fp32 and in double.
  input_mask halves_in_fp32 = 0;
  /// Bound when the model runs, even if all it needs is known before: its binder runs a body.
  bool at_run_time = false;

  [[nodiscard]] constexpr bool needs_value(std::size_t i) const noexcept { return holds(needs, i); }
};

/// The operators of one family.
using op_table = std::span<const op_definition>;

}  // namespace qtk::inline QTK_ABI
