#pragma once

#include <cctype>
#include <cmath>
#include <string>
#include <vector>

#include "qtk/graph/ops/common.hpp"
#include "qtk/kernels/elementwise.hpp"

namespace qtk::inline QTK_ABI::graph_ops {

/// A function by name, of a recurrent layer's gate or fused to a product.
struct gate_function {
  enum class kind : std::uint8_t {
    affine,
    elu,
    hard_sigmoid,
    leaky_relu,
    relu,
    scaled_tanh,
    sigmoid,
    softplus,
    softsign,
    tanh,
    thresholded_relu
  };
  kind f = kind::tanh;
  float alpha = 0, beta = 0;

  /// A function by its name in any case, with the parameters of the operator of the same name.
  /// How many of them it has goes to `parameters`.
  [[nodiscard]] static gate_function named(const node& n, std::string name, int& parameters) {
    struct entry {
      const char* name;
      kind f;
      int parameters;
      float alpha, beta;
    };
    static constexpr entry known[] = {{"affine", kind::affine, 2, 1, 0},
                                      {"elu", kind::elu, 1, 1, 0},
                                      {"hardsigmoid", kind::hard_sigmoid, 2, 0.2f, 0.5f},
                                      {"leakyrelu", kind::leaky_relu, 1, 0.01f, 0},
                                      {"relu", kind::relu, 0, 0, 0},
                                      {"scaledtanh", kind::scaled_tanh, 2, 1, 1},
                                      {"sigmoid", kind::sigmoid, 0, 0, 0},
                                      {"softplus", kind::softplus, 0, 0, 0},
                                      {"softsign", kind::softsign, 0, 0, 0},
                                      {"tanh", kind::tanh, 0, 0, 0},
                                      {"thresholdedrelu", kind::thresholded_relu, 1, 1, 0}};
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const auto* it = std::find_if(std::begin(known), std::end(known),
                                  [&](const entry& e) { return name == e.name; });
    QTK_CHECK(it != std::end(known), n.label(), "activation '", name, "' is not supported");
    parameters = it->parameters;
    return {.f = it->f, .alpha = it->alpha, .beta = it->beta};
  }

  /// The functions of a recurrent layer: those that have parameters take them from the attributes'
  /// lists in order, while these last.
  [[nodiscard]] static std::vector<gate_function> parse(const node& n,
                                                        const std::vector<std::string>& names) {
    const auto alphas = n.get<std::vector<float>>("activation_alpha", {});
    const auto betas = n.get<std::vector<float>>("activation_beta", {});
    std::size_t a = 0, b = 0;
    std::vector<gate_function> functions;
    for (const std::string& name : names) {
      int parameters = 0;
      gate_function g = named(n, name, parameters);
      if (parameters > 0 && a < alphas.size()) g.alpha = alphas[a++];
      if (parameters > 1 && b < betas.size()) g.beta = betas[b++];
      functions.push_back(g);
    }
    return functions;
  }

  void operator()(const elementwise_kernels& k, std::size_t n, float* x) const {
    const auto each = [&](auto&& function) {
      for (std::size_t i = 0; i < n; ++i) x[i] = function(x[i]);
    };
    switch (f) {
      case kind::affine:
        return each([&](float v) { return alpha * v + beta; });
      case kind::elu:
        return each([&](float v) { return v < 0 ? alpha * std::expm1(v) : v; });
      case kind::hard_sigmoid:
        return each([&](float v) { return std::fmax(0.0f, std::fmin(1.0f, alpha * v + beta)); });
      case kind::leaky_relu:
        return each([&](float v) { return v < 0 ? alpha * v : v; });
      case kind::relu:
        return each([](float v) { return v < 0 ? 0.0f : v; });
      case kind::scaled_tanh:
        return each([&](float v) { return alpha * std::tanh(beta * v); });
      case kind::softplus:
        return each(
            [](float v) { return std::fmax(v, 0.0f) + std::log1p(std::exp(-std::fabs(v))); });
      case kind::softsign:
        return each([](float v) { return v / (1.0f + std::fabs(v)); });
      case kind::thresholded_relu:
        return each([&](float v) { return v > alpha ? v : 0.0f; });
      case kind::sigmoid:
        return k.unary[static_cast<std::size_t>(unary_op::sigmoid)](n, x, x);
      case kind::tanh:
        return k.unary[static_cast<std::size_t>(unary_op::tanh)](n, x, x);
    }
  }
};

}  // namespace qtk::inline QTK_ABI::graph_ops
