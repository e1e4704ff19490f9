#!/bin/sh
# Compiles every ```cpp block of README.md as a program of its own: what the README shows must be true.
# usage: readme.sh COMPILER
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk -v dir="$work" '/^```cpp/ {n++; on = 1; next} /^```/ {on = 0} on {print > (dir "/block" n ".cpp")}' README.md
for block in "$work"/*.cpp; do
  echo "${block##*/}"
  "$1" -std=c++20 -Wall -Wextra -Iinclude -DQTK_EXTERN_KERNELS -fsyntax-only "$block"
done
