// oneDNN's convolution, forward_inference, direct; weights in the layout that it chose, made before
// the clock runs. int8 is u8 x s8 -> f32, unscaled.
//   onednn            images are NCHW, which its primitive has to take as they are
//   onednn-reorders   images are NCHW, reordered inside of the time to and from the layouts it
//   chose onednn-dynamic    int8: the same from fp32 images, by a reorder that converts them; it
//   needn't
//                     look for their range
//   onednn-blocked    the convolution alone, between the layouts it chose
#include <omp.h>

#include <cstring>
#include <dnnl.hpp>
#include <memory>

#include "conv_shapes.hpp"

namespace bench {
namespace {

using dnnl::memory;
using type = memory::data_type;
using tag = memory::format_tag;

enum class images : std::uint8_t { nchw, reordered, converted, chosen };

dnnl::convolution_forward::primitive_desc describe(const dnnl::engine& e, const memory::desc& x,
                                                   const memory::desc& w, const memory::desc& y,
                                                   const conv_shape& s) {
  const auto dim = [](std::size_t v) { return static_cast<memory::dim>(v); };
  const memory::dims strides{dim(s.stride), dim(s.stride)}, pads{dim(s.pad), dim(s.pad)};
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {e, kind, algorithm, x, w, y, strides, pads, pads};
#else
  return {dnnl::convolution_forward::desc(kind, algorithm, x, w, y, strides, pads, pads), e};
#endif
}

class onednn_convolution {
 public:
  onednn_convolution(conv_type t, const conv_shape& s, std::size_t batch, images how) {
    const bool integer = t == conv_type::int8;
    const auto dim = [](std::size_t v) { return static_cast<memory::dim>(v); };
    const type x_type = integer ? type::u8 : type::f32, w_type = integer ? type::s8 : type::f32;
    const memory::dims x_dims{dim(batch), dim(s.C), dim(s.size), dim(s.size)},
        y_dims{dim(batch), dim(s.O), dim(s.out_size()), dim(s.out_size())};
    memory::dims w_dims{dim(s.O / s.groups), dim(s.C / s.groups), dim(s.kernel), dim(s.kernel)};
    if (s.groups > 1) w_dims.insert(w_dims.begin(), dim(s.groups));
    const tag given = how == images::nchw ? tag::nchw : tag::any;
    const auto chosen = describe(engine_, {x_dims, x_type, given}, {w_dims, w_type, tag::any},
                                 {y_dims, type::f32, given}, s);
    if (std::strncmp(chosen.impl_info_str(), "ref", 3) == 0) return;
    convolution_ = dnnl::convolution_forward(chosen);
    valid_ = true;

    const memory::desc w_desc(w_dims, w_type, s.groups > 1 ? tag::goihw : tag::oihw);
    std::vector<float> w = random_values(s.O * s.taps(), 1);
    memory w_given(w_desc, engine_);
    if (integer) {
      auto* const codes = static_cast<std::int8_t*>(w_given.get_data_handle());
      for (std::size_t i = 0; i < w.size(); ++i) codes[i] = static_cast<std::int8_t>(w[i] * 127);
    } else {
      std::copy(w.begin(), w.end(), static_cast<float*>(w_given.get_data_handle()));
    }
    w_ = memory(chosen.weights_desc(), engine_);
    dnnl::reorder(w_given, w_).execute(stream_, w_given, w_);
    x_ = memory(chosen.src_desc(), engine_);
    y_ = memory(chosen.dst_desc(), engine_);
    const memory::desc x_given({x_dims, how == images::converted ? type::f32 : x_type, tag::nchw});
    x_nchw_ = memory(x_given, engine_);
    y_nchw_ = memory({y_dims, type::f32, tag::nchw}, engine_);
    const std::vector<float> x = random_values(batch * s.C * s.size * s.size, 2);
    if (integer && how != images::converted) {
      auto* const codes = static_cast<std::uint8_t*>(x_nchw_.get_data_handle());
      for (std::size_t i = 0; i < x.size(); ++i)
        codes[i] = static_cast<std::uint8_t>(127 + x[i] * 127);
    } else {
      std::copy(x.begin(), x.end(), static_cast<float*>(x_nchw_.get_data_handle()));
    }
    reorders_x_ = x_given != chosen.src_desc();
    reorders_y_ = y_nchw_.get_desc() != chosen.dst_desc();
    if (reorders_x_)
      x_in_ = dnnl::reorder(x_nchw_, x_);
    else
      x_ = x_nchw_;
    if (reorders_y_)
      y_out_ = dnnl::reorder(y_, y_nchw_);
    else
      y_ = y_nchw_;
    if (reorders_x_) x_in_.execute(stream_, x_nchw_, x_);
    stream_.wait();
    if (how == images::chosen) reorders_x_ = reorders_y_ = false;
  }

  void operator()() {
    if (reorders_x_) x_in_.execute(stream_, x_nchw_, x_);
    convolution_.execute(stream_, {{DNNL_ARG_SRC, x_}, {DNNL_ARG_WEIGHTS, w_}, {DNNL_ARG_DST, y_}});
    if (reorders_y_) y_out_.execute(stream_, y_, y_nchw_);
    stream_.wait();
  }
  bool valid() const { return valid_; }

 private:
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::convolution_forward convolution_;
  dnnl::reorder x_in_, y_out_;
  memory x_, w_, y_, x_nchw_, y_nchw_;
  bool valid_ = false, reorders_x_ = false, reorders_y_ = false;
};

conv_call make(conv_type t, const conv_shape& s, std::size_t batch, std::size_t threads,
               images how) {
  omp_set_num_threads(static_cast<int>(threads));
  try {
    auto p = std::make_shared<onednn_convolution>(t, s, batch, how);
    return p->valid() ? conv_call([p] { (*p)(); }) : conv_call();
  } catch (const dnnl::error& e) {
    if (e.status == dnnl_unimplemented) return {};
    throw;
  }
}

}  // namespace

conv_call onednn_nchw(conv_type t, const conv_shape& s, std::size_t batch, std::size_t threads) {
  return make(t, s, batch, threads, images::nchw);
}
conv_call onednn_reorders(conv_type t, const conv_shape& s, std::size_t batch,
                          std::size_t threads) {
  return make(t, s, batch, threads, images::reordered);
}
conv_call onednn_dynamic(conv_type t, const conv_shape& s, std::size_t batch, std::size_t threads) {
  return make(t, s, batch, threads, images::converted);
}
conv_call onednn_blocked(conv_type t, const conv_shape& s, std::size_t batch, std::size_t threads) {
  return make(t, s, batch, threads, images::chosen);
}

}  // namespace bench
