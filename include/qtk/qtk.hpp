#pragma once

/// All doors that need no optional dependency. Behind the others: qtk/onnx.hpp (protozero) and
/// qtk/report.hpp (nlohmann/json).

#include "qtk/calibrate.hpp"
#include "qtk/gptq.hpp"
#include "qtk/graph.hpp"
#include "qtk/matmul.hpp"
#include "qtk/profile.hpp"
#include "qtk/prune.hpp"
#include "qtk/quantize.hpp"
#include "qtk/tensor.hpp"
