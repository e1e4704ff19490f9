#pragma once

#include "../core/b.hpp"
