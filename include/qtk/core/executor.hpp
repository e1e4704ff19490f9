#pragma once

#include <cstddef>
#include <type_traits>

#include "qtk/core/config.hpp"

namespace qtk::inline QTK_ABI {

/// Borrowed callable `void(std::size_t task)`.
class task_ref {
 public:
  template <class Function>
  requires(!std::is_same_v<std::remove_cvref_t<Function>, task_ref> &&
           std::is_invocable_v<Function&, std::size_t>) task_ref(Function&& f)
  noexcept  // NOLINT(google-explicit-constructor)
            // Not std::addressof: <memory> costs 0.3 s to compile.
      : object_(const_cast<void*>(static_cast<const void*>(__builtin_addressof(f)))),
        call_([](void* object, std::size_t task) {
          (*static_cast<std::remove_reference_t<Function>*>(object))(task);
        }) {}
  void operator()(std::size_t task) const { call_(object_, task); }

 private:
  void* object_;
  void (*call_)(void*, std::size_t);
};

/// Borrowed executor: anything with `concurrency()` and `operator()(tasks, task_ref body)` that
/// calls body(0 .. tasks - 1) in any order, perhaps at once, and returns when all are done. The
/// default is serial. qtk owns no hidden thread: pass a qtk::thread_pool, or five lines around
/// OpenMP or TBB. How work is cut never changes a result: only M and N are split, never K.
class executor_ref {
 public:
  executor_ref() = default;
  template <class Executor>
  requires(!std::is_same_v<std::remove_cvref_t<Executor>, executor_ref> &&
           std::is_invocable_v<Executor&, std::size_t, task_ref>) executor_ref(Executor& e)
  noexcept  // NOLINT(google-explicit-constructor)
      : object_(&e),
        concurrency_(e.concurrency()),
        run_([](void* object, std::size_t tasks, task_ref body) {
          (*static_cast<Executor*>(object))(tasks, body);
        }) {}

  std::size_t concurrency() const noexcept { return concurrency_; }

  void operator()(std::size_t tasks, task_ref body) const {
    if (run_ != nullptr && tasks > 1) {
      run_(object_, tasks, body);
    } else {
      for (std::size_t i = 0; i < tasks; ++i) body(i);
    }
  }

 private:
  void* object_ = nullptr;
  std::size_t concurrency_ = 1;
  void (*run_)(void*, std::size_t, task_ref) = nullptr;
};

}  // namespace qtk::inline QTK_ABI
