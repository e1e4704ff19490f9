#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "qtk/core/file.hpp"
#include "qtk/core/tensor.hpp"
#include "qtk/graph/onnx_types.hpp"
#include "qtk/io/onnx_limits.hpp"
#include "qtk/io/onnx_proto.hpp"
#include "qtk/io/proto_reader.hpp"

/// Reading one TensorProto.
namespace qtk::inline QTK_ABI::onnx {

/// Bytes of a file, and who keeps them there: null where they must be copied.
struct stored_bytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> keeper = nullptr;
};

/// The files that a model is read from: its own, and those beside it that hold weights. Only inside
/// of the model's folder: a model must not make its reader open any other file (onnx
/// docs/ExternalDataSecurity.md).
class model_files {
 public:
  /// `folder` is empty where the model isn't a file: then there is nothing beside it. `keeper`
  /// keeps the bytes of the model itself, where weights may stay in them.
  model_files(std::filesystem::path folder, std::shared_ptr<const void> keeper, const limits& limit)
      : folder_(std::move(folder)),
        keeper_(std::move(keeper)),
        left_(limit.max_external_bytes),
        map_(limit.map_files) {}

  /// Bytes of the model itself.
  [[nodiscard]] stored_bytes own(std::string_view bytes) const {
    return {std::as_bytes(std::span(bytes)), keeper_};
  }

  /// The `expected` bytes of a tensor; `entries` are its external_data.
  [[nodiscard]] stored_bytes external(const std::map<std::string, std::string>& entries,
                                      std::size_t expected, const std::string& where) {
    QTK_CHECK(!folder_.empty(), where, "has external data, but the model was not read from a file");
    const auto location = entries.find("location");
    QTK_CHECK(location != entries.end() && !location->second.empty(), where,
              "external data without a location");
    const std::filesystem::path relative(location->second);
    bool inside = !relative.is_absolute() && location->second.find('\0') == std::string::npos;
    for (const auto& part : relative) inside = inside && part != "..";
    std::error_code code;
    const auto root = std::filesystem::weakly_canonical(folder_, code);
    const auto file = std::filesystem::weakly_canonical(folder_ / relative, code);
    const auto [end, at] = std::mismatch(root.begin(), root.end(), file.begin(), file.end());
    inside = inside && !code && end == root.end();
    QTK_CHECK(inside, where, "external data outside of the model's folder");
    const std::size_t offset = number(entries, "offset", 0, where);
    const std::size_t length = number(entries, "length", expected, where);
    QTK_CHECK(length == expected, where, length, " bytes of external data, ", expected,
              " expected");
    QTK_CHECK(length <= left_, where, "more external data than the limit allows");
    left_ -= length;
    if (!map_) {
      const auto copy = std::make_shared<const std::vector<std::byte>>(
          read_file_range(file.string(), offset, length));
      return {*copy, copy};
    }
    const stored_bytes all = whole(file.string());
    QTK_CHECK(offset <= all.bytes.size() && length <= all.bytes.size() - offset, file.string(),
              length, " bytes at ", offset, " of a file of ", all.bytes.size());
    return {all.bytes.subspan(offset, length), all.keeper};
  }

 private:
  static std::size_t number(const std::map<std::string, std::string>& entries,
                            const std::string& key, std::size_t fallback,
                            const std::string& where) {
    const auto it = entries.find(key);
    if (it == entries.end()) return fallback;
    std::size_t value = 0;
    const char* const last = it->second.data() + it->second.size();
    const auto [end, code] = std::from_chars(it->second.data(), last, value);
    QTK_CHECK(code == std::errc() && end == last, where, "external data: ", key,
              " is not a number");
    return value;
  }

  /// A file beside the model, mapped once.
  [[nodiscard]] stored_bytes whole(const std::string& path) {
    std::shared_ptr<const mapped_file>& file = mapped_[path];
    if (file == nullptr) file = mapped_file::open(path, std::numeric_limits<std::size_t>::max());
    return {file->bytes(), file};
  }

  std::filesystem::path folder_;
  std::shared_ptr<const void> keeper_;
  std::map<std::string, std::shared_ptr<const mapped_file>> mapped_;
  std::size_t left_;
  bool map_;
};

struct named_tensor {
  std::string name;
  any_tensor value;
};

namespace detail {

/// What a TensorProto says before its elements are looked at.
struct tensor_header {
  std::string name, where;
  std::vector<std::int64_t> dims;
  std::int64_t data_type = 0;
  bool has_raw = false, external = false;
  std::string_view raw;
  std::map<std::string, std::string> entries;   // of external_data
  std::map<std::uint32_t, std::size_t> values;  // by field: how many numbers it holds
};

/// Less than this is copied: it costs less than to keep a page of the file.
inline constexpr std::size_t worth_mapping = 4096;

/// Whether a tensor's elements may stay where they are stored: as the format has them here, and
/// aligned, which in a protobuf they are by chance.
template <storage_format F>
[[nodiscard]] bool can_stay(const stored_bytes& from, const shape& s) {
  return from.keeper != nullptr && from.bytes.size() >= worth_mapping &&
         !std::same_as<F, boolean> && (!F::packed || s.cols() % F::per_unit == 0) &&
         reinterpret_cast<std::uintptr_t>(from.bytes.data()) % alignof(typename F::storage_type) ==
             0;
}

/// Elements in the order of the file, as the format stores them: packed elements run on over
/// the ends of rows there, here each row starts on a byte.
template <storage_format F>
void copy_elements(std::span<const std::byte> bytes, tensor<F>& t) {
  if (bytes.empty()) return;
  if constexpr (F::packed) {
    if (t.cols() % F::per_unit == 0) {
      std::memcpy(t.data(), bytes.data(), bytes.size());
      return;
    }
    const auto* codes = reinterpret_cast<const std::uint8_t*>(bytes.data());
    const tensor_view<F> view = t.view();
    std::size_t i = 0;
    for (std::size_t r = 0; r < t.rows(); ++r)
      for (std::size_t c = 0; c < t.cols(); ++c, ++i)
        view.set(r, c, F::from_bits(packed_bits::load<F::bits>(codes, i)));
  } else {
    std::memcpy(t.data(), bytes.data(), bytes.size());
    if constexpr (std::same_as<F, boolean>)
      for (auto& b : t.span()) b = b != 0;
  }
}

/// The typed field that holds numbers of F where there is no raw_data.
template <storage_format F>
[[nodiscard]] constexpr proto::tensor::field typed_field() {
  if (std::same_as<F, fp32>) return proto::tensor::float_data;
  if (std::same_as<F, fp64>) return proto::tensor::double_data;
  if (std::same_as<F, int64>) return proto::tensor::int64_data;
  if (std::same_as<F, uint32> || std::same_as<F, uint64>) return proto::tensor::uint64_data;
  return proto::tensor::int32_data;
}

/// A number of int32_data as an element: small floats are given by their
/// bits, packed elements a byte at a time.
template <storage_format F>
[[nodiscard]] typename F::storage_type element_of(std::int32_t v, const std::string& where) {
  using storage = typename F::storage_type;
  if constexpr (std::same_as<F, fp16> || std::same_as<F, bf16>) {
    QTK_CHECK(v >= 0 && v <= 0xffff, where, "value ", v, " isn't 16 bits");
    return storage{static_cast<std::uint16_t>(v)};
  } else if constexpr (!std::is_arithmetic_v<storage>) {
    QTK_CHECK(v >= 0 && v <= 0xff, where, "value ", v, " isn't 8 bits");
    return storage{static_cast<std::uint8_t>(v)};
  } else if constexpr (std::same_as<F, boolean>) {
    return v != 0;
  } else {
    QTK_CHECK(std::in_range<storage>(v), where, "value ", v, " isn't of ", name(F::id));
    return static_cast<storage>(v);
  }
}

/// Elements of the typed fields: a second walk over the message, now that the tensor exists.
template <storage_format F>
void copy_values(proto_reader message, const std::string& where, tensor<F>& t) {
  std::vector<std::byte> packed;  // packed formats only
  std::size_t i = 0;
  while (message.next()) {
    if (message.field() != typed_field<F>()) {
      message.skip();
    } else if constexpr (F::packed) {
      message.each<std::int32_t>([&](std::int32_t v) {
        packed.push_back(static_cast<std::byte>(element_of<F>(v, where)));
      });
    } else if constexpr (std::same_as<F, fp32> || std::same_as<F, fp64> || std::same_as<F, int64>) {
      message.each<typename F::value_type>([&](auto v) { t.data()[i++] = v; });
    } else if constexpr (typed_field<F>() == proto::tensor::uint64_data) {
      message.each<std::int64_t>([&](std::int64_t v) {  // the same bits
        t.data()[i++] = static_cast<typename F::value_type>(v);
      });
    } else {
      message.each<std::int32_t>([&](std::int32_t v) { t.data()[i++] = element_of<F>(v, where); });
    }
  }
  if constexpr (F::packed) copy_elements<F>(packed, t);
}

[[nodiscard]] inline tensor_header read_header(proto_reader message, std::string_view holder,
                                               const limits& limit) {
  namespace field = proto::tensor;
  tensor_header h;
  while (message.next()) switch (message.field()) {
      case field::name:
        h.name = checked_name(message.bytes(), limit, message.where());
        break;
      case field::dims:
        message.each<std::int64_t>([&](std::int64_t d) {
          QTK_CHECK(h.dims.size() < shape::max_rank, message.where(), "rank above ",
                    shape::max_rank);
          h.dims.push_back(d);
        });
        break;
      case field::data_type:
        h.data_type = message.integer();
        break;
      case field::raw_data:
        h.raw = message.bytes();
        h.has_raw = true;
        break;
      case field::float_data:
        message.each<float>([&](float) { ++h.values[field::float_data]; });
        break;
      case field::double_data:
        message.each<double>([&](double) { ++h.values[field::double_data]; });
        break;
      case field::int32_data:
      case field::int64_data:
      case field::uint64_data:
        message.each<std::int64_t>([&, f = message.field()](std::int64_t) { ++h.values[f]; });
        break;
      case field::external_data: {
        proto_reader pair = message.message("external_data");
        std::string key, value;
        while (pair.next()) switch (pair.field()) {
            case proto::entry::key:
              key = pair.bytes();
              break;
            case proto::entry::value:
              value = pair.bytes();
              break;
            default:
              pair.skip();
          }
        h.entries[key] = value;
        break;
      }
      case field::data_location:
        h.external = message.integer() == 1;
        break;
      case field::segment:
        fail("tensors in segments are not supported", message.where());
      default:
        message.skip();
    }
  h.where = h.name.empty() ? std::string(holder) : cat("tensor '", h.name, "'");
  return h;
}

/// The shape, its element count checked for overflow.
[[nodiscard]] inline shape checked_shape(const tensor_header& h) {
  shape s;
  std::size_t nonzero = 1;
  for (const std::int64_t d : h.dims) {
    QTK_CHECK(d >= 0, h.where, "a dimension of ", d);
    s.push_back(static_cast<std::size_t>(d));
    if (d != 0) nonzero = checked_mul(nonzero, static_cast<std::size_t>(d), h.where);
  }
  // Walking the rows of a tensor without elements must not take longer than reading a real one.
  QTK_CHECK(s.elements() != 0 || nonzero <= (1u << 20), h.where, "shape ", s,
            " has no elements, but many rows");
  return s;
}

}  // namespace detail

/// The tensor of a TensorProto. `holder` names it in errors where it has no name of its own.
/// Nothing is allocated before the bytes that the file holds agree with the shape. qtk::error for
/// a type that qtk has no format for.
[[nodiscard]] inline named_tensor read_tensor(const proto_reader& message, std::string_view holder,
                                              model_files& files, const limits& limit) {
  detail::tensor_header h = detail::read_header(message, holder, limit);
  const auto type = from_onnx_type(h.data_type);
  QTK_CHECK(type, h.where, "type ", proto::type_name(h.data_type), " is not supported");
  const shape s = detail::checked_shape(h);
  any_tensor value;
  visit_format(*type, [&](auto tag) {
    using F = decltype(tag);
    const std::size_t count = s.elements();
    const std::size_t bytes = F::packed ? ceil_div(count, F::per_unit)
                                        : checked_mul(count, sizeof(typename F::storage_type));
    const auto agree = [&](std::size_t given, std::size_t expected, std::string_view what) {
      QTK_CHECK(given == expected, h.where, given, " ", what, " of data for shape ", s, " of ",
                name(F::id), " (", expected, " ", what, " expected)");
    };
    const std::size_t typed = h.values[detail::typed_field<F>()];
    QTK_CHECK(!(h.has_raw && typed != 0) && !(h.external && (h.has_raw || typed != 0)), h.where,
              "has data in two places");
    if (h.external || h.has_raw) {
      if (!h.external) agree(h.raw.size(), bytes, "bytes");
      stored_bytes from = h.external ? files.external(h.entries, bytes, h.where) : files.own(h.raw);
      if (detail::can_stay<F>(from, s)) {
        value = tensor<F>(s, buffer(std::move(from.keeper), from.bytes.data(), bytes));
        return;
      }
      tensor<F> t(s);
      detail::copy_elements<F>(from.bytes, t);
      value = std::move(t);
    } else {
      agree(typed, F::packed ? bytes : count, "values");
      tensor<F> t(s);
      detail::copy_values<F>(message, h.where, t);
      value = std::move(t);
    }
  });
  return {std::move(h.name), std::move(value)};
}

}  // namespace qtk::inline QTK_ABI::onnx
