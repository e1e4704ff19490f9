# Sourced by tests/run.sh, examples/demo.sh and .ci/run: what is missing gets installed, in one way.

missing=

# need PROGRAM...: programs and the Debian packages that hold them.
need() {
  for program in "$@"; do
    command -v "$program" >/dev/null 2>&1 && continue
    case $program in
      g++ | make) case $missing in *build-essential*) ;; *) missing="$missing build-essential" ;; esac ;;
      clang++) missing="$missing clang libclang-rt-14-dev" ;;
      aarch64-linux-gnu-g++) missing="$missing g++-aarch64-linux-gnu" ;;
      qemu-aarch64) missing="$missing qemu-user" ;;
      *) missing="$missing $program" ;;
    esac
  done
}

# need_header PACKAGE HEADER...: any of the headers will do (they move between versions of a package).
need_header() {
  package=$1
  shift
  for header in "$@"; do
    [ -e "/usr/include/$header" ] || [ -e "/usr/local/include/$header" ] && return 0
  done
  missing="$missing $package"
}

# need_at PACKAGE FILE: for what is neither a program nor a header.
need_at() {
  [ -e "$2" ] || missing="$missing $1"
}

# What the qtk program and the examples need, and what the tests and benchmarks need beyond that.
need_program() {
  need g++ cmake make
  need_header libxsimd-dev xsimd/xsimd.hpp
  need_header libprotozero-dev protozero/pbf_reader.hpp
  need_header nlohmann-json3-dev nlohmann/json.hpp
  need_header libcli11-dev CLI/CLI.hpp
  need_header zlib1g-dev zlib.h
}
need_tests() {
  need_program
  need_header catch2 catch2/catch.hpp catch2/catch_all.hpp
  need_header libbenchmark-dev benchmark/benchmark.h
}

install_missing() {
  [ -n "$missing" ] || return 0
  install="apt-get install -y --no-install-recommends$missing"
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "Packages are missing; Debian calls them:$missing" >&2
    exit 1
  elif [ "$(id -u)" = 0 ]; then
    as_root=
  elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root=sudo
  else
    echo "Packages are missing. As root: apt-get update && $install" >&2
    exit 1
  fi
  echo "installing:$missing"
  export DEBIAN_FRONTEND=noninteractive
  # One update and one more try: a package list may be old or a mirror busy.
  $as_root apt-get update -qq >/dev/null 2>&1 || true
  $as_root $install >/dev/null 2>&1 || { $as_root apt-get update -qq && $as_root $install >/dev/null; } || exit 1
  missing=
}

# configure_and_build PRESET [TARGET...]
configure_and_build() {
  preset_name=$1
  shift
  configured=$(cmake --preset "$preset_name" 2>&1) || { echo "$configured" >&2; exit 1; }
  jobs=$(nproc 2>/dev/null || echo 2)
  if [ $# -gt 0 ]; then
    cmake --build "build/$preset_name" -j "$jobs" --target "$@"
  else
    cmake --build "build/$preset_name" -j "$jobs"
  fi
}

# run_ctest DIRECTORY [CTEST ARGUMENTS]: ends in the line that counts.
run_ctest() {
  directory=$1
  shift
  log=$directory/ctest.log
  status=0
  (cd "$directory" && ctest --output-on-failure -j "$(nproc 2>/dev/null || echo 2)" "$@") >"$log" 2>&1 || status=$?
  cat "$log"
  # What a passing test left out (no data, no such instructions) is shown too.
  grep -h '^ *skipped: ' "$directory/Testing/Temporary/LastTest.log" 2>/dev/null | sort | uniq -c || true
  skipped=$(grep -c '\*\*\*Skipped' "$log" || true)
  failed=$(sed -n 's/.*, \([0-9][0-9]*\) tests failed out of .*/\1/p' "$log" | tail -1)
  total=$(sed -n 's/.* tests failed out of \([0-9][0-9]*\).*/\1/p' "$log" | tail -1)
  [ -n "$total" ] || { failed=1; total=1; }
  echo "$((total - failed - skipped)) passed, $failed failed, $skipped skipped"
  [ "$failed" -eq 0 ] && [ "$status" -eq 0 ]
}
