#include "npy.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <qtk/core/file.hpp>

namespace qtk_cli {
namespace {

struct npy_type {
  std::string_view name;
  qtk::dtype type;
};
constexpr std::array npy_types{
    npy_type{"<f4", qtk::dtype::fp32},   npy_type{"<f2", qtk::dtype::fp16},
    npy_type{"<f8", qtk::dtype::fp64},   npy_type{"|i1", qtk::dtype::int8},
    npy_type{"|u1", qtk::dtype::uint8},  npy_type{"<i2", qtk::dtype::int16},
    npy_type{"<u2", qtk::dtype::uint16}, npy_type{"<i4", qtk::dtype::int32},
    npy_type{"<u4", qtk::dtype::uint32}, npy_type{"<i8", qtk::dtype::int64},
    npy_type{"<u8", qtk::dtype::uint64}, npy_type{"|b1", qtk::dtype::boolean}};

}  // namespace

qtk::any_tensor parse_npy(std::span<const std::byte> b, const std::string& where) {
  QTK_CHECK(b.size() >= 12 && std::memcmp(b.data(), "\x93NUMPY", 6) == 0, where, "is not .npy");
  const bool v1 = b[6] == std::byte{1};
  const std::size_t length = v1 ? qtk::load_unaligned<std::uint16_t>(b.data() + 8)
                                : qtk::load_unaligned<std::uint32_t>(b.data() + 8);
  const std::size_t begin = (v1 ? 10 : 12) + length;
  QTK_CHECK(begin <= b.size(), where, "is truncated");
  const std::string_view header(reinterpret_cast<const char*>(b.data()) + (v1 ? 10 : 12), length);
  const auto after = [&](std::string_view key) {
    const std::size_t at = header.find(key);
    QTK_CHECK(at != std::string_view::npos, where, "header lacks ", key);
    return header.substr(at + key.size());
  };
  QTK_CHECK(after("'fortran_order':").find("False") < 3, where, "is in Fortran order");
  qtk::shape shape;
  std::string_view dims = after("'shape':");
  dims = dims.substr(std::min(dims.size(), dims.find('(') + 1));
  dims = dims.substr(0, dims.find(')'));
  while (!dims.empty()) {
    const std::size_t digit = dims.find_first_of("0123456789");
    if (digit == std::string_view::npos) break;
    std::size_t d = 0;
    const auto [end, bad] = std::from_chars(dims.data() + digit, dims.data() + dims.size(), d);
    QTK_CHECK(bad == std::errc{}, where, "has a dimension that is too large");
    shape.push_back(d);
    dims.remove_prefix(static_cast<std::size_t>(end - dims.data()));
  }
  std::string_view name = after("'descr':");
  name = name.substr(name.find('\'') + 1);
  name = name.substr(0, name.find('\''));
  for (const npy_type& t : npy_types) {
    if (t.name != name) continue;
    const std::size_t size = static_cast<std::size_t>(qtk::bits(t.type)) / 8;
    const std::size_t bytes = qtk::checked_mul(shape.elements(), size, where);
    QTK_CHECK(bytes == b.size() - begin, where, b.size() - begin, " bytes of data for shape ",
              shape);
    qtk::any_tensor out(t.type, shape);
    if (bytes != 0) std::memcpy(out.data(), b.data() + begin, bytes);
    return out;
  }
  qtk::fail(qtk::cat("elements of type '", name, "' are not supported"), where);
}

qtk::any_tensor load_npy(const std::string& path) {
  return parse_npy(qtk::read_file(path, std::size_t{4} << 30), path);
}

std::vector<qtk::any_tensor> load_inputs(const qtk::model& m,
                                         const std::vector<std::string>& given) {
  std::vector<std::optional<qtk::any_tensor>> found(m.inputs.size());
  for (const std::string& word : given) {
    const std::size_t equals = word.find('=');
    const auto named = std::find_if(m.inputs.begin(), m.inputs.end(), [&](const auto& v) {
      return equals != std::string::npos && v.name == word.substr(0, equals);
    });
    auto at = found.begin() + (named - m.inputs.begin());
    if (named == m.inputs.end()) at = std::find(found.begin(), found.end(), std::nullopt);
    QTK_CHECK(at != found.end(), "--input", "'", word, "' is one more than the model has");
    *at = load_npy(named == m.inputs.end() ? word : word.substr(equals + 1));
  }
  std::vector<qtk::any_tensor> inputs;
  for (std::size_t i = 0; i < found.size(); ++i) {
    QTK_CHECK(found[i], "--input", "none for '", m.inputs[i].name, "', ", m.inputs[i]);
    inputs.push_back(*std::move(found[i]));
  }
  return inputs;
}

std::string to_npy(const qtk::any_tensor& t) {
  std::string_view type;
  for (const npy_type& known : npy_types)
    if (known.type == t.dtype()) type = known.name;
  QTK_CHECK(!type.empty(), "output", "of ", qtk::name(t.dtype()), " cannot be written as .npy");
  std::string dims;
  for (const std::size_t d : t.shape()) dims += qtk::cat(d, ", ");
  std::string header =
      qtk::cat("{'descr': '", type, "', 'fortran_order': False, 'shape': (", dims, "), }");
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(header.size() & 0xff);
  out += static_cast<char>(header.size() >> 8);
  out += header;
  out.append(reinterpret_cast<const char*>(t.data()), t.size_bytes());
  return out;
}

}  // namespace qtk_cli
