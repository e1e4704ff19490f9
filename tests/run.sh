#!/bin/sh
# Builds everything and runs every test: `sh tests/run.sh`. Installs missing Debian packages first where
# it may (root or sudo), else prints the line to run. The last line is 'N passed, N failed, N skipped'.
set -eu
cd "$(dirname "$0")/.."
. cmake/setup.sh
need g++ cmake make
need_header catch2/catch.hpp catch2 || need_header catch2/catch_all.hpp catch2
need_header xsimd/xsimd.hpp libxsimd-dev
need_header protozero/pbf_reader.hpp libprotozero-dev
need_header nlohmann/json.hpp nlohmann-json3-dev
need_header CLI/CLI.hpp libcli11-dev
need_header zlib.h zlib1g-dev
need_header benchmark/benchmark.h libbenchmark-dev
install_missing

preset=${1:-release}
[ $# -eq 0 ] || shift
configure_and_build "$preset"
run_ctest "build/$preset" "$@"
