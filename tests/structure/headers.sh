#!/bin/sh
# headers.sh ROOT ROOM COMPILER [OPTION...]: every header of a room compiles alone. In one unit stand the operators of
# graphs, which nobody includes alone (the last first; each would take five seconds), and with -fno-exceptions among
# the options, all. ROOM "." stands for the front doors. 77: nothing to compile.
root=$1
room=$2
shift 2

compiles() {
  "$@" -fsyntax-only -x c++ -
}
without=
check_package() {
  package=$1
  header=$2
  shift 2
  echo "#include <$header>" | compiles "$@" 2>/dev/null || without="$without $package"
}
check_package protozero protozero/pbf_reader.hpp "$@"
check_package nlohmann nlohmann/json.hpp "$@"

set -- "$@" -std=c++20 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Werror -I "$root/include"

# Whether what the header includes, at any depth, is installed.
available() {
  for package in $without; do
    # -M -MG lists headers that do not exist, too.
    if echo "#include <$1>" | "$compiler" -std=c++20 -I "$root/include" -M -MG -x c++ - 2>/dev/null |
      grep -q "$package/"; then
      echo "no $package: $1 not compiled"
      return 1
    fi
  done
}
compiler=$1

cd "$root/include" || exit 1
if [ "$room" = . ]; then
  headers=$(find qtk -maxdepth 1 -name '*.hpp' | sort)
else
  headers=$(find "qtk/$room" -name '*.hpp' | sort)
fi

unit=
count=0
failed=0
for header in $headers; do
  available "$header" || continue
  count=$((count + 1))
  case "$header $*" in
    qtk/graph/ops/* | *" -fno-exceptions "*) unit="#include <$header>
$unit" ;;
    *) echo "#include <$header>" | compiles "$@" || { echo "FAILED: $header"; failed=1; } ;;
  esac
done
[ "$count" -gt 0 ] || exit 77
[ -z "$unit" ] || echo "$unit" | compiles "$@" || failed=1
echo "$count headers"
exit "$failed"
