#!/bin/sh
# Seconds that a front door costs a translation unit at -O2, median of five: sh bench/compile_time.sh
set -eu
cd "$(dirname "$0")/.."
for door in quantize calibrate tensor matmul graph; do
  for _ in 1 2 3 4 5; do
    start=$(date +%s.%N)
    echo "#include <qtk/$door.hpp>" | ${CXX:-g++} -O2 -std=c++20 -Iinclude -x c++ -c -o /dev/null -
    echo "$(date +%s.%N) $start" | awk '{printf "%.2f\n", $1 - $2}'
  done | sort -n | sed -n "3s|^|qtk/$door.hpp  |p"
done
