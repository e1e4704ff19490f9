#include "data.hpp"

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <qtk/graph/convert.hpp>
#include <span>
#include <string_view>

#include "digits.hpp"
#include "npy.hpp"
#include "qtk/core/file.hpp"

namespace qtk_cli {
namespace {

constexpr std::size_t size_limit = std::size_t{2} << 30;  // of a data file, unpacked
using bytes = std::vector<std::byte>;

std::uint32_t big_endian(const std::byte* p) {
  const auto at = [p](int i) { return std::to_integer<std::uint32_t>(p[i]); };
  return at(0) << 24 | at(1) << 16 | at(2) << 8 | at(3);
}

/// A file, unpacked by zlib where it begins like gzip. Grows as data arrives: a small file cannot
/// ask for much.
bytes read_maybe_gz(const std::string& path) {
  // gzopen opens a directory or a missing file with a vague errno: let read_file say what it is.
  bytes raw = qtk::read_file(path, size_limit);
  if (raw.size() < 2 || raw[0] != std::byte{0x1f} || raw[1] != std::byte{0x8b}) return raw;
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  QTK_CHECK(file != nullptr, path, "cannot be opened");
  bytes out;
  for (;;) {
    const std::size_t at = out.size(), step = std::size_t{1} << 20;
    QTK_CHECK(at + step <= size_limit, path, "unpacks to more than ", size_limit, " bytes");
    out.resize(at + step);
    const int n = gzread(file.get(), out.data() + at, static_cast<unsigned>(step));
    QTK_CHECK(n >= 0, path, "is not valid gzip");
    out.resize(at + static_cast<std::size_t>(n));
    if (n == 0) break;
  }
  int status = Z_OK;
  gzerror(file.get(), &status);
  QTK_CHECK(status == Z_OK || status == Z_STREAM_END, path, "is truncated gzip");
  return out;
}

void append_bytes(data_set& data, std::span<const std::byte> from) {
  for (const std::byte b : from) data.values.push_back(static_cast<float>(std::to_integer<int>(b)));
}

bytes read_idx(const std::string& dir, const std::string& stem, std::uint32_t magic,
               std::size_t header) {
  bytes b;
  for (const char* ending : {"", ".gz"}) {
    const std::string path = dir + "/" + stem + ending;
    if (std::FILE* probe = std::fopen(path.c_str(), "rb")) {
      std::fclose(probe);
      b = read_maybe_gz(path);
      QTK_CHECK(b.size() >= header && big_endian(b.data()) == magic, path, "is not an IDX file");
      return b;
    }
  }
  qtk::fail("no such file, with or without .gz", dir + "/" + stem);
}

data_set load_mnist(const std::string& dir, std::size_t limit) {
  const bytes images = read_idx(dir, "t10k-images-idx3-ubyte", 0x803, 16);
  const bytes labels = read_idx(dir, "t10k-labels-idx1-ubyte", 0x801, 8);
  const std::size_t rows = big_endian(images.data() + 8), cols = big_endian(images.data() + 12);
  const std::size_t pixels = qtk::checked_mul(rows, cols, dir);
  std::size_t count = big_endian(images.data() + 4);
  QTK_CHECK(pixels != 0 && (images.size() - 16) / pixels >= count && labels.size() - 8 >= count,
            dir, "holds fewer than the ", count, " images or labels that it announces");
  count = std::min(count, limit);
  data_set data{.source = {}, .sample = {1, rows, cols}, .values = {}, .labels = {}};
  append_bytes(data, std::span(images).subspan(16, count * pixels));
  for (std::size_t i = 0; i < count; ++i)
    data.labels.push_back(std::to_integer<int>(labels[8 + i]));
  return data;
}

data_set load_cifar10(const std::string& path, std::size_t limit) {
  constexpr std::size_t record = 1 + 3 * 32 * 32;
  const bytes b = read_maybe_gz(path);
  QTK_CHECK(!b.empty() && b.size() % record == 0, path, "is not CIFAR-10: ", b.size(),
            " bytes are no multiple of ", record);
  data_set data{.source = {}, .sample = {3, 32, 32}, .values = {}, .labels = {}};
  for (std::size_t i = 0; i < std::min(b.size() / record, limit); ++i) {
    data.labels.push_back(std::to_integer<int>(b[i * record]));
    append_bytes(data, std::span(b).subspan(i * record + 1, record - 1));
  }
  return data;
}

/// A class; qtk::error for what isn't a small integer.
int to_label(float value, const std::string& where) {
  QTK_CHECK(value >= -1e6f && value <= 1e6f && value == std::trunc(value), where, "label ", value,
            " is no class");
  return static_cast<int>(value);
}

data_set load_csv(const std::string& path, std::size_t limit) {
  const bytes b = read_maybe_gz(path);
  std::string_view text(reinterpret_cast<const char*>(b.data()), b.size());
  data_set data{.source = {}, .sample = {0}, .values = {}, .labels = {}};
  for (std::size_t line = 1; !text.empty() && data.labels.size() < limit; ++line) {
    std::string_view row = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), row.size() + 1));
    if (!row.empty() && row.back() == '\r') row.remove_suffix(1);
    if (row.empty()) continue;
    std::size_t fields = 0;
    while (true) {
      const std::string_view field = row.substr(0, row.find(','));
      float value = 0.0f;
      const auto [end, bad] = std::from_chars(field.data(), field.data() + field.size(), value);
      QTK_CHECK(bad == std::errc{} && end == field.data() + field.size(),
                qtk::cat(path, " line ", line), "'", field.substr(0, 40), "' is not a number");
      if (fields++ == 0)
        data.labels.push_back(to_label(value, qtk::cat(path, " line ", line)));
      else
        data.values.push_back(value);
      if (field.size() == row.size()) break;
      row.remove_prefix(field.size() + 1);
    }
    if (data.labels.size() == 1) data.sample = {fields - 1};
    QTK_CHECK(fields >= 2 && data.sample[0] == fields - 1, qtk::cat(path, " line ", line), fields,
              " fields, the first line has ", data.sample[0] + 1);
  }
  return data;
}

/// One member of a zip archive (stored or deflated), found through the central directory.
std::optional<bytes> zip_member(const bytes& zip, std::string_view wanted,
                                const std::string& path) {
  const auto u16 = [&](std::size_t at) {
    return qtk::load_unaligned<std::uint16_t>(zip.data() + at);
  };
  const auto u32 = [&](std::size_t at) {
    return qtk::load_unaligned<std::uint32_t>(zip.data() + at);
  };
  std::size_t end = zip.size() < 22 ? 0 : zip.size() - 22;
  while (end > 0 && u32(end) != 0x06054b50) --end;
  QTK_CHECK(zip.size() >= 22 && u32(end) == 0x06054b50, path, "is not a zip archive");
  std::size_t at = u32(end + 16);
  for (std::size_t i = 0; i < u16(end + 10); ++i) {
    QTK_CHECK(at + 46 <= zip.size() && u32(at) == 0x02014b50, path, "has a broken directory");
    const std::size_t packed = u32(at + 20), unpacked = u32(at + 24), name_size = u16(at + 28);
    QTK_CHECK(at + 46 + name_size <= zip.size(), path, "has a broken directory");
    const std::string_view name(reinterpret_cast<const char*>(zip.data() + at + 46), name_size);
    if (name == wanted) {
      const std::size_t local = u32(at + 42);
      QTK_CHECK(local + 30 <= zip.size(), path, "has a broken directory");
      const std::size_t begin = local + 30 + u16(local + 26) + u16(local + 28);
      QTK_CHECK(begin <= zip.size() && packed <= zip.size() - begin && unpacked <= size_limit &&
                    unpacked / 1032 <= packed + 1,  // deflate's best ratio
                path, "has a broken member ", wanted);
      bytes out(unpacked);
      if (u16(at + 10) == 0) {
        QTK_CHECK(packed == unpacked, path, "has a broken member ", wanted);
        std::copy_n(zip.begin() + static_cast<std::ptrdiff_t>(begin), packed, out.begin());
        return out;
      }
      QTK_CHECK(u16(at + 10) == 8, path, "has a member of an unknown compression");
      z_stream z{};
      QTK_CHECK(inflateInit2(&z, -MAX_WBITS) == Z_OK, path, "zlib failed");
      z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(zip.data() + begin));
      z.avail_in = static_cast<uInt>(packed);
      z.next_out = reinterpret_cast<Bytef*>(out.data());
      z.avail_out = static_cast<uInt>(unpacked);
      const int status = inflate(&z, Z_FINISH);
      inflateEnd(&z);
      QTK_CHECK(status == Z_STREAM_END && z.total_out == unpacked, path, "has a broken member ",
                wanted);
      return out;
    }
    at += 46 + name_size + u16(at + 30) + u16(at + 32);
  }
  return std::nullopt;
}

data_set load_npz(const std::string& path, std::size_t limit) {
  const bytes zip = qtk::read_file(path, size_limit);
  const auto member = [&](const char* name) -> std::optional<qtk::tensor<qtk::fp32>> {
    const auto found = zip_member(zip, qtk::cat(name, ".npy"), path);
    if (!found) return std::nullopt;
    const qtk::any_tensor array = parse_npy(*found, qtk::cat(path, " array '", name, "'"));
    return qtk::converted(array, qtk::dtype::fp32).as<qtk::fp32>();
  };
  const auto samples = member("x"), labels = member("y");
  QTK_CHECK(samples.has_value(), path, "has no array 'x'");
  const qtk::tensor<qtk::fp32>& x = *samples;
  QTK_CHECK(x.shape().rank() >= 2, path, "x ", x.shape(), " has no samples");
  QTK_CHECK(!labels || labels->elements() == x.shape()[0], path, "x ", x.shape(), " and y ",
            labels->shape(), " do not match");
  data_set data{.source = {}, .sample = {}, .values = {}, .labels = {}};
  for (std::size_t d = 1; d < x.shape().rank(); ++d) data.sample.push_back(x.shape()[d]);
  const std::size_t count = std::min(limit, x.shape()[0]);
  const auto first = x.span().begin();
  data.values.assign(first, first + static_cast<std::ptrdiff_t>(count * data.sample.elements()));
  for (std::size_t i = 0; labels && i < count; ++i)
    data.labels.push_back(to_label(labels->data()[i], qtk::cat(path, " sample ", i)));
  return data;
}

data_set load_digits(std::size_t limit) {
  // Seed 2026 was never trained on (examples/data/train_digits.py).
  digit_set digits = make_digits(std::min<std::size_t>(limit, 2000), 2026);
  return {.source = {},
          .sample = {1, digit_side, digit_side},
          .values = std::move(digits.images),
          .labels = std::move(digits.labels)};
}

}  // namespace

data_set load_data(const std::string& spec, std::size_t limit) {
  const std::size_t colon = spec.find(':');
  const std::string kind = spec.substr(0, colon);
  const std::string what = colon == std::string::npos ? "" : spec.substr(colon + 1);
  data_set data;
  if (kind == "mnist")
    data = load_mnist(what, limit);
  else if (kind == "cifar10")
    data = load_cifar10(what, limit);
  else if (kind == "csv")
    data = load_csv(what, limit);
  else if (kind == "npz")
    data = load_npz(what, limit);
  else if (spec == "builtin:digits")
    data = load_digits(limit);
  else
    qtk::fail(qtk::cat("unknown source '", spec,
                       "' (mnist:DIR, cifar10:FILE, csv:FILE, npz:FILE, builtin:digits)"),
              "--data");
  QTK_CHECK(data.count() > 0, spec, "holds no samples");
  data.source = spec;
  return data;
}

data_split split(const data_set& data, std::size_t count) {
  const std::size_t all = data.count(), wanted = std::min(count, all);
  const std::size_t n = data.sample.elements();
  const data_set none{.source = data.source, .sample = data.sample, .values = {}, .labels = {}};
  data_split parts{none, none};
  for (std::size_t i = 0, taken = 0; i < all; ++i) {
    const bool take = taken < wanted && i == all * taken / wanted;
    data_set& to = take ? parts.chosen : parts.rest;
    const auto first = data.values.begin() + static_cast<std::ptrdiff_t>(i * n);
    to.values.insert(to.values.end(), first, first + static_cast<std::ptrdiff_t>(n));
    if (!data.labels.empty()) to.labels.push_back(data.labels[i]);
    taken += take;
  }
  return parts;
}

void preprocess(data_set& data, const preprocessing& p) {
  const std::size_t channels = data.sample.rank() > 1 ? data.sample[0] : 1;
  const std::size_t per_channel = data.sample.elements() / channels;
  const auto check = [&](const std::vector<float>& v, const char* option) {
    QTK_CHECK(v.empty() || v.size() == 1 || v.size() == channels, option, v.size(), " values for ",
              channels, " channels");
  };
  check(p.mean, "--mean");
  check(p.std, "--std");
  const auto pick = [](const std::vector<float>& v, std::size_t c, float fallback) {
    return v.empty() ? fallback : v[v.size() == 1 ? 0 : c];
  };
  for (std::size_t i = 0; i < data.values.size(); i += per_channel) {
    const std::size_t c = i / per_channel % channels;
    const float mean = pick(p.mean, c, 0.0f), std = pick(p.std, c, 1.0f);
    QTK_CHECK(std != 0.0f, "--std", "is zero");
    for (std::size_t k = i; k < i + per_channel; ++k)
      data.values[k] = (data.values[k] * p.scale - mean) / std;
  }
}

qtk::tensor<qtk::fp32> batch(const data_set& data, std::size_t first, std::size_t count) {
  qtk::shape dims{count};
  for (const std::size_t d : data.sample) dims.push_back(d);
  qtk::tensor<qtk::fp32> out(dims);
  const std::size_t n = data.sample.elements(), last = data.count() - 1;
  for (std::size_t i = 0; i < count; ++i)
    std::copy_n(data.values.begin() + static_cast<std::ptrdiff_t>(std::min(first + i, last) * n), n,
                out.data() + i * n);
  return out;
}

}  // namespace qtk_cli
