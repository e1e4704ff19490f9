#!/bin/sh
# cmake.sh CMAKE SOURCE BUILD CONFIGURE-ARGUMENT...: configures and builds a consumer afresh, runs it.
cmake=$1
source=$2
build=$3
shift 3
rm -rf "$build"
"$cmake" -S "$source" -B "$build" "$@" && "$cmake" --build "$build" && env -u QTK_ISA "$build/user"
