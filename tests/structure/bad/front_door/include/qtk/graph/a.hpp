#pragma once

#include "qtk/tensor.hpp"
