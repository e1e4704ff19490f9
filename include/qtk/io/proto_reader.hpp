#pragma once

#include "qtk/core/config.hpp"

#if !QTK_HAS_EXCEPTIONS
#  error "reading ONNX needs exceptions: protozero reports broken files by them"
#endif

#include <cstdint>
#include <protozero/pbf_reader.hpp>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "qtk/core/error.hpp"

namespace qtk::inline QTK_ABI {

/// Reads the fields of one protobuf message in place, with protozero. Every error is a qtk::error
/// that says at which byte of the file and in which field: "byte 126: graph.node[3].attribute[0]".
/// A reader of a message inside another refers to it: both live on the stack of the parser. The
/// nesting is the parser's, never the file's, so that a hostile file cannot exhaust the stack.
class proto_reader {
 public:
  explicit proto_reader(std::span<const std::byte> bytes)
      : reader_(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
        begin_(reader_.data().data()) {}

  /// Moves on to the next field: while (r.next()) switch (r.field()) ...
  bool next() {
    field_at_ = position();
    return guard([&] { return reader_.next(); });
  }
  [[nodiscard]] std::uint32_t field() const { return reader_.tag(); }
  void skip() {
    guard([&] { reader_.skip(); });
  }

  std::int64_t integer() {
    expect(protozero::pbf_wire_type::varint);
    return guard([&] { return reader_.get_int64(); });
  }
  float number() {
    expect(protozero::pbf_wire_type::fixed32);
    return guard([&] { return reader_.get_float(); });
  }
  /// A view into the file.
  std::string_view bytes() {
    expect(protozero::pbf_wire_type::length_delimited);
    const auto view = guard([&] { return reader_.get_view(); });
    return {view.data(), view.size()};
  }
  /// The message of this field, called `name` in errors.
  proto_reader message(std::string_view name) { return {bytes(), *this, name, no_index}; }
  proto_reader message(std::string_view name, std::size_t index) {
    return {bytes(), *this, name, index};
  }

  /// Calls f with each value of a repeated number, packed or not. T: float, double, std::int32_t,
  /// std::int64_t.
  template <class T, class Function>
  void each(Function&& f) {
    if (reader_.wire_type() == protozero::pbf_wire_type::length_delimited) {
      guard([&] {
        if constexpr (std::is_same_v<T, float>)
          for (const float v : reader_.get_packed_float()) f(v);
        else if constexpr (std::is_same_v<T, double>)
          for (const double v : reader_.get_packed_double()) f(v);
        else if constexpr (std::is_same_v<T, std::int32_t>)
          for (const std::int32_t v : reader_.get_packed_int32()) f(v);
        else
          for (const std::int64_t v : reader_.get_packed_int64()) f(v);
      });
    } else if constexpr (std::is_same_v<T, float>) {
      f(number());
    } else if constexpr (std::is_same_v<T, double>) {
      expect(protozero::pbf_wire_type::fixed64);
      f(guard([&] { return reader_.get_double(); }));
    } else {
      f(static_cast<T>(integer()));
    }
  }

  /// "byte 126: graph.node[3]"
  [[nodiscard]] std::string where() const { return cat("byte ", field_at_, path("")); }

 private:
  static constexpr std::size_t no_index = static_cast<std::size_t>(-1);

  proto_reader(std::string_view view, const proto_reader& parent, std::string_view name,
               std::size_t index)
      : reader_(view.data(), view.size()),
        begin_(parent.begin_),
        field_at_(static_cast<std::size_t>(view.data() - begin_)),
        parent_(&parent),
        name_(name),
        index_(index) {}

  [[nodiscard]] std::size_t position() const {
    return static_cast<std::size_t>(reader_.data().data() - begin_);
  }
  [[nodiscard]] std::string path(const std::string& below) const {
    if (parent_ == nullptr) return below.empty() ? "" : ": " + below;
    std::string own(name_);
    if (index_ != no_index) own += cat("[", index_, "]");
    return parent_->path(below.empty() ? own : own + "." + below);
  }

  void expect(protozero::pbf_wire_type type) const {
    QTK_CHECK(reader_.wire_type() == type, where(), "field ", reader_.tag(), " has wire type ",
              static_cast<unsigned>(reader_.wire_type()), ", not ", static_cast<unsigned>(type));
  }

  template <class Function>
  std::invoke_result_t<Function&> guard(Function&& f) const {
    try {
      return f();
    } catch (const protozero::end_of_buffer_exception&) {
      fail("the data end inside of this field", where());
    } catch (const protozero::exception& e) {
      fail(cat("not a protobuf message (", e.what(), ")"), where());
    }
  }

  protozero::pbf_reader reader_;
  const char* begin_;
  std::size_t field_at_ = 0;
  const proto_reader* parent_ = nullptr;
  std::string_view name_;
  std::size_t index_ = no_index;
};

}  // namespace qtk::inline QTK_ABI
