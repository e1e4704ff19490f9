#pragma once

#include <cmath>
#include <optional>
#include <string>

#include "qtk/graph/op.hpp"
#include "qtk/ops/linear.hpp"
#include "qtk/quantize/scheme.hpp"

namespace qtk::inline QTK_ABI::graph_ops {

/// What a layer with integer products quantizes by scales that the model fixes, as attributes say:
///   x_scale, x_zero_point   its input: it comes as uint8 codes, or as floats to be quantized
///   r_scale, r_zero_point   its residual, likewise
///   y_scale, y_zero_point   its output: it leaves as uint8 codes
/// From codes to codes it computes in units of y_scale, by which what it multiplies and adds is
/// divided once: the result is then rounded as it is, without a division for each (the code as
/// exact as QuantizeLinear's took 6 % of ResNet-20). Where y / y_scale is a tie but for the last
/// bits of fp32, the code may be the other one of the two; it is the same on every ISA.
class layer_codes {
 public:
  layer_codes(const op_context& ctx, std::size_t y_elements)
      : x_(scale_of(ctx, "x")),
        residual_(scale_of(ctx, "r")),
        y_(scale_of(ctx, "y")),
        elements_(y_elements) {
    if (!x_) QTK_CHECK(!residual_ && !y_, ctx.node().label(), "has codes, but its input has none");
    reads_ = comes_as_codes(ctx, 0, x_);
    if (!ctx.has(3)) residual_.reset();
    const bool residual_codes = ctx.has(3) && comes_as_codes(ctx, 3, residual_);
    quantizes_residual_ = residual_ && !residual_codes;
    // Of the same size.
    if (ctx.has(3) && residual_codes == y_.has_value()) in_place_ = 3;
    if (reads_ && y_ && (!ctx.has(3) || residual_codes)) in_units_of(ctx, y_->scale);
    kernels_ = &find_elementwise(ctx.target());
  }

  const std::optional<block_scale>& x() const noexcept { return x_; }
  bool writes_codes() const noexcept { return y_.has_value(); }
  dtype result() const noexcept { return y_ ? dtype::uint8 : dtype::fp32; }
  std::optional<std::size_t> in_place() const noexcept { return in_place_; }
  /// At the beginning of the workspace.
  std::size_t scratch_bytes() const noexcept {
    return round_up(quantizes_residual_ ? elements_ : biases_ * sizeof(float), buffer_alignment);
  }

  bool reads_codes() const noexcept { return reads_; }
  /// Whether of() may be asked for a part of the output alone.
  bool by_parts() const noexcept { return !quantizes_residual_; }

  [[nodiscard]] layer_input input(const std::byte* x) const noexcept {
    return reads_ ? layer_input(reinterpret_cast<const std::uint8_t*>(x))
                  : layer_input(reinterpret_cast<const float*>(x));
  }
  [[nodiscard]] layer_input input(const node_buffers& io) const noexcept {
    return input(io.inputs[0]);
  }
  /// Gives the bias and what is float to `e`, what is codes to the result.
  [[nodiscard]] epilogue_codes of(const node_buffers& io, epilogue& e) const {
    e.bias = io.in<float>(2);
    if (biases_ != 0) {
      auto* const bias = reinterpret_cast<float*>(io.workspace);
      kernels_->binary_scalar[static_cast<std::size_t>(binary_op::divide)](biases_, e.bias, unit_,
                                                                           bias);
      e.bias = bias;
    }
    e.lo /= unit_;
    e.hi /= unit_;
    epilogue_codes c;
    if (residual_) {
      c.residual = io.in<std::uint8_t>(3);
      c.residual_scale = residual_->scale;
      c.residual_zero_point = residual_->zero_point;
      if (quantizes_residual_) {
        auto* const codes = reinterpret_cast<std::uint8_t*>(io.workspace);
        kernels_->quantize_u8(elements_, io.in<float>(3), residual_->scale, residual_->zero_point,
                              codes);
        c.residual = codes;
      }
    } else {
      e.residual = io.in<float>(3);
    }
    if (y_) {
      c.y = io.out<std::uint8_t>();
      c.y_scale = y_->scale;
      c.y_zero_point = y_->zero_point;
    }
    return c;
  }

 private:
  [[nodiscard]] static std::optional<block_scale> scale_of(const op_context& ctx,
                                                           const std::string& of) {
    const node& n = ctx.node();
    const float scale = n.number(of + "_scale", 0.0f);
    if (scale == 0.0f) return std::nullopt;
    const std::int64_t zero_point = n.integer(of + "_zero_point", 0);
    QTK_CHECK(std::isnormal(scale) && scale > 0.0f && zero_point >= 0 && zero_point <= 255,
              n.label(), of, " of scale ", scale, ", zero point ", zero_point);
    QTK_CHECK(
        (ctx.constant(1) == nullptr || ctx.value(1).is<int8>()) && n.text("compute", "") == "int8",
        n.label(), "fixed scales are for integer products with int8 weights");
    return block_scale{scale, static_cast<std::int32_t>(zero_point)};
  }
  /// Whether input i is codes; qtk::error where it is neither that nor fp32.
  [[nodiscard]] static bool comes_as_codes(const op_context& ctx, std::size_t i,
                                           const std::optional<block_scale>& scale) {
    if (scale && ctx.in(i).type == dtype::uint8) return true;
    ctx.expect(i, dtype::fp32);
    return false;
  }

  void in_units_of(const op_context& ctx, float unit) {
    const float x = x_->scale / unit, r = residual_ ? residual_->scale / unit : 1.0f;
    if (!std::isnormal(x) || !std::isnormal(r)) return;
    unit_ = unit;
    x_->scale = x;
    y_->scale = 1.0f;
    if (residual_) residual_->scale = r;
    if (ctx.has(2)) biases_ = ctx.dims(2).elements();
  }

  std::optional<block_scale> x_, residual_, y_;
  bool reads_ = false, quantizes_residual_ = false;
  std::optional<std::size_t> in_place_;
  std::size_t elements_, biases_ = 0;  // of y; of a bias that is divided by the unit
  float unit_ = 1.0f;
  const elementwise_kernels* kernels_;
};

}  // namespace qtk::inline QTK_ABI::graph_ops
