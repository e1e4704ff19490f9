// oneDNN's matmul: the layout of the weights is its choice, made before the clock runs. int8 is
// u8 x s8 -> s32 (s8 x s8 by another name), as it comes out of the multiplications; or, as qtk's,
// scaled to fp32.
#include <omp.h>

#include <dnnl.hpp>
#include <unordered_map>

#include "gemm_peers.hpp"

namespace bench {
namespace {

using dnnl::memory;
using type = memory::data_type;
using tag = memory::format_tag;

dnnl::matmul::primitive_desc describe(const dnnl::engine& e, const memory::desc& x,
                                      const memory::desc& w, const memory::desc& y,
                                      const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return {e, x, w, y, attributes};
#else
  return {dnnl::matmul::desc(x, w, y), attributes, e};
#endif
}

enum class sums : std::uint8_t { raw, scaled };

class onednn_matmul {
 public:
  onednn_matmul(type input, gemm_shape s, sums result) {
    const bool integer = input == type::u8 || input == type::s8;
    const type weight = integer ? type::s8 : input;
    const auto M = static_cast<memory::dim>(s.M), N = static_cast<memory::dim>(s.N),
               K = static_cast<memory::dim>(s.K);
    const memory::desc x_desc({M, K}, input, tag::ab),
        y_desc({M, N}, integer && result == sums::raw ? type::s32 : type::f32, tag::ab),
        any({K, N}, weight, tag::any), plain({K, N}, weight, tag::ba);  // (N, K) row-major
    dnnl::primitive_attr attributes;
    if (result == sums::scaled) scale(attributes, N);
    const auto chosen = describe(engine_, x_desc, any, y_desc, attributes);
    matmul_ = dnnl::matmul(chosen);
    weight_bytes_ = chosen.weights_desc().get_size();

    x_ = memory(x_desc, engine_);
    arguments_[DNNL_ARG_SRC] = x_;
    arguments_[DNNL_ARG_DST] = memory(y_desc, engine_);
    if (integer)
      std::memcpy(x_.get_data_handle(), random_codes(s.M * s.K).data(), s.M * s.K);
    else if (input == type::bf16)
      std::ranges::transform(random_floats(s.M * s.K), static_cast<bfloat16*>(x_.get_data_handle()),
                             [](float v) { return to_bfloat16(v); });
    else
      std::memcpy(x_.get_data_handle(), random_floats(s.M * s.K).data(), s.M * s.K * 4);
    for (std::uint32_t i = 0; i < copies_for(s.M, weight_bytes_); ++i) {
      storage_.emplace_back(weight_bytes_);
      weights_.emplace_back(chosen.weights_desc(), engine_, storage_.back().data());
      if (integer)
        reorder(plain, random_weights<int8>(s.N, s.K, 0, i).data());
      else if (input == type::bf16)
        reorder(plain, random_weights<bf16>(s.N, s.K, 0, i).data());
      else
        reorder(plain, random_weights<fp32>(s.N, s.K, 0, i).data());
    }
  }

  void operator()() {
    arguments_[DNNL_ARG_WEIGHTS] = weights_[next_];
    matmul_.execute(stream_, arguments_);
    stream_.wait();
    next_ = (next_ + 1) % weights_.size();
  }
  std::size_t weight_bytes() const { return weight_bytes_; }

 private:
  /// One scale of A, one for each column of W.
  void scale(dnnl::primitive_attr& attributes, memory::dim N) {
    std::vector<float> column_scales(static_cast<std::size_t>(N), 0.01f);
#if DNNL_VERSION_MAJOR >= 3
    const auto add = [&](int argument, int mask, memory::dim count) {
      attributes.set_scales_mask(argument, mask);
      memory m({{count}, type::f32, tag::a}, engine_);
      std::memcpy(m.get_data_handle(), column_scales.data(), static_cast<std::size_t>(count) * 4);
      arguments_[DNNL_ARG_ATTR_SCALES | argument] = m;
    };
    add(DNNL_ARG_SRC, 0, 1);
    add(DNNL_ARG_WEIGHTS, 1 << 1, N);
#else
    for (float& s : column_scales) s *= 0.01f;  // both as one
    attributes.set_output_scales(1 << 1, column_scales);
#endif
  }

  template <class T>
  void reorder(const memory::desc& plain, T* data) {
    memory from(plain, engine_, data);
    dnnl::reorder(from, weights_.back()).execute(stream_, from, weights_.back());
    stream_.wait();
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::matmul matmul_;
  memory x_;
  std::unordered_map<int, memory> arguments_;
  std::vector<buffer> storage_;
  std::vector<memory> weights_;
  std::size_t weight_bytes_ = 0, next_ = 0;
};

peer product(type input, gemm_shape s, std::size_t threads, sums result = sums::raw) {
  omp_set_num_threads(static_cast<int>(threads));
  auto p = std::make_shared<onednn_matmul>(input, s, result);
  return {[p] { (*p)(); }, p->weight_bytes()};
}

}  // namespace

peer onednn_product(peer_product what, gemm_shape s, std::size_t threads) {
  return product(what == peer_product::int8   ? type::u8
                 : what == peer_product::bf16 ? type::bf16
                                              : type::f32,
                 s, threads);
}
peer onednn_scaled_product(peer_product, gemm_shape s, std::size_t threads) {
  return product(type::u8, s, threads, sums::scaled);
}
peer onednn_s8s8_product(peer_product, gemm_shape s, std::size_t threads) {
  return product(type::s8, s, threads);
}

}  // namespace bench
