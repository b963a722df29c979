#!/bin/bash
# Installs what the build needs and this machine lacks: a C and C++ compiler (RocksDB), libclang (its
# bindings), protoc (the .proto files). Does nothing, quickly, when all of it is present.
set -euo pipefail

say() { echo "setup: $*" >&2; }

has_libclang() {
  [ -n "${LIBCLANG_PATH:-}" ] && return 0
  local found
  found=$(compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' || compgen -G '/usr/lib/*/libclang*.so*' || true)
  [ -n "$found" ] || return 1
  # The library reads its own copy of stddef.h and the like, which Debian packs apart from it.
  compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null ||
    compgen -G '/usr/lib/clang/*/include/stddef.h' >/dev/null
}

missing_packages() {
  if ! command -v "${CXX:-c++}" >/dev/null || ! command -v "${CC:-cc}" >/dev/null; then
    echo build-essential
  fi
  if ! command -v "${PROTOC:-protoc}" >/dev/null; then
    echo protobuf-compiler
  fi
  if ! has_libclang; then
    echo libclang-dev
  fi
}

if ! command -v cargo >/dev/null; then
  say "cargo is not on the PATH: install the Rust toolchain (https://rustup.rs), then try again"
  exit 1
fi

mapfile -t packages < <(missing_packages)
if [ "${#packages[@]}" -eq 0 ]; then
  exit 0
fi

if ! command -v apt-get >/dev/null; then
  say "this machine lacks: ${packages[*]} (Debian's names)"
  say "install them with this system's package manager, then try again"
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    say "this machine lacks: ${packages[*]}"
    say "run as root: apt-get install --yes ${packages[*]}"
    exit 1
  fi
  as_root=(sudo)
fi

say "installing ${packages[*]}"
"${as_root[@]}" apt-get update --quiet --quiet
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install --yes --quiet --quiet --no-install-recommends "${packages[@]}"

mapfile -t packages < <(missing_packages)
if [ "${#packages[@]}" -ne 0 ]; then
  say "still missing after the installation: ${packages[*]}"
  exit 1
fi
