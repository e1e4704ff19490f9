#!/bin/sh
# The main job on an embedded default: `sh examples/demo.sh`. Sets a fresh Debian machine up (root or sudo),
# builds the qtk program, compares a small trained classifier of handwritten digits in every format, and
# writes a report to look at. Arguments go to `qtk compare`: sh examples/demo.sh MODEL.onnx --data SPEC
set -eu
from=$(pwd)
cd "$(dirname "$0")/.."
root=$(pwd)
. cmake/setup.sh
need_program
install_missing

preset=demo
[ ! -e build/release/CMakeCache.txt ] || preset=release  # tests/run.sh has built most of it
configure_and_build $preset qtk_cli
qtk=$root/build/$preset/examples/qtk/qtk
[ $# -gt 0 ] || set -- "$root/examples/data/digits.onnx" --data builtin:digits
cd "$from"  # a model and data are named from where the user stands
"$qtk" cpu
echo
"$qtk" compare "$@" --json "$root/build/report.json" --report "$root/build/report.html"
echo
echo "report: $root/build/report.html (a page with plots), $root/build/report.json"
