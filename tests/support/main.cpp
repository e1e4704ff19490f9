// Catch's main, with one addition: where QTK_ISA forces an ISA that this CPU lacks, say so and exit
// with 77, which ctest reports as skipped; where the CPU has it, make sure that it is the active
// one.
#define CATCH_CONFIG_RUNNER
#include <cstdio>
#include <cstdlib>
#include <qtk/cpu/isa.hpp>

#include "support/catch.hpp"

int main(int argc, char** argv) {
  if (const char* forced = std::getenv("QTK_ISA")) {
    for (const qtk::isa i : qtk::all_isas)
      if (qtk::name(i) == forced && !qtk::supported(i)) {
        std::printf("skipped: this CPU does not support %s\n", forced);
        return 77;
      }
    if (qtk::name(qtk::active_isa()) != forced) {
      std::printf("QTK_ISA=%s, but %s is active\n", forced, qtk::name(qtk::active_isa()).data());
      return 1;
    }
  }
  return Catch::Session().run(argc, argv);
}
