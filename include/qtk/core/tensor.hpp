#pragma once

#include <concepts>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>

#include "qtk/core/buffer.hpp"
#include "qtk/core/format.hpp"
#include "qtk/core/quantization.hpp"

namespace qtk::inline QTK_ABI {

/// Borrowed row-major elements of format F (`const F` to read only). `row_stride` counts elements
/// between the starts of two rows (a row is the last dimension); a packed format starts each row on
/// a byte, so its stride is a multiple of F::per_unit.
template <storage_format F>
class tensor_view {
 public:
  using format = std::remove_const_t<F>;
  using value_type = typename format::value_type;
  using storage = std::conditional_t<std::is_const_v<F>, const typename format::storage_type,
                                     typename format::storage_type>;

  tensor_view() = default;
  tensor_view(storage* data, const shape& s, const quantization* q = nullptr)
      : tensor_view(data, s, round_up(s.cols(), format::per_unit), q) {}
  tensor_view(storage* data, const shape& s, std::size_t row_stride, const quantization* q)
      : data_(data), shape_(s), row_stride_(row_stride), quantization_(q) {
    QTK_CHECK(row_stride >= s.cols() && row_stride % format::per_unit == 0, "tensor_view",
              "row stride ", row_stride, " for shape ", s);
  }
  /// A mutable view reads as a const one.
  template <class G>
  requires(std::is_const_v<F>&& std::same_as<std::remove_const_t<F>, G>)
      tensor_view(const tensor_view<G>& v)  // NOLINT(google-explicit-constructor)
      : tensor_view(v.data(), v.shape(), v.row_stride(), v.quantization()) {}

  storage* data() const noexcept { return data_; }
  const qtk::shape& shape() const noexcept { return shape_; }
  std::size_t rows() const { return shape_.rows(); }
  std::size_t cols() const noexcept { return shape_.cols(); }
  std::size_t row_stride() const noexcept { return row_stride_; }
  bool contiguous() const noexcept { return row_stride_ == round_up(cols(), format::per_unit); }
  storage* row(std::size_t r) const noexcept { return data_ + r * row_stride_ / format::per_unit; }
  /// Null for a format that isn't quantized.
  const qtk::quantization* quantization() const noexcept { return quantization_; }

  /// One element of the tensor seen as a matrix: the code, for a quantized format.
  value_type at(std::size_t r, std::size_t c) const noexcept {
    QTK_ASSERT(c < cols());
    if constexpr (format::packed)
      return format::from_bits(packed_bits::load<format::bits>(row(r), c));
    else
      return row(r)[c];
  }
  void set(std::size_t r, std::size_t c, value_type value) const noexcept
      requires(!std::is_const_v<F>) {
    QTK_ASSERT(c < cols());
    if constexpr (format::packed)
      packed_bits::store<format::bits>(row(r), c, format::to_bits(value));
    else
      row(r)[c] = value;
  }

 private:
  storage* data_ = nullptr;
  qtk::shape shape_{0};
  std::size_t row_stride_ = 0;
  const qtk::quantization* quantization_ = nullptr;
};

/// Owned, 64-byte aligned, zero-initialized elements of format F, rows without gaps (a packed
/// format's rows are rounded up to a byte). A value: copies copy. What is only read may lie
/// elsewhere (buffer), aligned as its elements are.
template <storage_format F>
class tensor {
 public:
  using format = F;
  using value_type = typename F::value_type;
  using storage = typename F::storage_type;

  tensor() : shape_{0} {}
  explicit tensor(const qtk::shape& s) : shape_(s), data_(bytes_for(s)) {}
  tensor(const qtk::shape& s, qtk::quantization q) : tensor(s) { set_quantization(std::move(q)); }
  /// The elements in `bytes`.
  tensor(const qtk::shape& s, buffer bytes) : shape_(s), data_(std::move(bytes)) {
    QTK_CHECK(data_.size_bytes() == bytes_for(s), "tensor", data_.size_bytes(), " bytes for ", s);
  }
  /// From values in row-major order: tensor<fp32>({2, 2}, {1, 2, 3, 4}).
  tensor(const qtk::shape& s, std::initializer_list<value_type> values) : tensor(s) {
    QTK_CHECK(values.size() == s.elements(), "tensor", values.size(), " values for shape ", s);
    std::size_t i = 0;
    for (const value_type& v : values) view().set(i / cols(), i % cols(), v), ++i;
  }

  /// Bytes of elements of shape s, rows rounded up to whole storage units.
  [[nodiscard]] static std::size_t bytes_for(const qtk::shape& s) {
    const std::size_t units = checked_mul(s.rows(), ceil_div(s.cols(), F::per_unit), "tensor");
    return checked_mul(units, sizeof(storage), "tensor");
  }

  storage* data() { return reinterpret_cast<storage*>(data_.data()); }
  const storage* data() const noexcept { return reinterpret_cast<const storage*>(data_.data()); }
  /// The storage units: elements where the format isn't packed.
  std::span<storage> span() { return {data(), data_.size_bytes() / sizeof(storage)}; }
  std::span<const storage> span() const noexcept {
    return {data(), data_.size_bytes() / sizeof(storage)};
  }
  const qtk::shape& shape() const noexcept { return shape_; }
  std::size_t elements() const { return shape_.elements(); }
  std::size_t rows() const { return shape_.rows(); }
  std::size_t cols() const noexcept { return shape_.cols(); }
  /// Elements, and scales and zero points where there are any.
  std::size_t size_bytes() const noexcept {
    return data_.size_bytes() + quantization_.size_bytes();
  }

  const qtk::quantization& quantization() const noexcept { return quantization_; }
  /// qtk::error unless there is a scale (and a zero point, or none) for each block.
  void set_quantization(qtk::quantization q) {
    const std::size_t blocks = block_grid(shape_, q.block).size();
    QTK_CHECK(q.scales.size() == blocks, "quantization", q.scales.size(), " scales for ", blocks,
              " blocks of ", q.block, " in ", shape_);
    QTK_CHECK(q.zero_points.empty() || q.zero_points.size() == blocks, "quantization",
              q.zero_points.size(), " zero points for ", blocks, " blocks");
    quantization_ = std::move(q);
  }

  tensor_view<F> view() { return {data(), shape_, F::quantized ? &quantization_ : nullptr}; }
  tensor_view<const F> view() const {
    return {data(), shape_, F::quantized ? &quantization_ : nullptr};
  }
  operator tensor_view<F>() { return view(); }              // NOLINT(google-explicit-constructor)
  operator tensor_view<const F>() const { return view(); }  // NOLINT(google-explicit-constructor)

  value_type at(std::size_t r, std::size_t c) const noexcept { return view().at(r, c); }

  /// The same elements under another shape of as many rows-times-columns; a packed format keeps its
  /// row length.
  void reshape(const qtk::shape& s) {
    QTK_CHECK(s.elements() == shape_.elements() && (!F::packed || s.cols() == shape_.cols()),
              "reshape", shape_, " to ", s);
    QTK_CHECK(quantization_.scales.empty(), "reshape", "a quantized tensor keeps its shape");
    shape_ = s;
  }

 private:
  qtk::shape shape_;
  buffer data_;
  qtk::quantization quantization_;
};

/// A tensor of any format: what graphs hold. A closed variant, in the order of `dtype`.
class any_tensor {
 public:
  using variant = std::variant<tensor<fp32>, tensor<fp16>, tensor<bf16>, tensor<int8>,
                               tensor<uint8>, tensor<int4>, tensor<uint4>, tensor<int32>,
                               tensor<int64>, tensor<boolean>, tensor<fp64>, tensor<int16>,
                               tensor<uint16>, tensor<uint32>, tensor<uint64>, tensor<float8e4m3fn>,
                               tensor<float8e4m3fnuz>, tensor<float8e5m2>, tensor<float8e5m2fnuz>,
                               tensor<float8e8m0>, tensor<float4e2m1>, tensor<int2>, tensor<uint2>>;

  any_tensor() = default;
  template <storage_format F>
  any_tensor(tensor<F> t) : value_(std::move(t)) {}  // NOLINT(google-explicit-constructor)
  /// Zeros of a format known at run time.
  any_tensor(qtk::dtype d, const qtk::shape& s) {
    visit_format(d, [&](auto tag) { value_.emplace<tensor<decltype(tag)>>(s); });
  }

  template <class Function>
  decltype(auto) visit(Function&& f) const {
    return std::visit(std::forward<Function>(f), value_);
  }
  template <class Function>
  decltype(auto) visit(Function&& f) {
    return std::visit(std::forward<Function>(f), value_);
  }

  qtk::dtype dtype() const noexcept { return static_cast<qtk::dtype>(value_.index()); }
  const qtk::shape& shape() const noexcept {
    return *visit([](const auto& t) { return &t.shape(); });
  }
  std::size_t size_bytes() const noexcept {
    return visit([](const auto& t) { return t.size_bytes(); });
  }
  std::byte* data() {
    return visit([](auto& t) { return reinterpret_cast<std::byte*>(t.data()); });
  }
  const std::byte* data() const noexcept {
    return visit([](const auto& t) { return reinterpret_cast<const std::byte*>(t.data()); });
  }

  template <storage_format F>
  [[nodiscard]] bool is() const noexcept {
    return std::holds_alternative<tensor<F>>(value_);
  }
  /// qtk::error where the format is another.
  template <storage_format F>
  [[nodiscard]] const tensor<F>& as() const {
    const auto* t = std::get_if<tensor<F>>(&value_);
    QTK_CHECK(t != nullptr, "any_tensor", "is ", name(dtype()), ", not ", name(F::id));
    return *t;
  }
  template <storage_format F>
  [[nodiscard]] tensor<F>& as() {
    return const_cast<tensor<F>&>(std::as_const(*this).template as<F>());
  }
  template <storage_format F>
  [[nodiscard]] const tensor<F>* get_if() const noexcept {
    return std::get_if<tensor<F>>(&value_);
  }

 private:
  variant value_;
};

static_assert(std::variant_size_v<any_tensor::variant> == dtype_count);
static_assert(std::is_same_v<std::variant_alternative_t<static_cast<std::size_t>(dtype::uint2),
                                                        any_tensor::variant>,
                             tensor<uint2>>);

}  // namespace qtk::inline QTK_ABI
