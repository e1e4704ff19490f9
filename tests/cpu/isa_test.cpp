#include <qtk/cpu/isa.hpp>

#include "support/catch.hpp"

using namespace qtk;

TEST_CASE("names parse back, and what the CPU lacks is refused", "[cpu]") {
  for (const isa i : all_isas) {
    if (supported(i))
      CHECK(parse_isa(name(i)) == i);
    else
      CHECK_THROWS_WITH(parse_isa(name(i)), cat("isa: this CPU does not support ", name(i)));
  }
  CHECK_THROWS_AS(parse_isa("sse9"), error);
}

TEST_CASE("the portable kernels run everywhere", "[cpu]") {
  CHECK(supported(isa::scalar));
  CHECK(supported(isa::generic));
  CHECK(supported(best_isa()));
}

#if QTK_X86_64
TEST_CASE("detection agrees with the compiler's own", "[cpu]") {
  __builtin_cpu_init();
  CHECK(cpu().avx2 == (__builtin_cpu_supports("avx2") != 0));
  CHECK(cpu().fma == (__builtin_cpu_supports("fma") != 0));
  CHECK(cpu().avx512f == (__builtin_cpu_supports("avx512f") != 0));
  CHECK(cpu().avx512bw == (__builtin_cpu_supports("avx512bw") != 0));
  CHECK(cpu().avx512_vnni == (__builtin_cpu_supports("avx512vnni") != 0));
}
#endif

TEST_CASE("the active ISA can be set for a while", "[cpu]") {
  const isa before = active_isa();
  set_active_isa(isa::scalar);
  CHECK(active_isa() == isa::scalar);
  set_active_isa(before);
  CHECK(active_isa() == before);
}
