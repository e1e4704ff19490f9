# Sourced by tests/run.sh, examples/demo.sh and .ci/run: what is missing gets installed, in one way.

missing=

# need PROGRAM...: programs and the Debian packages that hold them.
need() {
  for program in "$@"; do
    command -v "$program" >/dev/null 2>&1 && continue
    case $program in
      g++ | make) missing="$missing build-essential" ;;
      clang++) missing="$missing clang libclang-rt-14-dev" ;;
      aarch64-linux-gnu-g++) missing="$missing g++-aarch64-linux-gnu" ;;
      qemu-aarch64) missing="$missing qemu-user" ;;
      *) missing="$missing $program" ;;
    esac
  done
}

# need_header HEADER PACKAGE
need_header() {
  [ -e "/usr/include/$1" ] || [ -e "/usr/local/include/$1" ] || missing="$missing $2"
}

install_missing() {
  [ -n "$missing" ] || return 0
  install="apt-get install -y --no-install-recommends$missing"
  if [ "$(id -u)" = 0 ]; then
    as_root=
  elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root=sudo
  else
    echo "Packages are missing. As root: apt-get update && $install" >&2
    exit 1
  fi
  echo "installing:$missing"
  # One update and one more try: a package list may be old or a mirror busy.
  $as_root apt-get update -qq >/dev/null 2>&1 || true
  DEBIAN_FRONTEND=noninteractive $as_root $install >/dev/null 2>&1 ||
    { $as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as_root $install >/dev/null; }
  missing=
}

# configure_and_build PRESET [TARGET...]
configure_and_build() {
  preset_name=$1
  shift
  cmake --preset "$preset_name" >"/tmp/qtk-configure.$$" 2>&1 ||
    { cat "/tmp/qtk-configure.$$"; rm -f "/tmp/qtk-configure.$$"; exit 1; }
  rm -f "/tmp/qtk-configure.$$"
  jobs=$(nproc 2>/dev/null || echo 2)
  if [ $# -gt 0 ]; then
    cmake --build "build/$preset_name" -j "$jobs" --target "$@"
  else
    cmake --build "build/$preset_name" -j "$jobs"
  fi
}

# run_ctest DIRECTORY [CTEST ARGUMENTS]: ends in the line that counts.
run_ctest() {
  directory=$1
  shift
  log=$directory/ctest.log
  status=0
  (cd "$directory" && ctest --output-on-failure -j "$(nproc 2>/dev/null || echo 2)" "$@") >"$log" 2>&1 || status=$?
  cat "$log"
  skipped=$(grep -c '\*\*\*Skipped' "$log" || true)
  failed=$(sed -n 's/.*, \([0-9][0-9]*\) tests failed out of .*/\1/p' "$log" | tail -1)
  total=$(sed -n 's/.* tests failed out of \([0-9][0-9]*\).*/\1/p' "$log" | tail -1)
  [ -n "$total" ] || { failed=1; total=1; }
  echo "$((total - failed - skipped)) passed, $failed failed, $skipped skipped"
  [ "$failed" -eq 0 ] && [ "$status" -eq 0 ]
}
