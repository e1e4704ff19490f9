#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "qtk/core/executor.hpp"
#include "qtk/cpu/isa.hpp"
#include "qtk/graph/model.hpp"

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

/// A node bound to the types of its inputs.
struct bound_node {
  std::vector<value_type> outputs;
  std::function<void(const node_buffers&)> run;
  /// Output 0 is input `alias` under another shape: nothing runs, nothing is copied.
  std::optional<std::size_t> alias = std::nullopt;
  /// Output 0 may overwrite this input where nobody else reads it (same number of bytes).
  std::optional<std::size_t> in_place = std::nullopt;
  std::size_t workspace_bytes = 0;
  std::shared_ptr<const void> packed = nullptr;  // weights held in the kernel's layout,
  std::size_t packed_bytes = 0;                  // counted once for all nodes that share them;
  std::size_t absorbed = 0;  // bit i: input i lives on in them alone, its tensor may go
  double flops = 0;          // multiply-adds count two; integer products likewise
  double bytes = 0;          // read and written, each once
  std::string kernel = {};   // "gemm_f32_6x16 (avx2)": for receipts
  bool integer = false;      // which roof the receipt compares with
  [[nodiscard]] bool absorbs(std::size_t input) const noexcept {
    return input < 64 && ((absorbed >> input) & 1u) != 0;
  }
  /// The value itself, where it depends on types alone (Shape, Size, ConstantOfShape, ...).
  std::optional<any_tensor> value = std::nullopt;
};

/// What binders keep for other bindings of the session, by name: packed weights.
using packed_store = std::unordered_map<std::string, std::shared_ptr<const void>>;

/// What a binder is told.
class op_context {
 public:
  op_context(const qtk::node& n, std::int64_t opset, std::span<const value_type* const> inputs,
             std::span<const any_tensor* const> constants, isa target, std::size_t concurrency,
             packed_store& store, bool types_only)
      : node_(n),
        opset_(opset),
        inputs_(inputs),
        constants_(constants),
        target_(target),
        concurrency_(concurrency),
        store_(store),
        types_only_(types_only) {}

  const qtk::node& node() const noexcept { return node_; }
  std::int64_t opset() const noexcept { return opset_; }
  isa target() const noexcept { return target_; }
  std::size_t concurrency() const noexcept { return concurrency_; }
  /// Whether only the types of the outputs are asked for: nothing needs packing.
  bool types_only() const noexcept { return types_only_; }
  std::size_t inputs() const noexcept { return inputs_.size(); }
  bool has(std::size_t i) const noexcept { return i < inputs_.size() && inputs_[i] != nullptr; }

  /// Type of input i; qtk::error where it is absent.
  const value_type& in(std::size_t i) const {
    QTK_CHECK(has(i), node_.label(), "input ", i, " is missing");
    return *inputs_[i];
  }
  const shape& dims(std::size_t i) const { return in(i).dims; }
  /// The value of input i where it is known before the run, else null.
  const any_tensor* constant(std::size_t i) const noexcept {
    return i < constants_.size() ? constants_[i] : nullptr;
  }
  /// The integers of a constant int64 or int32 input; qtk::error where it is not known.
  [[nodiscard]] std::vector<std::int64_t> integers(std::size_t i) const {
    const any_tensor* t = constant(i);
    QTK_CHECK(t != nullptr, node_.label(), "input ", i, " must be known before the run");
    if (const auto* wide = t->get_if<int64>()) return {wide->span().begin(), wide->span().end()};
    const auto narrow = t->as<int32>().span();
    return {narrow.begin(), narrow.end()};
  }
  void expect(std::size_t i, dtype type) const {
    QTK_CHECK(in(i).type == type, node_.label(), "input ", i, " is ", name(in(i).type),
              ", supported is ", name(type));
  }
  [[noreturn]] void reject(std::string why) const { fail(std::move(why), node_.label()); }

  /// What does not depend on the types of the inputs (packed weights): made at the first binding,
  /// then shared by all that ask under the same name, which says what T is.
  template <class T, class Make>
  [[nodiscard]] std::shared_ptr<const T> once(const std::string& name, Make&& make) const {
    std::shared_ptr<const void>& slot = store_[name];
    if (slot == nullptr) slot = std::make_shared<const T>(make());
    return std::static_pointer_cast<const T>(slot);
  }

 private:
  const qtk::node& node_;
  std::int64_t opset_;
  std::span<const value_type* const> inputs_;
  std::span<const any_tensor* const> constants_;
  isa target_;
  std::size_t concurrency_;
  packed_store& store_;
  bool types_only_;
};

using binder = bound_node (*)(const op_context&);

/// An operator that a session runs.
struct op_definition {
  std::string_view op, domain;
  binder bind;
};

}  // namespace qtk::inline QTK_ABI
