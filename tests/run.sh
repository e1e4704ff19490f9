#!/bin/sh
# Builds everything and runs every test: `sh tests/run.sh`. Installs missing Debian packages first where
# it may (root or sudo), else prints the line to run. The last line is 'N passed, N failed, N skipped'.
set -eu
cd "$(dirname "$0")/.."
. cmake/setup.sh
need_tests
install_missing

preset=${1:-release}
[ $# -eq 0 ] || shift
configure_and_build "$preset"
run_ctest "build/$preset" "$@"
