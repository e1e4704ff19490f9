#!/bin/sh
# run.sh N SOURCE INCLUDE COMPILER...: GOOD_N compiles, BAD_N does not.
n=$1
source=$2
include=$3
shift 3
set -- "$@" -std=c++20 -fsyntax-only -DQTK_EXTERN_KERNELS -I "$include"
"$@" "-DGOOD_$n" "$source" || { echo "GOOD_$n does not compile"; exit 1; }
if log=$("$@" "-DBAD_$n" "$source" 2>&1); then
  echo "BAD_$n compiles"
  exit 1
fi
# In cases.cpp itself, not in a header that is broken for everybody.
echo "$log" | grep -E 'cases\.cpp:[0-9]+:.*error' || { echo "$log"; exit 1; }
