#pragma once

#include "qtk/core/b.hpp"
