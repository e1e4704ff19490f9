#pragma once

/// Catch2, whichever version the machine has.
#if __has_include(<catch2/catch_all.hpp>)
#  include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#  include <catch2/catch.hpp>
#endif

/// Says on the terminal why nothing was tested: data that is not there, a CPU that cannot.
#define QTK_SKIP(reason) WARN("skipped: " << reason)
