#!/bin/sh
# mixed_flags.sh SOURCE INCLUDE FLAG COMPILER...: a tensor passed between units links where both have
# the same flags and does not where one alone has FLAG.
source=$1
include=$2
flag=$3
shift 3
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
set -- "$@" -std=c++20 -I "$include"
"$@" -c "$source/give.cpp" -o "$dir/give.o" || exit 1
"$@" -c "$source/take.cpp" -o "$dir/take.o" || exit 1
"$@" "$flag" -c "$source/take.cpp" -o "$dir/take_flag.o" || exit 1
"$@" "$dir/give.o" "$dir/take.o" -o "$dir/same" && "$dir/same" || { echo "same flags do not link"; exit 1; }
if "$@" "$dir/give.o" "$dir/take_flag.o" -o "$dir/mixed" 2>"$dir/log"; then
  echo "$flag mixed with the default links"
  exit 1
fi
grep -E 'undefined reference.*take|undefined symbol.*take' "$dir/log"
