#!/bin/sh
# plain.sh USER.CPP PREFIX PROGRAM COMPILER...: what a user without CMake types, and nothing else.
source=$1
prefix=$2
program=$3
shift 3
case " $* " in
  *" -march=x86-64-v3 "*) grep -qw avx2 /proc/cpuinfo || { echo "skipped: no AVX2 here"; exit 77; } ;;
esac
"$@" -std=c++20 -I "$prefix/include" "$source" -o "$program" && env -u QTK_ISA "$program"
