#!/bin/sh
# The main job on an embedded default: `sh examples/demo.sh`. Sets a fresh Debian machine up (root or sudo),
# builds the qtk program, compares a small trained classifier of handwritten digits in every format, and
# writes a report to look at. Arguments go to `qtk compare`: sh examples/demo.sh MODEL.onnx --data SPEC
set -eu
case ${1-} in
  "" | /* | -*) ;;
  *)  # a model named from where the user stands
    if [ -e "$1" ]; then
      model=$(pwd)/$1
      shift
      set -- "$model" "$@"
    fi ;;
esac
cd "$(dirname "$0")/.."
. cmake/setup.sh
need_program
install_missing

configure_and_build demo qtk_cli
qtk=build/demo/examples/qtk/qtk
[ $# -gt 0 ] || set -- examples/data/digits.onnx --data builtin:digits
$qtk cpu
echo
$qtk compare "$@" --json build/report.json --report build/report.html
echo
echo "report: build/report.html (a page with plots), build/report.json"
