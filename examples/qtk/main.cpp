/// qtk: makes a trained network small and fast on this CPU, and says why.
#include <cstdio>
#include <iostream>
#include <new>
#include <qtk/core/error.hpp>

#include "options.hpp"

int main(int argc, char** argv) {
  CLI::App app("qtk: profile, quantize, prune and compare ONNX models on this CPU");
  app.set_version_flag("--version", qtk::cat("qtk ", qtk::version_major, ".", qtk::version_minor,
                                             ".", qtk::version_patch));
  app.require_subcommand(1);
  qtk_cli::add_compare(app);
  qtk_cli::add_debug_accuracy(app);
  qtk_cli::add_info(app);
  qtk_cli::add_profile(app);
  qtk_cli::add_quantize(app);
  qtk_cli::add_run(app);
  qtk_cli::add_selftest(app);
  qtk_cli::add_cpu(app);
  try {
    app.parse(argc, argv);
    // What was printed may have gone nowhere: a full disk, a closed pipe.
    std::cout.flush();
    QTK_CHECK(std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good(), "stdout",
              "cannot be written");
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help, --version
    std::fprintf(stderr, "qtk: %s (see qtk --help)\n", qtk::error(e.what()).what());
    return 1;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "qtk: out of memory\n");
    return 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "qtk: %s\n", e.what());
    return 1;
  }
  return 0;
}
