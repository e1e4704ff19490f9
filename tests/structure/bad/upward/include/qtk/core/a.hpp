#pragma once

#include "qtk/ops/b.hpp"
