#!/usr/bin/env bash
# Checks for a Swift toolchain and the C libraries, and installs missing libraries if it has the rights.
set -euo pipefail

fail() { printf '%s\n' "$@" >&2; exit 1; }

command -v swift > /dev/null || fail \
    "Sluice needs Swift 6.2 or later, and there is no \`swift\` in PATH." \
    "Get a toolchain for this system from https://www.swift.org/install/linux, add its usr/bin to PATH, and try again."

version=$(swift --version 2> /dev/null | sed -nE 's/.*Swift version ([0-9]+)\.([0-9]+).*/\1 \2/p' | head -n 1)
read -r major minor <<< "${version:-0 0}"
if ((major < 6 || (major == 6 && minor < 2))); then
    fail "Sluice needs Swift 6.2 or later; \`swift --version\` says ${major}.${minor}."
fi

has_header() {
    local folder
    for folder in /usr/include /usr/local/include /usr/include/*-linux-gnu* ${CPATH:+${CPATH//:/ }}; do
        [[ -e $folder/$1 ]] && return 0
    done
    return 1
}

packages=()
while read -r header package; do
    has_header "$header" || packages+=("$package")
done << 'TABLE'
zstd.h     libzstd-dev
xxhash.h   libxxhash-dev
simdjson.h libsimdjson-dev
zlib.h     zlib1g-dev
yaml.h     libyaml-dev
pcre2.h    libpcre2-dev
TABLE

((${#packages[@]} > 0)) || exit 0

command -v apt-get > /dev/null || fail \
    "Sluice needs these C libraries with their headers (Debian package names): ${packages[*]}." \
    "There is no apt-get here. Install them with your system's package manager and try again."

if ((EUID == 0)); then
    as_root=()
elif command -v sudo > /dev/null && sudo -n true 2> /dev/null; then
    as_root=(sudo -n)
else
    fail "Sluice needs ${packages[*]}, and only root can install packages. Run this and try again:" \
        "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages[*]}"
fi

echo "installing ${packages[*]}"
# Continue if the package lists can't be updated: old ones may be enough.
"${as_root[@]}" apt-get update -qq || true
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" > /dev/null || fail \
    "The packages could not be installed. Run this, fix the errors it reports, and try again:" \
    "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages[*]}"
