#!/usr/bin/env bash
# Set up what `make demo` and `make test` need: scripts/setup.sh [VENV]
# libdeflate makes the converter about five times faster to inflate. As root (or with password-less sudo) it is
# installed with apt; otherwise, and where that fails, the build takes zlib and says so. On macOS a libdeflate from
# Homebrew is used where there is one.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
venv=${1:-.venv}
python=${PYTHON:-python3}

# Homebrew's folder on Apple Silicon is not among those that the compiler searches; CMake knows it.
brewed=()
if command -v brew >/dev/null; then brewed=(-I "$(brew --prefix)/include"); fi
has_header() { echo "#include <$1>" | "${CXX:-c++}" ${brewed[@]+"${brewed[@]}"} -E -x c++ - >/dev/null 2>&1; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "error: Python 3.11 or newer is needed, '$python' is $("$python" --version 2>&1); try: make PYTHON=python3.12" >&2
  exit 1
}
if ! command -v "${CXX:-c++}" >/dev/null; then
  say "installing a C++ compiler"
  apt_install g++ || { echo "error: no C++ compiler; install one (Debian: apt-get install g++; macOS: xcode-select --install)" >&2; exit 1; }
fi
if ! has_header libdeflate.h; then
  say "installing libdeflate"
  apt_install libdeflate-dev ||
    say "libdeflate could not be installed (no root? macOS: brew install libdeflate); the converter will use zlib"
  has_header libdeflate.h || has_header zlib.h || apt_install zlib1g-dev || true
fi
if [ ! -x "$venv/bin/python" ]; then
  say "making the virtual environment $venv"
  "$python" -m venv "$venv" 2>/dev/null || { apt_install python3-venv && "$python" -m venv --clear "$venv"; } || {
    echo "error: '$python -m venv $venv' failed; install the venv module (Debian: apt-get install python3-venv)" >&2
    exit 1
  }
fi
# What pip is at, on one line of a terminal, else a line for each large file; it goes on where an earlier try was cut.
progress() {
  local count=0 word file size
  while read -r word file size; do
    if [[ $file = *.metadata ]]; then continue; fi
    case $word in
      Downloading | Processing) count=$((count + 1)) ;;
      Using) file=${size% (*} size="(${size##* (}" count=$((count + 1)) ;;  # Using cached FILE (SIZE)
      Installing) [ "$file" = collected ] || continue  # and not: build dependencies
        file="all of them, which takes as long again" size="" ;;
      *) continue ;;
    esac
    if [ -t 1 ]; then
      printf '\r\033[K   %s packages: %s %s' "$count" "${file##*/}" "$size"
    elif [[ $word = Installing || $size =~ [0-9]{3}\.?[0-9]*\ MB ]]; then
      printf '   %s packages: %s %s\n' "$count" "${file##*/}" "$size"
    fi
  done
  if [ -t 1 ]; then printf '\r\033[K'; fi
}

say "installing dependencies: the first time 6 GB on Linux (torch comes with CUDA) and about 4 minutes"
pip=("$venv/bin/python" -m pip --disable-pip-version-check)
"${pip[@]}" install -qq --constraint constraints.txt --upgrade pip
"${pip[@]}" install --constraint constraints.txt --build-constraint constraints.txt --editable '.[dev]' | progress
say "ready: $("$venv/bin/seg-preprocess" --version)"
