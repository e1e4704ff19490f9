#pragma once

/// A profiler that knows the roof.
///
///     #include <iostream>
///     #include <qtk/profile.hpp>
///     qtk::profile::enable();
///     { qtk::profile::scope s("inference"); /* ... qtk's own scopes nest inside ... */ }
///     std::cout << qtk::profile::receipt();                    // who took the time
///     qtk::profile::write_trace(file, qtk::profile::snapshot());   // opens in Perfetto
///     auto t = qtk::profile::benchmark([&] { work(); });       // t.median, t.p95 in ns
///
/// With measured peaks (qtk::measure_peaks()) a receipt says how near each row is to the roof, and
/// whether compute or memory bounds it. QTK_NO_PROFILE compiles scopes out.

#include "qtk/profile/benchmark.hpp"
#include "qtk/profile/receipt.hpp"
#include "qtk/profile/roofline.hpp"
#include "qtk/profile/scope.hpp"
#include "qtk/profile/trace.hpp"
